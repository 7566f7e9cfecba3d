"""Clients that are slow, greedy, broken or hostile: each gets one answer or a close, and harms nobody else."""

from __future__ import annotations

import socket
import sys
from typing import Any

import pytest
from served_models import Echo, Gate, InlineEcho
from serving import Running
from wire import Wire, chunked, http, infer, infer_body, values

from foretell.serve.connection import HttpConnection

INFER = "/v2/models/echo/infer"
HEAD = b"POST /v2/models/echo/infer HTTP/1.1\r\nHost: test\r\n"


def only_connection(server: Running) -> HttpConnection:
    connections = server.application.server._connections
    server.until(lambda: len(connections) == 1)
    return next(iter(connections))


def still_answers(server: Running) -> None:
    assert values(server.ask(infer("echo", [7]))) == [7]


MALFORMED = {
    "both lengths": HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nX",
    "both lengths, turned": HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\nX",
    "two lengths": HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}X",
    "the same length twice": HEAD + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
    "a list of lengths": HEAD + b"Content-Length: 2, 2\r\n\r\n{}",
    "a signed length": HEAD + b"Content-Length: +2\r\n\r\n{}",
    "a negative length": HEAD + b"Content-Length: -2\r\n\r\n{}",
    "a length in hex": HEAD + b"Content-Length: 0x2\r\n\r\n{}",
    "a length with an underscore": HEAD + b"Content-Length: 1_0\r\n\r\n{}",
    "a length beyond 64 bits": HEAD + b"Content-Length: 99999999999999999999999\r\n\r\n{}",
    "chunked not last": HEAD + b"Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
    "chunked twice": HEAD + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a chunk size in words": HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n0\r\n\r\n",
    "a chunk size with 0x": HEAD + b"Transfer-Encoding: chunked\r\n\r\n0x2\r\n{}\r\n0\r\n\r\n",
    "a negative chunk size": HEAD + b"Transfer-Encoding: chunked\r\n\r\n-2\r\n{}\r\n0\r\n\r\n",
    "a chunk size beyond 64 bits": HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"f" * 17 + b"\r\n{}\r\n0\r\n\r\n",
    "a chunk longer than its size": HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\n{}\r\n0\r\n\r\n",
    "chunks with bare LF": HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\n{}\n0\n\n",
    "lines with bare LF": b"GET /v2 HTTP/1.1\nHost: test\n\n",
    "a bare CR": b"GET /v2 HTTP/1.1\r\nHost: test\rX: y\r\n\r\n",
    "a folded header": b"GET /v2 HTTP/1.1\r\nHost: test\r\nX: a\r\n b\r\n\r\n",
    "a space before the colon": HEAD + b"Content-Length : 2\r\n\r\n{}",
    "a header without a name": HEAD + b": x\r\n\r\n",
    "NUL in a header": HEAD + b"X: a\x00b\r\n\r\n",
    "NUL in the path": b"GET /v2\x00 HTTP/1.1\r\n\r\n",
    "bytes beyond ASCII in the path": b"GET /v2/\xff HTTP/1.1\r\n\r\n",
    "a space in the path": b"GET /v2 x HTTP/1.1\r\n\r\n",
    "a version from the future": b"GET /v2 HTTP/3.7\r\n\r\n",
    "an unknown method": b"BREW /v2 HTTP/1.1\r\n\r\n",
    "garbage": bytes(range(1, 256)) * 8,
    "a TLS hello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500),
    "the preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x12\x04\x00\x00\x00\x00\x00",
    "SSH": b"SSH-2.0-OpenSSH_9.7\r\n",
    "SMTP": b"EHLO test\r\n",
}


@pytest.mark.parametrize("name", MALFORMED)
def test_what_is_no_clear_request_is_refused_and_nothing_after_it_is_read(serve: Any, name: str) -> None:
    server = serve(echo=Echo())
    with server.connect() as wire:
        # The good request behind it must not be answered: a proxy in front may have seen another end.
        answer = wire.send(MALFORMED[name] + http("GET", "/v2")).answer()
        assert answer.status == 400
        assert answer.error.startswith("not a valid HTTP/1.1 request: ")
        assert wire.closed
    still_answers(server)


@pytest.mark.parametrize("encoding", ["gzip, chunked", "identity, chunked", "xchunked"])
def test_transfer_codings_other_than_chunked_are_not_guessed(serve: Any, encoding: str) -> None:
    server = serve(echo=Echo())
    with server.connect() as wire:
        request = HEAD + b"Transfer-Encoding: %b\r\n\r\n2\r\n{}\r\n0\r\n\r\n" % encoding.encode()
        answer = wire.send(request + http("GET", "/v2")).answer()
        assert answer.status == 501
        assert "chunked" in answer.error
        assert wire.closed


