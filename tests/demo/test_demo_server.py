"""The server that the demo starts: it answers, it ends, and it tells why it did not start."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from foretell.demo.client import ask, read_answer, request_body
from foretell.demo.server import serving
from foretell.errors import ModelError
from foretell.types import DataType, TensorSpec

TEXT = TensorSpec("text", DataType.BYTES, ())
MODEL = """
def length(text: list[str]) -> list[int]:
    if "secret" in text:
        raise ValueError("I do not say that")
    return [len(one) for one in text]
"""


@pytest.fixture
def source(tmp_path: Path) -> str:
    file = tmp_path / "model.py"
    file.write_text(MODEL)
    return f"{file}:length"


def test_every_reply_belongs_to_its_question(source: str) -> None:
    texts = ["x" * length for length in range(40)]
    with serving([source]) as address:
        replies = ask(address, "length", [request_body(TEXT, text) for text in texts], connections=7)
    answers = [next(iter(read_answer(body).values())) for body in replies.bodies]
    assert np.array_equal(answers, np.arange(40))
    assert len(replies.seconds) == 40
    assert 0 < max(replies.seconds) <= replies.total_s


def test_it_ends_with_the_block(source: str) -> None:
    with serving([source]) as address, socket.create_connection(address):
        pass
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address)
    with pytest.raises(ModelError, match="cannot be reached"):
        ask(address, "length", [request_body(TEXT, "fine")], connections=1)


@pytest.mark.skipif(sys.platform != "linux", reason="the system ends it there")
def test_it_ends_with_a_process_that_is_killed(source: str) -> None:
    program = (
        "import sys; from foretell.demo.server import serving\n"
        "with serving(sys.argv[1:]) as address: print(address[1], flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", program, source]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        with socket.create_connection(("127.0.0.1", int(process.stdout.readline()))) as connection:
            connection.settimeout(60)
            connection.sendall(b"GET /v2/health/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert connection.recv(65536).startswith(b"HTTP/1.1 200")
            process.kill()
            assert connection.recv(1) == b""


def test_a_refusal_is_an_error_with_its_reason(source: str) -> None:
    with serving([source]) as address, pytest.raises(ModelError, match="I do not say that"):
        ask(address, "length", [request_body(TEXT, text) for text in ("fine", "secret")], connections=2)


def test_a_server_that_does_not_start_says_why() -> None:
    with pytest.raises(ModelError, match="there is no such file"), serving(["nowhere.onnx"]):
        pass


def test_an_answer_is_read_in_its_datatype_and_shape() -> None:
    body = b"""{"outputs": [{"name": "s", "datatype": "FP32", "shape": [1, 2, 2], "data": [1, 2, 3, 4]},
                            {"name": "t", "datatype": "BYTES", "shape": [1], "data": ["caf\xc3\xa9"]}]}"""
    answer = read_answer(body)
    assert (answer["s"].dtype, answer["s"].tolist()) == (np.float32, [[1, 2], [3, 4]])
    assert answer["t"] == "café"
