"""Bodies that are read to where they stay: every byte in its place, however they come, and nothing held for nothing."""

from __future__ import annotations

import gzip
import json
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from certificates import Certificates
from served_models import InlineEcho, Pair
from serving import Running, still_answers
from wire import Answer, Wire, http, infer, values

from foretell.columns import Batch, Dense
from foretell.model import Context
from foretell.serve.large_body import LARGE_BYTES

INFER = "/v2/models/echo/infer"


def numbers(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((1, count), np.float32)


def request(row: np.ndarray, path: str = INFER, note: str = "", **headers: Any) -> bytes:
    """`note` moves where the tensor begins."""
    given = {"name": "x", "shape": row.shape, "datatype": "FP32", "parameters": {"binary_data_size": row.nbytes}}
    wanted = {"name": "y", "parameters": {"binary_data": True}}
    head = json.dumps({"id": f"n{note}", "inputs": [given], "outputs": [wanted]}).encode()
    return http("POST", path, head + row.tobytes(), {"Inference-Header-Content-Length": len(head), **headers})


def row_of(answer: Answer) -> np.ndarray:
    length = answer.header("Inference-Header-Content-Length")
    assert answer.status == 200 and length is not None, answer.body[:300]
    return np.frombuffer(answer.body[int(length) :], np.float32)


def same(answer: Answer, row: np.ndarray) -> None:
    np.testing.assert_array_equal(row_of(answer), row[0])


@pytest.mark.parametrize("count", [LARGE_BYTES // 4 - 60, LARGE_BYTES // 4, 300_000, 1_500_000])
def test_a_large_tensor_arrives_as_it_was_sent(serve: Any, count: int) -> None:
    server = serve(echo=InlineEcho())
    with server.connect() as wire:
        for number in range(4):
            row = numbers(count, number)
            same(wire.send(request(row, note="m" * number)).answer(), row)


@pytest.mark.parametrize("size", [1, 1000, 70_000, 400_000])
def test_it_may_come_in_pieces(serve: Any, size: int) -> None:
    server, row = serve(echo=InlineEcho()), numbers(LARGE_BYTES // 4 if size == 1 else 300_000)
    whole = request(row)
    if size == 1:  # the head and the first of the body byte by byte, then the rest
        pieces = [*(whole[at : at + 1] for at in range(400)), whole[400:]]
    else:
        pieces = [whole[at : at + size] for at in range(0, len(whole), size)]
    with server.connect() as wire:
        same(wire.trickle(pieces).answer(), row)
        same(wire.send(whole).answer(), row)


def test_small_requests_around_it_have_their_answers_in_order(serve: Any) -> None:
    server, rows = serve(echo=InlineEcho()), [numbers(200_000, seed) for seed in range(3)]
    with server.connect() as wire:
        sent = [part for n, row in enumerate(rows) for part in (infer("echo", [n]), request(row), infer("echo", [-n]))]
        sender = threading.Thread(target=wire.send, args=(b"".join(sent),))
        sender.start()
        for number, row in enumerate(rows):
            assert values(wire.answer()) == [number]
            same(wire.answer(), row)
            assert values(wire.answer()) == [-number]
        sender.join()


def test_what_is_not_binary_and_what_is_compressed_is_read_the_same_way(serve: Any) -> None:
    server, row = serve(echo=InlineEcho()), numbers(100_000)
    text = [float(value) for value in row[0]]
    with server.connect() as wire:
        assert values(wire.send(infer("echo", [text], shape=[1, len(text)])).answer()) == pytest.approx(text)
        plain = request(row)
        head, _, body = plain.partition(b"\r\n\r\n")
        packed = gzip.compress(body, 1)
        assert len(packed) > LARGE_BYTES
        length = next(line for line in head.split(b"\r\n") if line.startswith(b"Content-Length"))
        head = head.replace(length, b"Content-Length: %d\r\nContent-Encoding: gzip" % len(packed))
        same(wire.send(head + b"\r\n\r\n" + packed).answer(), row)


def test_a_call_that_takes_no_tensors_reads_it_as_text(serve: Any) -> None:
    server = serve(echo=InlineEcho())
    sent = http("POST", "/v2/repository/index", b" " * LARGE_BYTES + b"{}", {"Inference-Header-Content-Length": 4})
    assert server.ask(sent).status != 500
    still_answers(server)


@pytest.mark.parametrize("told", ["-1", "x", "9" * 30, "999999999"])
def test_a_wrong_length_of_its_text_is_refused(serve: Any, told: str) -> None:
    server = serve(echo=InlineEcho())
    sent = http("POST", INFER, b"{" * LARGE_BYTES, {"Inference-Header-Content-Length": told})
    with server.connect() as wire:
        answer = wire.send(sent).answer()
        assert (answer.status, "Inference-Header-Content-Length" in answer.error) == (400, True)
        assert values(wire.send(infer("echo", [1])).answer()) == [1]


class Scribbles(InlineEcho):
    """Writes where it may."""

    def predict(self, batch: Batch, ctx: Context) -> Batch:
        data = batch.dense("x")
        self.wrote = bool(data.flags.writeable)
        return Batch({"y": Dense(np.asarray(data))}, batch.rows)


def test_its_memory_cannot_be_written_to(serve: Any) -> None:
    model = Scribbles()
    server, row = serve(echo=model), numbers(200_000)
    same(server.ask(request(row)), row)
    assert not model.wrote


def test_a_client_that_goes_in_the_middle_leaves_nothing(serve: Any) -> None:
    server = serve(echo=InlineEcho())
    for cut in (500, 200_000, 1_000_000):
        with server.connect() as wire:
            wire.send(request(numbers(300_000))[:cut])
            connection = server.only_connection()
            server.until(lambda connection=connection: connection.state == "body")
        server.until(lambda: server.application.server.connections == 0)
    still_answers(server)


def test_one_that_is_too_slow_is_told_so(serve: Any) -> None:
    server = serve(echo=InlineEcho(), body_timeout_s=60)
    whole = request(numbers(300_000))
    with server.connect() as wire:
        wire.send(whole[:600_000])
        connection = server.only_connection()
        server.until(lambda: connection._large is not None and connection._large._at > 500_000)
        server.expire(61)
        wire.send(whole[600_000:])
        assert wire.answer().status == 408
        assert wire.finish().closed
    still_answers(server)


def test_the_server_stops_although_it_waits_for_the_rest(serve: Any) -> None:
    server = serve(echo=InlineEcho(), drain_timeout_s=0.2)
    with server.connect() as wire:
        wire.send(request(numbers(300_000))[:600_000])
        connection = server.only_connection()
        server.until(lambda: connection._large is not None)
        server.stop()
        assert wire.closed
    server.join()


def test_over_tls(serve: Any, tmp_path: Path) -> None:
    made = Certificates(tmp_path)
    server: Running = serve(**made.settings, echo=InlineEcho())
    server.connecting["tls"] = made.client()
    with server.connect() as wire:
        for number in range(3):
            row = numbers(400_000, number)
            same(wire.send(request(row)).answer(), row)
            assert values(wire.send(infer("echo", [number])).answer()) == [number]


def test_numbers_and_texts_in_one_body(serve: Any) -> None:
    server = serve(pair=Pair())
    count = LARGE_BYTES // 16
    texts = ["x" * 20] * count
    a = np.arange(2 * count, dtype=np.float32).reshape(count, 2)
    text = b"".join(len(each).to_bytes(4, "little") + each.encode() for each in texts)
    inputs = [
        {"name": "a", "shape": [count, 2], "datatype": "FP32", "parameters": {"binary_data_size": a.nbytes}},
        {"name": "t", "shape": [count], "datatype": "BYTES", "parameters": {"binary_data_size": len(text)}},
    ]
    head = json.dumps({"inputs": inputs}).encode()
    body = head + a.tobytes() + text
    sent = http("POST", "/v2/models/pair/infer", body, {"Inference-Header-Content-Length": len(head)})
    answer = server.ask(sent)
    assert answer.status == 200, answer.body[:300]
    found = {each["name"]: each["data"] for each in answer.json["outputs"]}
    assert found["double"] == (2 * a).ravel().tolist()
    assert len(found["text"]) == count


def test_only_what_has_come_takes_memory(serve: Any) -> None:
    """Two hundred clients announce 60 MB each and send little: 12 GB are not taken."""
    server = serve(echo=InlineEcho())
    wires: list[Wire] = []
    announced = b"POST " + INFER.encode() + b" HTTP/1.1\r\nHost: localhost\r\nContent-Length: 60000000\r\n\r\n"
    try:
        before = resident_bytes()
        for _ in range(200):
            wires.append(server.connect().send(announced + b"{" * 1000))
        server.until(lambda: sum(c.state == "body" for c in server.application.server._connections) == 200)
        assert resident_bytes() - before < 200e6
        still_answers(server)
    finally:
        for wire in wires:
            wire.close()


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096