def test_a_length_beyond_any_body_is_refused_before_the_body(serve: Any) -> None:
    with serve(echo=Echo()).connect() as wire:
        assert wire.send(HEAD + b"Content-Length: 18446744073709551615\r\n\r\n").answer().status == 413
        assert wire.closed


def test_connect_is_no_tunnel(serve: Any) -> None:
    server = serve(echo=Echo())
    with server.connect() as wire:
        assert wire.send(b"CONNECT test:80 HTTP/1.1\r\n\r\n" + http("GET", "/v2")).answer().status == 404
        assert wire.closed


def test_a_good_request_before_garbage_is_answered(serve: Any) -> None:
    gate = Gate()
    server = serve(gate=gate)
    with server.connect() as wire:
        wire.send(infer("gate", [1]) + b"garbage\r\n\r\n")
        gate.wait_entered()
        gate.open_gate()
        assert values(wire.answer()) == [1]
        assert wire.answer().status == 400
        assert wire.closed


HEADS = {
    "one header": http("GET", "/v2", headers={"X": "y" * 5000}),
    "many headers": http("GET", "/v2", headers={f"X{number}": "y" * 10 for number in range(500)}),
    "the path": http("GET", "/v2?" + "y" * 5000),
}


@pytest.mark.parametrize("name", HEADS)
@pytest.mark.parametrize("size", [7, 100_000])
def test_a_large_head_is_refused(serve: Any, name: str, size: int) -> None:
    server = serve(echo=Echo(), max_header_bytes=4096)
    head = HEADS[name]
    with server.connect() as wire:
        answer = wire.trickle(head[at : at + size] for at in range(0, len(head), size)).answer()
        assert answer.status == 431
        assert "4096" in answer.error
        assert wire.closed
    still_answers(server)


ENDLESS = {
    "a header line": (b"GET /v2 HTTP/1.1\r\nX: ", b"y" * 50_000),
    "header lines": (b"GET /v2 HTTP/1.1\r\n", b"X: y\r\n" * 8000),
    "a path": (b"GET /", b"y" * 50_000),
    "empty lines": (b"\r\n", b"\r\n" * 25_000),
    "a chunk extension": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n2;", b"y" * 50_000),
    "a trailer line": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\nX: ", b"y" * 50_000),
    "trailer lines": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"X: y\r\n" * 8000),
}


@pytest.mark.parametrize("name", ENDLESS)
def test_what_never_ends_is_cut_off(serve: Any, name: str) -> None:
    server = serve(echo=Echo())
    with server.connect() as wire:
        start, piece = ENDLESS[name]
        # Far more than any limit, but not more than the server drops before it closes.
        assert wire.send(start).trickle([piece] * 30).answer().status == 431
        assert wire.finish().closed
    still_answers(server)


def test_a_large_body_is_refused_though_the_client_sends_it_all(serve: Any) -> None:
    server = serve(echo=Echo(), max_body_bytes=100_000)
    body = b" " * 3_000_000
    for request in (http("POST", INFER, body), chunked(INFER, [body[:50_000]] * 60)):
        with server.connect() as wire:
            answer = wire.send(request).answer()
            assert answer.status == 413
            assert "100000" in answer.error
            assert wire.finish().closed
    still_answers(server)


def test_a_refused_client_is_not_listened_to_for_ever(serve: Any) -> None:
    server = serve(echo=Echo(), max_body_bytes=1000)
    with server.connect() as wire:
        assert wire.send(HEAD + b"Content-Length: 5000\r\n\r\n").answer().status == 413
        connection = only_connection(server)
        server.until(lambda: connection.state == "closing")
        server.expire(4)
        wire.send(b"x")
        assert server.application.server.connections == 1
        server.expire(6)
        server.until(lambda: server.application.server.connections == 0)


def test_a_body_of_tiny_chunks_takes_little_memory(serve: Any) -> None:
    server = serve(echo=Echo())
    body = infer_body([1.5], comment="y" * 300_000)
    head = http("POST", INFER, headers={"Transfer-Encoding": "chunked"})
    with server.connect() as wire:
        wire.send(head + b"".join(b"2\r\n%b\r\n" % body[at : at + 2] for at in range(0, len(body) - 1, 2)))
        whole = len(body) // 2 * 2
        connection = only_connection(server)
        server.until(lambda: connection._body_bytes == whole)
        pieces = connection._body
        assert sum(map(sys.getsizeof, pieces)) < 2 * whole
        assert len(pieces) < 100
        rest = body[whole:]
        wire.send((b"1\r\n%b\r\n" % rest if rest else b"") + b"0\r\n\r\n")
        assert values(wire.answer()) == [1.5]


