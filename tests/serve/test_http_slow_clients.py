"""Clients that are slow, do not read, leave, or are too many: each has its time, and holds up nobody else."""

from __future__ import annotations

import socket
from typing import Any

from served_models import Echo, Gate, InlineEcho
from serving import Running, still_answers
from wire import Wire, http, infer, values

HEAD = b"POST /v2/models/echo/infer HTTP/1.1\r\nHost: localhost\r\n"


def test_a_head_has_to_arrive_in_time(serve: Any) -> None:
    server = serve(echo=Echo(), header_timeout_s=10)
    with server.connect() as wire:
        wire.send(b"GET /v2 ")
        connection = server.only_connection()
        server.until(lambda: connection._head_bytes > 0)
        server.expire(6)
        wire.send(b"HTTP/1.1\r\n")
        server.until(lambda: connection._head_bytes > 8)
        server.expire(11)
        answer = wire.answer()
        assert (answer.status, answer.error) == (408, "the request head did not arrive in time")
        assert wire.finish().closed


def test_a_request_begun_behind_another_has_to_arrive_in_time_too(serve: Any) -> None:
    server = serve(echo=Echo(), header_timeout_s=10)
    with server.connect() as wire:
        wire.send(http("GET", "/v2") + b"GET /v2 HTT")
        assert wire.answer().status == 200
        server.expire(11)
        assert wire.answer().status == 408


def test_a_client_that_says_nothing_is_closed_without_a_word(serve: Any) -> None:
    """Pools of proxies and browsers open connections ahead of use: a 408 would be their answer to what they send."""
    server = serve(echo=Echo(), header_timeout_s=10)
    with server.connect() as wire:
        server.until(lambda: server.application.server.connections == 1)
        server.expire(11)
        assert wire.closed


def test_a_body_has_to_arrive_in_time(serve: Any) -> None:
    server = serve(echo=Echo(), body_timeout_s=60)
    with server.connect() as wire:
        wire.send(infer("echo", [1])[:-3])
        connection = server.only_connection()
        server.until(lambda: connection.state == "body")
        server.expire(50)
        server.expire(61)
        answer = wire.answer()
        assert (answer.status, answer.error) == (408, "the request body did not arrive in time")
        assert wire.finish().closed
    still_answers(server)


def test_an_idle_connection_is_closed_and_a_waiting_one_is_not(serve: Any) -> None:
    gate = Gate()
    server = serve(gate=gate, echo=Echo(), idle_timeout_s=75, request_timeout_s=10_000)
    with server.connect() as idle, server.connect() as waiting:
        assert values(idle.send(infer("echo", [1])).answer()) == [1]
        waiting.send(infer("gate", [1]))
        gate.wait_entered()
        server.expire(70)
        assert values(idle.send(infer("echo", [2])).answer()) == [2]
        server.expire(76)
        assert idle.closed
        gate.open_gate()
        assert values(waiting.answer()) == [1]


def test_a_refused_client_is_not_listened_to_for_ever(serve: Any) -> None:
    server = serve(echo=Echo(), max_body_bytes=1000)
    with server.connect() as wire:
        assert wire.send(HEAD + b"Content-Length: 5000\r\n\r\n").answer().status == 413
        connection = server.only_connection()
        server.until(lambda: connection.state == "closing")
        server.expire(2)
        wire.send(b"x")
        assert server.application.server.connections == 1
        server.expire(6)
        server.until(lambda: server.application.server.connections == 0)


def test_one_client_too_many_is_told_to_come_back(serve: Any) -> None:
    server = serve(echo=Echo(), max_connections=2)
    with server.connect() as first:
        with server.connect() as second:
            for wire in (first, second):
                wire.send(http("GET", "/v2")).answer()
            for _ in range(5):
                with server.connect() as third:
                    answer = third.answer()
                    assert answer.status == 503
                    assert answer.header("retry-after") == "1"
                    assert "too many connections" in answer.error
                    assert third.closed
            assert values(first.send(infer("echo", [1])).answer()) == [1]
        server.until(lambda: server.application.server.connections == 1)
        still_answers(server)


def send_until_it_stops(wire: Wire, server: Running, request: bytes, most: int) -> int:
    """Sends `request` again and again until the server reads no more. Returns the bytes sent."""
    connection = server.only_connection()
    wire.socket.setblocking(False)
    sent, block = 0, request * (65536 // len(request))
    while sent < most:
        try:
            sent += wire.socket.send(block[sent % len(block) :])
        except BlockingIOError:
            if server.on_loop(lambda: connection._paused):
                break
    wire.socket.settimeout(20)
    return sent


def test_a_client_that_never_reads_is_not_read_from(serve: Any) -> None:
    server = serve(echo=InlineEcho())
    request = http("GET", "/v2/models/echo")
    with server.connect(receive_buffer=4096) as wire:
        sent = send_until_it_stops(wire, server, request, most=40_000_000)
        assert sent < 30_000_000
        connection = server.only_connection()
        assert server.on_loop(connection._transport.get_write_buffer_size) < 8_000_000
        assert values(server.ask(infer("echo", [1]))) == [1]
        # It reads at last: every request has its answer.
        whole, rest = divmod(sent, len(request))
        assert {wire.answer().status for _ in range(whole)} == {200}
        assert wire.send(request[rest:]).answer().status == 200


def test_a_client_that_never_reads_is_cut_off(serve: Any) -> None:
    server = serve(echo=InlineEcho(), idle_timeout_s=75)
    with server.connect(receive_buffer=4096) as wire:
        send_until_it_stops(wire, server, http("GET", "/v2/models/echo"), most=40_000_000)
        connection = server.only_connection()
        server.until(lambda: connection._full)
        server.expire(0)
        for _ in range(2):  # what it has begun to ask may be refused first
            server.expire(76)
        server.until(lambda: server.application.server.connections == 0)


def test_a_client_that_never_reads_its_last_answer_is_cut_off(serve: Any) -> None:
    server = serve(echo=InlineEcho(), idle_timeout_s=75)
    size = 2_000_000
    last = infer("echo", [[0.123456789] * size], {"Connection": "close"}, shape=[1, size])
    with server.connect(receive_buffer=4096) as wire:
        wire.send(last)
        connection = server.only_connection()
        server.until(lambda: connection.state == "closing")
        server.expire(76)
        server.until(lambda: server.application.server.connections == 0)


def test_work_of_clients_that_left_never_reaches_the_model(serve: Any) -> None:
    gate = Gate()
    server = serve(gate=gate)
    with server.connect() as first:
        first.send(infer("gate", [1]))
        gate.wait_entered()
        gone = [server.connect() for _ in range(100)]
        for number, wire in enumerate(gone):
            wire.send(infer("gate", [100 + number]) * 10)
        server.until(lambda: server.engine("gate").waiting_rows == 1_000)
        for wire in gone[:50]:
            # A reset, as of a client that is killed; the others close, as if they still might read.
            wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
        for wire in gone:
            wire.close()
        server.until(lambda: server.application.server.connections == 1)
        with server.connect() as last:
            last.send(infer("gate", [2]))
            server.until(lambda: server.engine("gate").waiting_rows == 1)  # and nobody who left takes a place
            gate.open_gate()
            assert values(first.answer()) == [1]
            assert values(last.answer()) == [2]
    assert gate.seen == [1, 2]
    assert server.engine("gate").waiting_rows == 0
