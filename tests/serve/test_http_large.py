"""Heads, bodies and pipelines that are larger than allowed, or only look so."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from served_models import Echo, InlineEcho
from serving import still_answers
from wire import chunked, http, infer, infer_body, values

INFER = "/v2/models/echo/infer"
HEAD = b"POST /v2/models/echo/infer HTTP/1.1\r\nHost: localhost\r\n"


def test_a_length_beyond_any_body_is_refused_before_the_body(serve: Any) -> None:
    with serve(echo=Echo()).connect() as wire:
        assert wire.send(HEAD + b"Content-Length: 18446744073709551615\r\n\r\n").answer().status == 413
        assert wire.closed


HEADS = {
    "one header": http("GET", "/v2", headers={"X": "y" * 5000}),
    "many headers": http("GET", "/v2", headers={f"X{number}": "y" * 100 for number in range(50)}),
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


def test_a_body_of_tiny_chunks_takes_little_memory(serve: Any) -> None:
    server = serve(echo=Echo())
    body = infer_body([1.5], comment="y" * 300_000)
    head = http("POST", INFER, headers={"Transfer-Encoding": "chunked"})
    with server.connect() as wire:
        wire.send(head + b"".join(b"2\r\n%b\r\n" % body[at : at + 2] for at in range(0, len(body) - 1, 2)))
        whole = len(body) // 2 * 2
        connection = server.only_connection()
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
