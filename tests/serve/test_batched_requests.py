"""Requests that share a call: each gets its own answer, its own error, and nobody else's."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from typing import Any

import pytest
from served_models import Echo, Gate, InlineEcho, Params, Poison
from serving import Running, served
from wire import Answer, infer, values

from foretell.config import ModelSettings
from foretell.types import DataType


def merged(server: Running, gate: Gate, requests: list[bytes]) -> list[Answer]:
    """The answers to `requests` that all wait while the model is held by one before them."""
    with ExitStack() as stack:
        first = stack.enter_context(server.connect())
        first.send(infer("gate", [0]))
        gate.wait_entered()
        wires = []
        for number, request in enumerate(requests, 1):
            wires.append(stack.enter_context(server.connect()).send(request))
            # One after another, so that the order in the batch is known.
            server.until(lambda expected=number: len(_waiting(server)) == expected)  # type: ignore[misc]
        gate.open_gate()
        assert values(first.answer()) == [0]
        return [wire.answer() for wire in wires]


def _waiting(server: Running) -> list[Any]:
    return [c for c in server.application.server._connections if c.busy][1:]


def test_each_gets_its_own_rows(serve: Any) -> None:
    gate = Gate()
    requests = [infer("gate", list(range(number, number + 1 + number % 3))) for number in range(1, 31)]
    answers = merged(serve(gate=gate), gate, requests)
    assert [values(answer) for answer in answers] == [
        [float(value) for value in range(number, number + 1 + number % 3)] for number in range(1, 31)
    ]
    assert gate.batches == [1, 60]


def test_nan_of_a_neighbour_changes_no_byte(serve: Any) -> None:
    gate = Gate()
    nan = infer("gate", [float("nan")])
    answers = merged(serve(gate=gate), gate, [infer("gate", [0.1]), nan, infer("gate", [1 / 3])])
    alone = serve(gate=Echo(DataType.FP32, (1,)))
    assert answers[0].body == alone.ask(infer("gate", [0.1])).body
    assert answers[1].body.endswith(b'"data":[NaN]}]}')
    assert answers[2].body == alone.ask(infer("gate", [1 / 3])).body


@pytest.mark.parametrize("bad", [[16], [0], [31], [3, 20], [0, 15, 31]])
def test_poison_is_answered_alone(serve: Any, bad: list[int]) -> None:
    gate = Gate(Poison())
    requests = [infer("gate", [666.0 if number in bad else float(number)]) for number in range(32)]
    answers = merged(serve(gate=gate), gate, requests)
    for number, answer in enumerate(answers):
        if number in bad:
            assert answer.status == 500
            assert "poisoned" in answer.error
        else:
            assert values(answer) == [number]
    assert gate.batches[:2] == [1, 32]


class Wordless(Exception):
    """Has no text that could be told."""

    def __str__(self) -> str:
        raise RuntimeError("no text")


@pytest.mark.parametrize("error", [Wordless, KeyboardInterrupt, SystemExit, GeneratorExit, asyncio.CancelledError])
def test_whatever_poison_raises_it_is_answered_alone(serve: Any, error: type[BaseException]) -> None:
    gate = Gate(Poison(error))
    answers = merged(serve(gate=gate), gate, [infer("gate", [value]) for value in (1, 666, 3)])
    assert [answer.status for answer in answers] == [200, 500, 200]
    assert error.__name__ in answers[1].error


def test_who_asks_for_too_much_memory_is_told_to_try_again_and_the_others_are_answered(serve: Any) -> None:
    gate = Gate(Poison(MemoryError))
    server = serve(gate=gate)
    answers = merged(server, gate, [infer("gate", [value]) for value in (1, 666, 3)])
    assert [answer.status for answer in answers] == [200, 503, 200]
    assert (answers[1].json["code"], answers[1].header("retry-after")) == ("out_of_memory", "1")
    assert server.engine("gate").pool.lost == 0


def test_a_row_the_model_refuses_is_answered_alone(serve: Any) -> None:
    gate = Gate(Poison())
    nan = infer("gate", [1, float("nan"), 3])
    answers = merged(serve(gate=gate), gate, [infer("gate", [1]), nan, infer("gate", [5, 6])])
    assert values(answers[0]) == [1]
    assert answers[1].status == 400
    assert answers[1].error.startswith("row 1: ")
    assert values(answers[2]) == [5, 6]


def test_a_value_without_a_place_is_answered_alone(serve: Any) -> None:
    gate = Gate(Echo(DataType.INT64, (1,)))
    server = serve(gate=gate)

    def ask(value: int) -> bytes:
        return infer("gate", [value], datatype="INT64")

    with server.connect() as first:
        first.send(ask(0))
        gate.wait_entered()
        with server.connect() as one, server.connect() as two, server.connect() as three:
            one.send(ask(1))
            server.until(lambda: server.engine("gate").waiting_rows == 1)
            two.send(ask(2**64))
            server.until(lambda: server.engine("gate").waiting_rows == 2 or len(_waiting(server)) == 1)
            three.send(ask(3))
            server.until(lambda: server.engine("gate").waiting_rows >= 2)
            gate.open_gate()
            assert values(one.answer()) == [1]
            assert two.answer().status == 400
            assert values(three.answer()) == [3]


def test_a_full_queue_refuses_at_once_and_says_when_to_come_back(serve: Any) -> None:
    gate = Gate()
    server = serve(served(gate, "gate", settings=ModelSettings(max_queue_size=4)), echo=Echo())
    with ExitStack() as stack:
        running = stack.enter_context(server.connect()).send(infer("gate", [0]))
        gate.wait_entered()
        waiting = stack.enter_context(server.connect()).send(infer("gate", [1, 2, 3]))
        server.until(lambda: server.engine("gate").waiting_rows == 3)
        refused = server.ask(infer("gate", [4, 5]))
        assert refused.status == 429
        assert refused.header("retry-after") == "1"
        assert "queue is full" in refused.error
        last = stack.enter_context(server.connect()).send(infer("gate", [6]))
        server.until(lambda: server.engine("gate").waiting_rows == 4)
        assert [server.ask(infer("gate", [7])).status for _ in range(20)] == [429] * 20
        assert values(server.ask(infer("echo", [8]))) == [8]
        gate.open_gate()
        assert [values(wire.answer()) for wire in (running, waiting, last)] == [[0], [1, 2, 3], [6]]
    assert values(server.ask(infer("gate", [9]))) == [9]
    assert gate.seen == [0, 1, 2, 3, 6, 9]


def test_a_request_larger_than_a_batch_and_than_the_queue(serve: Any) -> None:
    echo = Echo()
    server = serve(served(echo, "echo", settings=ModelSettings(max_queue_size=4, max_batch_size=8)))
    rows = list(range(100))
    assert values(server.ask(infer("echo", rows))) == rows
    assert max(echo.batches) <= 8


@pytest.mark.parametrize("model", [Echo, InlineEcho])
def test_shapes_and_parameters_that_differ_share_no_call(serve: Any, model: type[Echo]) -> None:
    server = serve(echo=model(), params=Params())
    with server.connect() as wire:
        requests = []
        for number in range(200):
            width = 1 + number % 3
            requests.append((infer("echo", [number] * width, shape=[1, width]), [number] * width))
        wire.send(b"".join(request for request, _ in requests))
        for _, expected in requests:
            assert values(wire.answer()) == expected


def test_models_whose_rows_depend_on_each_other_are_asked_one_request_at_a_time(serve: Any) -> None:
    echo = Echo(DataType.FP32, (1,), row_wise=False)
    gate = Gate(echo)
    answers = merged(serve(gate=gate), gate, [infer("gate", [number, number]) for number in range(1, 6)])
    assert [values(answer) for answer in answers] == [[number, number] for number in range(1, 6)]
    assert gate.batches == [1, 2, 2, 2, 2, 2]
