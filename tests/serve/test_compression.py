"""Compressed bodies and replies: whoever accepts it gets it, and large ones hold up nobody else."""

from __future__ import annotations

import gzip
import json
import re
import threading
import zlib
from typing import Any

import numpy as np
import pytest
from served_models import Echo, Gate, InlineEcho
from serving import Running, served, still_answers
from wire import http, infer, infer_body, values

from foretell.clock import ManualClock
from foretell.serve import packing
from foretell.types import DataType, ModelSpec, TensorSpec

ACCEPT = {"Accept-Encoding": "gzip"}
SIZE = 100_000


def large(model: str = "wide", accept: bool = True) -> bytes:
    """A request whose answer is much more than is compressed on the loop."""
    body = infer_body([[0.5] * SIZE], shape=[1, SIZE])
    return http("POST", f"/v2/models/{model}/infer", body, ACCEPT if accept else {})


@pytest.fixture
def wide(serve: Any) -> Running:
    server: Running = serve(wide=Echo(DataType.FP32, (None,)), echo=InlineEcho())
    return server


class Many(Echo):
    """Has much to tell of itself."""

    def __init__(self) -> None:
        super().__init__()
        tensors = tuple(TensorSpec(f"x{number}", DataType.FP32, (None, 3)) for number in range(60))
        self.spec = ModelSpec(inputs=tensors, outputs=tensors)


class Held:
    """Holds every call to compress or decompress until it is let go."""

    def __init__(self, server: Running) -> None:
        self.go, self.inside = threading.Event(), threading.Semaphore(0)
        pool = packing.ThreadPoolExecutor(1)
        self.blocked = [pool.submit(self._wait)]
        server.application.server.packer._pool = pool

    def _wait(self) -> None:
        self.inside.release()
        assert self.go.wait(20)


@pytest.mark.parametrize("path", ["/metrics", "/openapi.json", "/v2/models/many/config", "/v2/models/many"])
@pytest.mark.parametrize("encoding", ["gzip", "deflate", "x-gzip"])
def test_any_reply_is_compressed_for_who_accepts_it(serve: Any, path: str, encoding: str) -> None:
    server = serve(many=Many(), echo=Echo())
    plain = server.ask(http("GET", path))
    assert plain.header("content-encoding") is None and plain.header("vary") is None
    answer = server.ask(http("GET", path, headers={"Accept-Encoding": f"br, {encoding}"}))
    assert answer.status == 200
    assert (answer.header("content-encoding"), answer.header("vary")) == (encoding, "Accept-Encoding")
    assert len(answer.body) < len(plain.body) / 2
    unpacked = zlib.decompress(answer.body) if encoding == "deflate" else gzip.decompress(answer.body)
    assert len(unpacked) > len(plain.body) / 2
    assert answer.header("content-type") == plain.header("content-type")
    with server.connect() as wire:
        head = wire.send(http("HEAD", path, headers={"Accept-Encoding": encoding})).answer(head=True)
        assert head.header("content-encoding") == encoding
    assert server.ask(http("GET", path, headers={"Accept-Encoding": f"{encoding};q=0"})).header("vary") is None
    small = server.ask(http("GET", "/v2", headers={"Accept-Encoding": encoding}))
    assert small.header("content-encoding") is None


@pytest.mark.parametrize(
    ("accept", "encoding"),
    [
        ("deflate;q=1, gzip;q=0.5", "deflate"), ("gzip;q=0.5,deflate;q=0.50", "gzip"), ("GZIP;Q=1.000", "gzip"),
        ("identity, gzip;q=0.9", None), ("identity;q=0.5, gzip", "gzip"), ("identity;q=0, gzip;q=0", None),
        ("gzip;q=much", "gzip"), ("*;q=0.5, ,", None),
    ],
)  # fmt: skip
def test_a_client_gets_what_it_likes_best(echo: Running, accept: str, encoding: str | None) -> None:
    answer = echo.ask(http("GET", "/metrics", headers={"Accept-Encoding": accept}))
    assert (answer.status, answer.header("content-encoding")) == (200, encoding)


