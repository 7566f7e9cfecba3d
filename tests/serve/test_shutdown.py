"""The orderly end: what was accepted is answered, what comes in time too, and nothing hangs."""

from __future__ import annotations

import asyncio
import threading
from contextlib import ExitStack
from typing import Any

from served_models import Echo, Gate
from wire import Wire, http, infer, values


def test_what_was_accepted_is_answered_and_then_closed(serve: Any) -> None:
    gate = Gate()
    server = serve(gate=gate)
    with ExitStack() as stack:
        wires = [stack.enter_context(server.connect()) for _ in range(20)]
        for number, wire in enumerate(wires):
            wire.send(infer("gate", [number]) + infer("gate", [100 + number]))
        gate.wait_entered()
        server.until(lambda: server.engine("gate").waiting_rows + sum(gate.batches) == 40)
        server.stop()
        server.until(lambda: server.application.server.draining)
        gate.open_gate()
        for number, wire in enumerate(wires):
            assert values(wire.answer()) == [number]
            last = wire.answer()
            assert values(last) == [100 + number]
            assert last.header("connection") == "close"
            assert wire.closed
    server.join()


def test_readiness_ends_first(serve: Any) -> None:
    gate = Gate()
    server = serve(gate=gate)
    with server.connect() as waiting, server.connect() as probe:
        waiting.send(infer("gate", [1]))
        gate.wait_entered()
        assert probe.send(http("GET", "/v2/health/ready")).answer().status == 200
        server.stop()
        server.until(lambda: server.application.server.draining)
        ready = probe.send(http("GET", "/v2/health/ready")).answer()
        assert (ready.status, ready.json["ready"]) == (503, False)
        assert ready.header("connection") == "close"
        gate.open_gate()
        assert values(waiting.answer()) == [1]
    server.join()


def test_readiness_may_end_long_before(serve: Any) -> None:
    """The time is real: nothing here can pretend that it has passed."""
    server = serve(echo=Echo(), drain_delay_s=0.1)
    loop = server._loop
    asyncio.run_coroutine_threadsafe(server.application.server.linger(asyncio.Event()), loop).result(20)
    assert server.ask(http("GET", "/v2/health/ready")).status == 503
    answer = server.ask(infer("echo", [1]))
    assert (values(answer), answer.header("connection")) == ([1], None)


def test_a_request_on_its_way_is_answered(serve: Any) -> None:
    server = serve(echo=Echo())
    request = infer("echo", [1])
    with server.connect() as half_head, server.connect() as half_body, server.connect() as idle:
        idle.send(http("GET", "/v2")).answer()
        half_head.send(request[:20])
        half_body.send(request[:-5])
        connections = server.application.server._connections
        server.until(lambda: sorted(c.state for c in connections) == ["body", "head", "idle"])
        server.until(lambda: all(c.state != "head" or c._head_bytes for c in connections))
        server.stop()
        assert idle.closed
        half_head.send(request[20:])
        half_body.send(request[-5:])
        for wire in (half_head, half_body):
            answer = wire.answer()
            assert values(answer) == [1]
            assert answer.header("connection") == "close"
            assert wire.closed
    server.join()


def test_no_client_under_load_loses_a_request(serve: Any) -> None:
    server = serve(echo=Echo())
    answered = threading.Semaphore(0)
    failures: list[object] = []

    def ask() -> None:
        """Asks until the server says that it was the last answer, as a client that keeps its connection does."""
        try:
            with Wire(server.port) as wire:
                while True:
                    answer = wire.send(infer("echo", [1])).answer()
                    assert values(answer) == [1]
                    answered.release()
                    if answer.header("connection") == "close":
                        return
        except Exception as error:
            failures.append(error)

    clients = [threading.Thread(target=ask) for _ in range(16)]
    for client in clients:
        client.start()
    for _ in range(200):
        assert answered.acquire(timeout=20)
    server.stop()
    for client in clients:
        client.join(20)
    assert failures == []
    server.join()


def test_what_takes_too_long_is_told_to_try_elsewhere(serve: Any) -> None:
    gate = Gate()
    server = serve(gate=gate, drain_timeout_s=0.05)
    with server.connect() as running, server.connect() as waiting:
        running.send(infer("gate", [1]))
        gate.wait_entered()
        waiting.send(infer("gate", [2]) + infer("gate", [3]))
        server.until(lambda: server.engine("gate").waiting_rows == 2)
        server.stop()
        for wire, count in ((running, 1), (waiting, 2)):
            for _ in range(count):
                answer = wire.answer()
                assert answer.status == 503
                assert answer.header("retry-after") == "1"
                assert "shutting down" in answer.error
            assert wire.closed
        gate.open_gate()
        server.join()
    assert 2 not in gate.seen


def test_a_client_that_does_not_read_holds_nobody_up(serve: Any) -> None:
    server = serve(echo=Echo(), drain_timeout_s=0.05)
    size = 2_000_000
    request = infer("echo", [[0.123456789] * size], shape=[1, size])  # takes longer than who has connected may wait
    with server.connect(receive_buffer=4096) as wire:
        wire.send(request)
        (connection,) = server.application.server._connections
        server.until(lambda: connection._transport.get_write_buffer_size() > 0)
        server.stop()
        server.join()
