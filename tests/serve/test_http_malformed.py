"""What is no clear request is refused, and nothing after it is taken for one."""

from __future__ import annotations

from typing import Any

import pytest
from served_models import Echo, Gate, InlineEcho
from serving import still_answers
from wire import http, infer, values

HEAD = b"POST /v2/models/echo/infer HTTP/1.1\r\nHost: localhost\r\n"

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
    "lines with bare LF": b"GET /v2 HTTP/1.1\nHost: localhost\n\n",
    "a bare CR": b"GET /v2 HTTP/1.1\r\nHost: localhost\rX: y\r\n\r\n",
    "a folded header": b"GET /v2 HTTP/1.1\r\nHost: localhost\r\nX: a\r\n b\r\n\r\n",
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


def test_who_begins_http_2_is_told(serve: Any) -> None:
    answer = serve(echo=Echo()).ask(MALFORMED["the preface of HTTP/2"])
    assert answer.error == "not a valid HTTP/1.1 request: it begins HTTP/2, which this server does not speak"


@pytest.mark.parametrize("encoding", ["gzip, chunked", "identity, chunked", "xchunked"])
def test_transfer_codings_other_than_chunked_are_not_guessed(serve: Any, encoding: str) -> None:
    server = serve(echo=Echo())
    with server.connect() as wire:
        request = HEAD + b"Transfer-Encoding: %b\r\n\r\n2\r\n{}\r\n0\r\n\r\n" % encoding.encode()
        answer = wire.send(request + http("GET", "/v2")).answer()
        assert answer.status == 501
        assert "chunked" in answer.error
        assert wire.closed


def test_connect_is_no_tunnel(serve: Any) -> None:
    server = serve(echo=Echo())
    with server.connect() as wire:
        assert (
            wire.send(b"CONNECT test:80 HTTP/1.1\r\nHost: localhost\r\n\r\n" + http("GET", "/v2")).answer().status
            == 404
        )
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
        assert wire.answer().json["live"] is True
        wire.send(known)
        assert wire.answer().status == status
        assert wire.finish().closed