def test_a_large_reply_is_compressed_beside_the_loop_in_its_turn(wide: Running) -> None:
    held = Held(wide)
    with wide.connect() as wire:
        wire.send(large() + infer("echo", [1]) + large(accept=False) + large())
        packer = wide.application.server.packer
        wide.until(lambda: packer.waiting)
        still_answers(wide)
        held.go.set()
        first, second, third, fourth = (wire.answer() for _ in range(4))
    assert [each.header("content-encoding") for each in (first, second, third, fourth)] == ["gzip", None, None, "gzip"]
    assert values(second) == [1]
    for packed in (first, fourth):
        assert json.loads(gzip.decompress(packed.body))["outputs"] == third.json["outputs"]
    wide.until(lambda: packer.waiting == 0)


def test_a_client_that_leaves_while_its_reply_is_compressed(wide: Running) -> None:
    held = Held(wide)
    packer = wide.application.server.packer
    with wide.connect() as wire:
        wire.send(large())
        wide.until(lambda: packer.waiting == 1)
    wide.until(lambda: wide.application.server.connections == 0)
    wide.until(lambda: packer.waiting == 0)  # before anybody has compressed anything
    held.go.set()
    still_answers(wide)


def test_what_does_not_get_its_turn_leaves_as_it_is(wide: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing, "_MOST_WAITING", 1)
    held = Held(wide)
    with wide.connect() as first, wide.connect() as second, wide.connect() as third:
        first.send(large())
        wide.until(lambda: wide.application.server.packer.waiting == 1)
        assert second.send(large()).answer().header("content-encoding") is None
        packed = gzip.compress(infer_body([1.0]) + b" " * 100_000)
        answer = third.send(http("POST", "/v2/models/echo/infer", packed, {"Content-Encoding": "gzip"})).answer()
        assert (answer.status, answer.header("retry-after")) == (429, "1")
        held.go.set()
        assert first.answer().header("content-encoding") == "gzip"


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_a_large_body_is_unpacked_beside_the_loop_in_its_turn(wide: Running, encoding: str) -> None:
    held = Held(wide)
    body = infer_body([[float(value) for value in range(SIZE)]], shape=[1, SIZE])
    packed = gzip.compress(body) if encoding == "gzip" else zlib.compress(body)
    with wide.connect() as wire:
        wire.send(http("POST", "/v2/models/wide/infer", packed, {"Content-Encoding": encoding}) + infer("echo", [7]))
        wide.until(lambda: wide.application.server.packer.waiting == 1)
        still_answers(wide)
        held.go.set()
        assert values(wire.answer()) == list(np.arange(SIZE))
        assert values(wire.answer()) == [7]
    wide.until(lambda: wide.application.server.held.bytes == 0)


def test_the_time_that_unpacking_takes_is_the_requests(serve: Any) -> None:
    clock, gate = ManualClock(1000.0), Gate(Echo(DataType.FP32, (None,)))
    gate.open_gate()
    server = serve(served(gate, "gate", clock=clock))
    held = Held(server)
    with server.connect() as wire:
        late = json.loads(infer_body([[0.5] * SIZE], shape=[1, SIZE]))
        late["parameters"] = {"timeout": 5_000_000}
        packed = gzip.compress(json.dumps(late).encode())
        wire.send(http("POST", "/v2/models/gate/infer", packed, {"Content-Encoding": "gzip"}))
        server.until(lambda: server.application.server.packer.waiting == 1)
        clock.advance(6)
        held.go.set()
        assert wire.answer().status == 504
    assert gate.seen == []


def test_a_body_that_turns_out_too_large_or_damaged_is_refused_and_counted(serve: Any) -> None:
    server = serve(wide=Echo(DataType.FP32, (None,)), max_body_bytes=1_000_000)
    bomb = gzip.compress(b" " * 5_000_000)
    torn = gzip.compress(infer_body([1.0], comment="".join(map(str, range(100_000)))))[:-9]
    for body, status in ((bomb, 413), (torn, 400)):
        answer = server.ask(http("POST", "/v2/models/wide/infer", body, {"Content-Encoding": "gzip"}))
        assert (answer.status, bool(answer.error)) == (status, True)
    text = server.ask(http("GET", "/metrics")).body.decode()
    counted = r'^foretell_requests_total\{[^}]*outcome="%s"[^}]*\} 1(\.0)?$'
    for code in ("invalid_input", "http"):
        assert re.search(counted % code, text, re.MULTILINE), text
    server.until(lambda: server.application.server.held.bytes == 0)


