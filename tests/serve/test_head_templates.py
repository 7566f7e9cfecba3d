"""Heads that differ from earlier ones in a few values: what is read past the parser is what the parser would read."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from in_memory import Echo, Kept

from foretell.config import ServerSettings
from foretell.serve.connection import HttpConnection
from foretell.serve.server import HttpServer

Seen = list[tuple[bytes, bytes, bytes, dict[bytes, bytes]]]


class Door:
    """Connections of one server, and what the application saw."""

    def __init__(self, **settings: Any) -> None:
        self.echo = Echo()
        self.server = HttpServer(self.echo, ServerSettings(**settings))  # type: ignore[arg-type]
        self.connection = self.connect()

    def connect(self) -> HttpConnection:
        connection = HttpConnection(self.server)
        connection.connection_made(Kept())  # type: ignore[arg-type]
        return connection

    def ask(self, data: bytes) -> Seen:
        """What the application sees of `data`. The reply leaves at once."""
        before = len(self.echo.seen)
        self.connection.data_received(data)
        self.connection.flush()
        return self.echo.seen[before:]

    @property
    def parsed(self) -> int:
        """Bytes of heads that went through the parser: its misses in a row."""
        return self.connection._misses


def request(body: bytes, *headers: bytes, url: bytes = b"/x", length: bytes | None = None) -> bytes:
    size = b"%d" % len(body) if length is None else length
    lines = [b"POST %b HTTP/1.1" % url, b"Host: localhost", *headers, b"Content-Length: " + size, b"", body]
    return b"\r\n".join(lines)


@pytest.mark.parametrize("name", [b"X-Request-Id", b"x-request-id", b"traceparent", b"Authorization", b"X-Anything"])
def test_a_value_that_changes_each_time_costs_no_parsing(name: bytes) -> None:
    door = Door()
    for number in range(50):
        value = b"Bearer %d" % number if name == b"Authorization" else b"v-%d" % number
        ((_, _, body, headers),) = door.ask(request(b"b%02d" % number, b"%b: %b" % (name, value)))
        assert (body, headers[name.lower()]) == (b"b%02d" % number, value)
        if number > 2:
            assert door.parsed == 0, number
    assert len(door.server.heads) == 0


def test_bodies_of_every_length_cost_no_parsing_either() -> None:
    door = Door()
    for number in range(2, 200):
        ((_, _, body, headers),) = door.ask(request(b"b" * number, b"X-Request-Id: %d" % number))
        assert (len(body), headers[b"content-length"]) == (number, b"%d" % number)
    assert door.parsed == 0


def test_a_connection_keeps_few_templates_and_gives_up_on_a_client_whose_heads_all_differ() -> None:
    door = Door()
    for number in range(100):
        door.ask(request(b"", b"X-Request-Id: %d" % number, url=b"/%d" % number))
    assert len(door.connection._templates) == 4
    assert door.parsed == 8
    assert len(door.server.heads) == 0


def test_clients_that_ask_once_take_no_place() -> None:
    door = Door()
    for number in range(1100):
        door.connection = door.connect()
        door.ask(request(b"", b"X-Unique: %d" % number))
    assert len(door.server.heads) == 0


def test_what_is_secret_is_not_kept_in_a_template() -> None:
    door = Door()
    for number in range(3):
        door.ask(request(b"", b"Authorization: Bearer secret%d" % number, b"Cookie: secret%d" % number))
    assert door.connection._templates
    assert b"secret" not in repr(door.connection._templates).encode()


@pytest.mark.parametrize(
    "odd",
    [
        b"X-Request-Id: a\x00b", b"X-Request-Id: a\rb", b"X-Request-Id: a\nTransfer-Encoding: chunked",
        b"X-Request-Id: a\r\n b", b"X-Request-Id: ", b"X-Request-Id:  a ", b"X-Request-Id: a\x7fb",
        b"X-Request-Id: a\tb", b"X-Request-Id: \xc3\xa9", b"X-Request-Id: a\r\nX-Request-Id: b",
        b"X-Request-Id: a\r\nTransfer-Encoding: chunked", b"X-Request-Id: a\r\nContent-Length: 3",
        b"X-Request-Id: " + b"a" * 600, b"X-Request-Id : a", b"x-Request-id: a",
    ],
)  # fmt: skip
@pytest.mark.parametrize("length", [None, b"+3", b"3 ", b"03", b"0x3", b"", b"-1", b"99999999999999999999", b"1_0"])
def test_what_is_odd_ends_as_it_does_on_a_new_connection(odd: bytes, length: bytes | None) -> None:
    door, fresh = Door(), Door()
    for number in range(4):
        door.ask(request(b"abc"[: number % 3 + 1], b"X-Request-Id: %d" % number))
    assert door.connection._templates
    data = request(b"abc", odd, length=length)
    assert door.ask(data) == fresh.ask(data)
    assert [c.connection._closing for c in (door, fresh)] in ([True, True], [False, False])


def test_bytes_of_a_body_that_look_like_a_fitting_head_stay_a_body() -> None:
    door = Door()
    for number in range(4):
        door.ask(request(b"abc", b"X-Request-Id: %d" % number))
    inner = request(b"abc", b"X-Request-Id: inner")
    assert door.ask(b"POST /y HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(inner)) == []
    ((_, url, body, _),) = door.ask(inner)
    assert (url, body) == (b"/y", inner)


def test_limits_hold_for_what_fits() -> None:
    door = Door(max_body_bytes=100, max_header_bytes=1024)
    for number in range(4):
        door.ask(request(b"b" * number, b"X-Request-Id: %d" % number, b"X-More: %d" % number))
    assert len(door.ask(request(b"b" * 100, b"X-Request-Id: 1", b"X-More: 1"))) == 1
    assert len(door.ask(request(b"", b"X-Request-Id: " + b"a" * 400, b"X-More: " + b"a" * 400))) == 1
    assert door.ask(request(b"", b"X-Request-Id: " + b"a" * 500, b"X-More: " + b"a" * 500)) == []
    assert door.connection._closing
    door.connection = door.connect()
    for number in range(4):
        door.ask(request(b"b" * number, b"X-Request-Id: %d" % number))
    assert door.ask(request(b"b" * 101, b"X-Request-Id: 1")) == []
    assert door.connection._closing


NAMES = st.sampled_from(
    [b"X-Request-Id", b"x-request-id", b"Accept", b"Traceparent", b"Connection", b"Content-Length", b"Authorization",
     b"Transfer-Encoding", b"Expect", b"X-A", b"Host"]
)  # fmt: skip
VALUES = st.sampled_from(
    [b"1", b"2", b"abc", b"", b" a", b"a ", b"a b", b"a\r\n b", b"a\nb", b"a\x00", b"\xff", b"close", b"keep-alive",
     b"chunked", b"0", b"3", b"100-continue", b"a\r\nX-B: c", b"\r\n"]
)  # fmt: skip
REQUESTS = st.builds(
    lambda headers, body, url, more: request(body, *[n + s + v for n, s, v in headers], url=url) + more,
    st.lists(st.tuples(NAMES, st.sampled_from([b": ", b": ", b":", b":\t", b" : "]), VALUES), max_size=3),
    st.sampled_from([b"", b"a", b"abc", b"0\r\n\r\n", b"\r\n\r\n"]),
    st.sampled_from([b"/x", b"/y"]),
    st.sampled_from([b"", b"", b"", b"", b"\r\n", request(b"abc", b"X-Request-Id: 1")]),
)


@example([request(b"a", b"X-Request-Id: 1"), request(b"a", b"X-Request-Id: 2"), request(b"a", b"X-Request-Id:2")])
@given(st.lists(REQUESTS, min_size=1, max_size=8))
def test_any_requests_are_read_as_if_each_were_parsed(requests: list[bytes]) -> None:
    """A connection that remembers, and one that parses everything, see the same and end the same."""
    remembers, parses = Door(), Door()
    for data in requests:
        parses.connection._misses = 8
        assert remembers.ask(data) == parses.ask(data)
        assert remembers.connection._closing == parses.connection._closing
        assert remembers.connection.state == parses.connection.state
