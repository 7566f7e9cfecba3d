"""Class of holes: fetching what a caller names. Nothing is ever fetched: no request opens a connection or a file."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from urllib.parse import quote

import orjson
import pytest
from repositories import Managed
from wire import http

from foretell.cli import main


@pytest.fixture
def trap() -> Iterator[socket.socket]:
    """A port that nobody shall connect to."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setblocking(False)
        yield listening
        with pytest.raises(BlockingIOError):
            listening.accept()


def places(trap: socket.socket) -> list[str]:
    port = trap.getsockname()[1]
    return [
        f"http://127.0.0.1:{port}/m.onnx", f"http://localhost:{port}/m.onnx", f"https://127.0.0.1:{port}/m.onnx",
        f"http://[::ffff:127.0.0.1]:{port}/m.onnx", f"http://2130706433:{port}/m", f"s3://127.0.0.1:{port}/m",
        f"ftp://127.0.0.1:{port}/m.onnx", f"//127.0.0.1:{port}/m.onnx", "file:///etc/passwd", "file:../outside",
        "http://169.254.169.254/latest/meta-data", "gopher://127.0.0.1/", f"hf://127.0.0.1:{port}/m", "data:,x",
    ]  # fmt: skip


def test_a_model_cannot_be_named_by_a_place_on_the_net(server: Managed, trap: socket.socket) -> None:
    for place in places(trap):
        assert server.load(quote(place, safe="")).status == 400 or server.load(quote(place, safe="")).status == 404
        for path in (f"/v2/models/{quote(place, safe='')}", f"/{place}", f"/v2/models/m?url={quote(place)}"):
            answer = server.ask(http("GET", path))
            assert answer.status == (200 if "?" in path else 404), (path, answer)
        for parameters in ({"url": place}, {"config": orjson.dumps({"url": place}).decode()}, {f"file:{place}": ""}):
            body = orjson.dumps({"parameters": parameters, "url": place, "model_url": place})
            assert server.ask(http("POST", "/v2/repository/models/m/load", body)).status == 400
        callback = {"callback": place, "webhook": place, "inputs": [
            {"name": "x", "shape": [1, 1], "datatype": "FP32", "data": [1], "parameters": {"url": place}}]}  # fmt: skip
        assert server.ask(http("POST", "/v2/models/m/infer", orjson.dumps(callback))).status in (200, 400)


def test_the_program_fetches_nothing_either(
    server: Managed, trap: socket.socket, capsys: pytest.CaptureFixture[str]
) -> None:
    for place in places(trap):
        for command in (["inspect", place], ["serve", place], ["serve", f"m={place}"], ["predict", place, "[[1]]"]):
            assert main(command) in (1, 2), command
            (line,) = capsys.readouterr().err.splitlines()
            assert line.startswith("foretell: ")