def test_many_requests_in_one_packet_are_no_large_head(serve: Any) -> None:
    requests = infer("echo", [1]) * 40
    with serve(echo=InlineEcho(), max_header_bytes=1024).connect() as wire:
        for cut in (len(requests) - 30, len(requests)):
            wire.send(requests[:cut])
            wire.send(requests[cut:])
            for _ in range(40):
                assert values(wire.answer()) == [1]


def test_a_head_has_to_arrive_in_time(serve: Any) -> None:
    server = serve(echo=Echo(), header_timeout_s=10)
    with server.connect() as wire:
        wire.send(b"GET /v2 ")
        connection = only_connection(server)
        server.until(lambda: connection._head_bytes > 0)
        server.expire(6)
        wire.send(b"HTTP/1.1\r\n")
        server.until(lambda: connection._head_bytes > 8)
        server.expire(11)
        answer = wire.answer()
        assert (answer.status, answer.error) == (408, "the request head did not arrive in time")
        assert wire.finish().closed


def test_a_client_that_says_nothing_is_closed(serve: Any) -> None:
    server = serve(echo=Echo(), header_timeout_s=10)
    with server.connect() as wire:
        server.until(lambda: server.application.server.connections == 1)
        server.expire(11)
        assert wire.answer().status == 408


def test_a_body_has_to_arrive_in_time(serve: Any) -> None:
    server = serve(echo=Echo(), body_timeout_s=60)
    with server.connect() as wire:
        wire.send(infer("echo", [1])[:-3])
        connection = only_connection(server)
        server.until(lambda: connection.state == "body")
        server.expire(59)
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
        server.expire(74)
        assert values(idle.send(infer("echo", [2])).answer()) == [2]
        server.expire(76)
        assert idle.closed
        gate.open_gate()
        assert values(waiting.answer()) == [1]


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
    connection = only_connection(server)
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
        connection = only_connection(server)
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
        connection = only_connection(server)
        server.until(lambda: not connection.busy)
        server.expire(0)
        for _ in range(2):  # what it has begun to ask is refused first
            server.expire(76)
        server.until(lambda: server.application.server.connections == 0)


def test_a_client_that_never_reads_its_last_answer_is_cut_off(serve: Any) -> None:
    server = serve(echo=InlineEcho(), idle_timeout_s=75)
    size = 2_000_000
    last = infer("echo", [[0.123456789] * size], {"Connection": "close"}, shape=[1, size])
    with server.connect(receive_buffer=4096) as wire:
        wire.send(last)
        connection = only_connection(server)
        server.until(lambda: connection.state == "closing")
        server.expire(76)
        server.until(lambda: server.application.server.connections == 0)


def test_work_of_clients_that_left_never_reaches_the_model(serve: Any) -> None:
    gate = Gate()
    server = serve(gate=gate)
    with server.connect() as first:
        first.send(infer("gate", [1]))
        gate.wait_entered()
        gone = [server.connect() for _ in range(20)]
        for number, wire in enumerate(gone):
            wire.send(infer("gate", [100 + number]) * 2)
        server.until(lambda: server.engine("gate").waiting_rows == 40)
        for wire in gone[:10]:
            # A reset, as of a client that is killed; the others close, as if they still might read.
            wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
        for wire in gone:
            wire.close()
        server.until(lambda: server.application.server.connections == 1)
        with server.connect() as last:
            last.send(infer("gate", [2]))
            server.until(lambda: server.engine("gate").waiting_rows == 41)
            gate.open_gate()
            assert values(first.answer()) == [1]
            assert values(last.answer()) == [2]
    assert gate.seen == [1, 2]
    assert server.engine("gate").waiting_rows == 0


@pytest.mark.parametrize(
    ("begun", "status"),
    [
        (b"G", 400), (b"GET /v2/mod", 400), (b"\r\nGET /v2 HTTP/1.1\r\n", 400),
        (b"PUT /v2 HTTP/1.1\r\nX: y", 405),  # the rest is the value of a header, and a body
    ],
)  # fmt: skip
def test_a_known_request_inside_another_is_not_taken_for_one(serve: Any, begun: bytes, status: int) -> None:
    """What a proxy in front sees as one request must not be two here, however the bytes arrive."""
    server = serve(echo=InlineEcho())
    known = infer("echo", [1])
    with server.connect() as wire:
        for _ in range(2):
            assert values(wire.send(known).answer()) == [1]
        wire.send(http("GET", "/v2/health/live") + begun)
        assert wire.answer().json == {"live": True}
        wire.send(known)
        assert wire.answer().status == status
        assert wire.finish().closed


def test_a_request_begun_behind_another_has_to_arrive_in_time_too(serve: Any) -> None:
    server = serve(echo=Echo(), header_timeout_s=10)
    with server.connect() as wire:
        wire.send(http("GET", "/v2") + b"GET /v2 HTT")
        assert wire.answer().status == 200
        server.expire(11)
        assert wire.answer().status == 408