def test_gzip_may_come_in_members_and_deflate_bare(serve: Any) -> None:
    """As `cat a.gz b.gz` and bgzip write it (RFC 1952), and as many a client deflates."""
    server = serve(wide=Echo(DataType.FP32, (None,)), max_body_bytes=1_000_000)
    body = infer_body([[float(value) for value in range(20_000)]], shape=[1, 20_000])
    path, small = "/v2/models/wide/infer", infer_body([[1.5]], shape=[1, 1])
    for encoding, packed in (
        ("gzip", b"".join(gzip.compress(body[at : at + 999]) for at in range(0, len(body), 999))),
        ("x-gzip", gzip.compress(body) + gzip.compress(b"")), ("deflate", zlib.compress(body, wbits=-15)),
        ("gzip", gzip.compress(small[:9]) + gzip.compress(small[9:])), ("deflate", zlib.compress(small, wbits=-15)),
    ):  # fmt: skip
        answer = server.ask(http("POST", path, packed, {"Content-Encoding": encoding}))
        assert values(answer) == ([1.5] if len(packed) < 200 else list(range(20_000)))
    one, empty = gzip.compress(body), gzip.compress(b"")
    for encoding, packed, status in (
        ("gzip", one + one[:-1], 400), ("gzip", one + b"noise", 400), ("gzip", one + bytes(8), 400), ("gzip", b"", 400),
        ("gzip", gzip.compress(bytes(600_000)) * 2, 413), ("gzip", one + empty * 5_000, 400), ("deflate", b"", 400),
        ("deflate", zlib.compress(small) * 2, 400), ("deflate", zlib.compress(small, wbits=-15) + b"x", 400),
        ("deflate", b"noise", 400),
    ):  # fmt: skip
        answer = server.ask(http("POST", path, packed, {"Content-Encoding": encoding}))
        assert (answer.status, bool(answer.error)) == (status, True), packed[-20:]
    server.until(lambda: server.application.server.held.bytes == 0)


def test_the_end_does_not_wait_for_what_is_not_unpacked(serve: Any) -> None:
    gate = Gate()
    server = serve(gate=gate, drain_timeout_s=0.0)
    held = Held(server)
    with server.connect() as wire:
        packed = gzip.compress(infer_body([1.0]) + b" " * 100_000)
        wire.send(http("POST", "/v2/models/gate/infer", packed, {"Content-Encoding": "gzip"}))
        server.until(lambda: server.application.server.packer.waiting == 1)
        server.stop()
        answer = wire.answer()
        assert (answer.status, answer.header("retry-after")) == (503, "1")
    held.go.set()
    gate.open_gate()


def test_the_server_itself_tells_what_it_can(echo: Running) -> None:
    answer = echo.ask(http("OPTIONS", "*"))
    assert (answer.status, answer.header("allow"), answer.body) == (204, "GET, HEAD, OPTIONS, POST", b"")
    assert echo.ask(http("GET", "*")).status == 405
    assert echo.ask(http("OPTIONS", "*", headers={"Host": "evil.example"})).status in (400, 421)


@pytest.mark.parametrize("numbered", [False, True])
@pytest.mark.parametrize("encoding", ["gzip", "deflate", "identity"])
def test_a_compressed_body_is_read_the_same_each_time(serve: Any, encoding: str, numbered: bool) -> None:
    """What a connection remembers of heads must not forget how the body is packed."""
    body = infer_body([1.5])
    packed = {"gzip": gzip.compress(body, mtime=0), "deflate": zlib.compress(body), "identity": body}[encoding]
    server = serve(echo=Echo())
    with server.connect() as wire:
        for number in range(6):
            headers = {"Content-Encoding": encoding, **({"X-Request-Id": number} if numbered else {})}
            assert values(wire.send(http("POST", "/v2/models/echo/infer", packed, headers)).answer()) == [1.5]
