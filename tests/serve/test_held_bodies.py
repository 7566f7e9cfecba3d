"""What all requests hold together is bounded, although each alone is within its limit."""

from __future__ import annotations

import gc
import gzip
from collections.abc import Callable
from contextlib import ExitStack

import pytest
from served_models import Echo, Gate
from serving import Running, served, still_answers
from wire import chunked, http, infer, infer_body, values

from foretell.config import ModelSettings
from foretell.engine.work import Work
from foretell.serve.exchange import Exchange
from foretell.serve.large_body import LargeBody
from foretell.types import DataType

Serve = Callable[..., Running]
PATH = "/v2/models/echo/infer"
BODY_BYTES = 200_000
LIMITS = {"max_body_bytes": BODY_BYTES, "max_buffered_bytes": 1}  # so that two of them have room


def held(server: Running) -> int:
    return server.on_loop(lambda: server.application.server.held.bytes)


def until_held(server: Running, size: int) -> None:
    bodies = server.application.server.held
    server.until(lambda: bodies.bytes == size)


@pytest.mark.parametrize("how", ["length", "chunked"])
def test_who_would_be_too_much_is_told_to_come_back(serve: Serve, how: str) -> None:
    server = serve(echo=Echo(DataType.FP32, (None,)), **LIMITS)
    half = bytes(150_000)
    begun = http("POST", PATH, headers={"Content-Length": BODY_BYTES}) + half
    with server.connect() as first, server.connect() as second, server.connect() as third:
        for wire, size in ((first, 150_000), (second, 300_000)):
            wire.send(begun)
            until_held(server, size)
        third.send(begun if how == "length" else chunked(PATH, [half]))
        answer = third.answer()
        assert (answer.status, answer.header("retry-after")) == (503, "1")
        assert answer.error == "the server holds as much of requests as it may; try again"
        assert held(server) == 300_000
        still_answers(server)  # small ones are not counted
        first.close()
        until_held(server, 150_000)
        assert server.ask(infer("echo", [[0.5] * 30_000], shape=[1, 30_000])).status == 200
        second.send(bytes(50_000))
        assert second.answer().status == 400
    until_held(server, 0)


def test_a_claim_alone_holds_nothing(serve: Serve) -> None:
    server = serve(echo=Echo(DataType.FP32, (None,)), **LIMITS)
    with ExitStack() as stack:
        for _ in range(5):
            wire = stack.enter_context(server.connect())
            wire.send(http("POST", PATH, headers={"Content-Length": BODY_BYTES}))
        server.until(lambda: server.application.server.connections == 5)
        assert server.ask(infer("echo", [[0.5] * 30_000], shape=[1, 30_000])).status == 200


@pytest.mark.parametrize("leaves", [False, True])
def test_a_body_counts_until_it_is_answered_or_its_client_leaves(serve: Serve, leaves: bool) -> None:
    gate = Gate(Echo(DataType.FP32, (None,)))
    server = serve(gate=gate, **LIMITS)
    request = infer("gate", [[0.5] * 30_000], shape=[1, 30_000])
    size = len(request.partition(b"\r\n\r\n")[2])
    with server.connect() as wire:
        wire.send(request)
        gate.wait_entered()
        assert held(server) == size
        if not leaves:
            gate.open_gate()
            assert wire.answer().status == 200
            assert held(server) == 0
    until_held(server, 0)
    gate.open_gate()


def test_what_a_small_body_unfolds_to_counts(serve: Serve) -> None:
    gate = Gate(Echo(DataType.FP32, (None,)))
    server = serve(gate=gate, **LIMITS)
    body = infer_body([1.0]) + b" " * 150_000
    packed = http("POST", "/v2/models/gate/infer", gzip.compress(body), {"Content-Encoding": "gzip"})
    assert len(packed) < 2000
    with server.connect() as first, server.connect() as second, server.connect() as third:
        first.send(packed)
        until_held(server, len(body))
        gate.wait_entered()
        second.send(packed)
        until_held(server, 2 * len(body))
        assert third.send(packed).answer().status == 503
        gate.open_gate()
        assert [values(wire.answer()) for wire in (first, second)] == [[1], [1]]
    assert held(server) == 0


def test_every_way_out_gives_back(serve: Serve) -> None:
    server = serve(echo=Echo(DataType.FP32, (None,)), **LIMITS)
    large = [[0.5] * 30_000]
    good = infer("echo", large, shape=[1, 30_000])
    wrong = infer("echo", large, shape=[1, 29_999])
    with server.connect() as wire:
        assert [wire.send(request).answer().status for request in (good, wrong, good)] == [200, 400, 200]
        wire.send(good + good)
        assert [wire.answer().status for _ in range(2)] == [200, 200]
    for request in (
        good.replace(b"POST", b"PUT", 1), good[:-1] + b"\r\n" + b"\xff" * 100, good[:100_000],
        chunked(PATH, [bytes(100_000), bytes(100_001)]), chunked(PATH, [bytes(100_000)])[:-7] + b"nonsense\r\n\r\n",
    ):  # fmt: skip
        with server.connect() as wire:
            wire.send(request).finish().rest()
    until_held(server, 0)
    assert "foretell_http_held_body_bytes 0.0" in server.ask(http("GET", "/metrics")).body.decode()


@pytest.mark.parametrize("cache_size", [0, 10])
def test_nothing_of_a_client_that_left_stays(serve: Serve, cache_size: int) -> None:
    """Not even for the garbage collector, which a server lets rest: bodies may be large."""

    def left() -> set[int]:  # by type(), since isinstance() asks each object of the process, and some warn when asked
        return {id(each) for each in gc.get_objects() if issubclass(type(each), (Exchange, Work, LargeBody))}

    gate, size = Gate(Echo(DataType.FP32, (None,))), 50_000
    server = serve(served(gate, "gate", settings=ModelSettings(cache_size=cache_size)))
    gc.collect()
    gc.disable()
    try:
        before = left()
        with server.connect() as first:
            first.send(infer("gate", [[1.0]], shape=[1, 1]))
            gate.wait_entered()
            with server.connect() as queued, server.connect() as halfway:
                queued.send(infer("gate", [[0.5] * size], shape=[1, size]))
                server.until(lambda: server.engine("gate").waiting_rows == 1)
                halfway.send(http("POST", "/v2/models/gate/infer", headers={"Content-Length": 1_000_000}))
                halfway.send(bytes(500_000))
                until_held(server, len(infer_body([[0.5] * size], shape=[1, size])) + 500_000)
            server.until(lambda: server.engine("gate").waiting_rows == 0)  # although the model still works
            gate.open_gate()
            assert values(first.answer()) == [1]
        server.until(lambda: left() <= before)  # the loop counts a connection as closed before it lets go of the last
    finally:
        gc.enable()
    assert gate.batches == [1]
