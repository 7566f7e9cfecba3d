"""Heads that were parsed before: looked up only where they mean the same again."""

from __future__ import annotations

import pytest
from in_memory import Echo, Kept

from foretell.config import ServerSettings
from foretell.serve.connection import HttpConnection
from foretell.serve.server import HttpServer


def connect() -> tuple[HttpServer, Echo, HttpConnection]:
    echo = Echo()
    server = HttpServer(echo, ServerSettings())  # type: ignore[arg-type]
    connection = HttpConnection(server)
    connection.connection_made(Kept())  # type: ignore[arg-type]
    return server, echo, connection


def request(body: bytes, *headers: bytes, url: bytes = b"/x") -> bytes:
    lines = [b"POST %b HTTP/1.1" % url, b"Host: localhost", *headers, b"Content-Length: %d" % len(body), b"", body]
    return b"\r\n".join(lines)


def test_a_known_head_gives_the_same_request_with_its_own_body() -> None:
    server, echo, connection = connect()
    for body in (b"one", b"two", b"six"):
        connection.data_received(request(body))
    assert [seen[2] for seen in echo.seen] == [b"one", b"two", b"six"]
    assert echo.seen[0][0::3] == echo.seen[2][0::3]
    assert len(server.heads) == 1


@pytest.mark.parametrize(
    "header",
    [b"Authorization: Bearer s", b"Cookie: a=b", b"Proxy-Authorization: x", b"Expect: 100-continue", b"Upgrade: h2c"],
)
def test_what_is_secret_or_has_a_state_is_never_kept(header: bytes) -> None:
    server, echo, connection = connect()
    for _ in range(3):
        connection.data_received(request(b"one", header))
    assert len(echo.seen) == 3
    assert len(server.heads) == 0


def test_chunked_bodies_and_closing_connections_are_never_kept() -> None:
    for data in (
        b"POST /x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nz\r\n0\r\n\r\n",
        request(b"one", b"Connection: close"),
        b"GET /x HTTP/1.0\r\n\r\n",
    ):
        server, echo, connection = connect()
        connection.data_received(data)
        assert len(echo.seen) == 1
        assert len(server.heads) == 0


def test_body_bytes_that_look_like_a_known_head_stay_a_body() -> None:
    """The classic smuggling: a body whose bytes are a whole request that is known already."""
    server, echo, connection = connect()
    known = request(b"one")
    connection.data_received(known)
    connection.data_received(known)
    head = b"POST /y HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(known)
    connection.data_received(head)
    connection.data_received(known)
    assert [seen[1:3] for seen in echo.seen] == [(b"/x", b"one"), (b"/x", b"one"), (b"/y", known)]
    assert len(server.heads) == 1


def test_a_known_head_with_more_or_less_than_its_body_goes_to_the_parser() -> None:
    _, echo, connection = connect()
    whole = request(b"one")
    connection.data_received(whole)
    connection.data_received(whole)
    echo.seen.pop()
    connection.data_received(whole[:-1])
    assert len(echo.seen) == 1
    connection.data_received(whole[-1:] + request(b"two") + whole)
    assert [seen[2] for seen in echo.seen] == [b"one", b"one", b"two", b"one"]


def test_pipelined_requests_teach_nothing_wrong() -> None:
    server, echo, connection = connect()
    connection.data_received(request(b"one", url=b"/a") + request(b"two", url=b"/b"))
    connection.data_received(request(b"six", url=b"/a"))
    connection.data_received(request(b"ten", url=b"/b"))
    assert [seen[1:3] for seen in echo.seen] == [(b"/a", b"one"), (b"/b", b"two"), (b"/a", b"six"), (b"/b", b"ten")]
    assert len(server.heads) == 2


def test_blank_lines_before_a_request_cannot_plant_a_head() -> None:
    server, echo, connection = connect()
    inner = b"POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc"
    connection.data_received(b"\r\n\r\n" + inner)
    assert [seen[2] for seen in echo.seen] == [b"abc"]
    assert len(server.heads) == 0


def test_the_cache_is_bounded_and_a_client_of_ever_new_heads_stops_asking() -> None:
    server, echo, connection = connect()
    for number in range(100):
        connection.data_received(request(b"x", b"X-Id: %d" % number))
    assert len(echo.seen) == 100
    assert len(server.heads) < 20
    for number in range(1100):
        connection = HttpConnection(server)
        connection.connection_made(Kept())  # type: ignore[arg-type]
        connection.data_received(request(b"x", b"X-Id: n%d" % number))
    assert len(server.heads) <= 1024
    big = HttpConnection(server)
    big.connection_made(Kept())  # type: ignore[arg-type]
    before = len(server.heads)
    big.data_received(request(b"x", b"X-Long: " + b"a" * 4000))
    assert len(server.heads) == before
