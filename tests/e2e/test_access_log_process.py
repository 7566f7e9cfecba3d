"""The access log of a real process, on standard output: read, not read, and gone."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from program import WAIT_S, Server
from wire import Answer, http

Serve = Callable[..., Server]
_REQUESTS = 1500


def ask_many(server: Server, count: int) -> list[Answer]:
    from wire import Wire

    with Wire(server.port) as wire:
        return [wire.send(http("GET", "/v2/models/iris")).answer() for _ in range(count)]


def test_lines_go_to_standard_output(serve: Serve) -> None:
    server = serve("iris.onnx", "--access-log", "json")
    answers = ask_many(server, 3)
    server.stop()
    assert server.process.wait(WAIT_S) == 0
    assert server.process.stdout is not None
    lines: list[dict[str, Any]] = [json.loads(line) for line in server.process.stdout]
    assert [line["request_id"] for line in lines] == [answer.header("x-request-id") for answer in answers]
    assert not any('"event"' in line for line in server.said)


@pytest.mark.parametrize("gone", [False, True])
def test_a_reader_that_does_not_read_holds_nobody_up(serve: Serve, gone: bool) -> None:
    server = serve("iris.onnx", "--access-log", "json")
    assert server.process.stdout is not None
    if gone:
        server.process.stdout.close()
    answers = ask_many(server, _REQUESTS)  # far more than a pipe holds
    assert {answer.status for answer in answers} == {200}
    server.stop()
    assert server.process.wait(WAIT_S) == 0
