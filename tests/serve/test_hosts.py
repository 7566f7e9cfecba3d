"""Which Host a request may name: what a web page under a foreign name asks is never answered."""

from __future__ import annotations

from typing import Any

import pytest
from served_models import Echo, InlineEcho
from wire import http, infer, infer_body, values

from foretell.config import Layer, ServerSettings, resolve
from foretell.errors import InvalidSetting
from foretell.serve.hosts import hosts_of
from foretell.serve.messages import HttpError

LOCAL = ("localhost", "LocalHost:8000", "127.0.0.1", "127.0.0.1:9", "[::1]", "[::1]:8000", "localhost.", "localhost:")
FOREIGN = ("evil.example", "localhost.evil.example", "127.0.0.1.evil.example:8000", "10.0.0.1", "[::2]", "0.0.0.0")
UNCLEAR = ("", "a b", "localhost:http", "localhost@evil", "localhost/", "[::1", "localhost, evil", "localhost:123456")


def request(*hosts: str, path: str = "/v2", version: str = "1.1") -> bytes:
    lines = [f"GET {path} HTTP/{version}", *(f"Host: {host}" for host in hosts), "", ""]
    return "\r\n".join(lines).encode()


@pytest.mark.parametrize("host", LOCAL)
def test_a_local_name_is_good_on_loopback(serve: Any, host: str) -> None:
    assert serve(echo=Echo()).ask(request(host)).status == 200


@pytest.mark.parametrize("host", FOREIGN)
def test_a_foreign_name_is_misdirected_on_loopback(serve: Any, host: str) -> None:
    server = serve(echo=Echo())
    for version in ("1.1", "1.0"):
        with server.connect() as wire:
            answer = wire.send(request(host, version=version) + request("localhost")).answer()
            assert answer.status == 421
            assert "allowed_hosts" in answer.error
            assert wire.closed


@pytest.mark.parametrize("host", UNCLEAR)
def test_an_unclear_host_is_refused_everywhere(serve: Any, host: str) -> None:
    for settings in ({}, {"allowed_hosts": ("*",)}):
        answer = serve(echo=Echo(), **settings).ask(request(host))
        assert answer.status == 400
        assert "Host" in answer.error


def test_http_1_1_needs_one_host_and_1_0_none(serve: Any) -> None:
    server = serve(echo=Echo(), allowed_hosts=("*",))
    answer = server.ask(request())
    assert (answer.status, answer.error) == (400, "there is no Host header; HTTP/1.1 needs one")
    answer = server.ask(request("localhost", "localhost"))
    assert (answer.status, answer.error) == (400, "there are two Host headers; expected one")
    assert server.ask(request(version="1.0")).status == 200


def test_the_host_of_an_absolute_url_counts_too(serve: Any) -> None:
    server = serve(echo=Echo())
    assert server.ask(request("localhost", path="http://localhost:8000/v2")).status == 200
    assert server.ask(request("localhost", path="http://evil.example/v2")).status == 421
    assert server.ask(request("evil.example", path="http://localhost/v2")).status == 421
    assert server.ask(request("localhost", path="HTTP://user@localhost/v2")).status == 400


def test_allowed_hosts_add_to_the_local_names(serve: Any) -> None:
    server = serve(echo=Echo(), allowed_hosts=("models.example", "[fe80::1]"))
    for host, status in (("Models.Example:443", 200), ("[FE80::1]", 200), ("localhost", 200), ("evil.example", 421)):
        assert server.ask(request(host)).status == status


def test_any_host_may_be_allowed(serve: Any) -> None:
    assert serve(echo=Echo(), allowed_hosts=("*",)).ask(request("evil.example")).status == 200


def test_on_another_address_only_allowed_hosts_restrict(serve: Any) -> None:
    assert serve(echo=Echo(), host="0.0.0.0").ask(request("models.example")).status == 200
    server = serve(echo=Echo(), host="0.0.0.0", allowed_hosts=("models.example",))
    for host, status in (("models.example", 200), ("localhost", 421)):
        assert server.ask(request(host)).status == status


def test_a_probe_may_come_by_any_address(serve: Any) -> None:
    """As those of Kubernetes do, which name the address of the pod."""
    server = serve(echo=Echo(), host="0.0.0.0", allowed_hosts=("models.example",))
    with server.connect() as wire:
        for path in ("/v2/health/ready", "/v2/health/live", "/v2/health/ready?from=kubelet") * 2:
            assert wire.send(request("10.1.2.3:8000", path=path)).answer().status == 200
        assert wire.send(request("10.1.2.3:8000")).answer().status == 421
    assert server.ask(request("a b", path="/v2/health/ready")).status == 400
    assert serve(echo=Echo()).ask(request("10.1.2.3", path="/v2/health/ready")).status == 421


def test_the_address_itself_is_good_where_it_is_another_loopback_one() -> None:
    hosts = hosts_of((), "127.0.0.2", local=True)
    hosts.check(b"127.0.0.2:80", b"/", "1.1")
    with pytest.raises(HttpError, match=r"127\.0\.0\.3"):
        hosts.check(b"127.0.0.3", b"/", "1.1")
    hosts_of((), "::1", local=True).check(b"[::1]", b"/", "1.1")


def test_what_is_remembered_of_hosts_is_bounded() -> None:
    hosts = hosts_of(("*",), "127.0.0.1", local=True)
    for number in range(1000):
        hosts.check(b"h%d" % number, b"/", "1.1")
    assert 0 < len(hosts.passed) <= 256


def test_a_known_head_does_not_open_the_door_to_another_host(serve: Any) -> None:
    server = serve(echo=InlineEcho())
    good = infer("echo", [1])
    with server.connect() as wire:
        for _ in range(3):
            assert values(wire.send(good).answer()) == [1]
        assert wire.send(good.replace(b"localhost", b"evilhosts")).answer().status == 421
        assert wire.closed
    assert server.ask(good.replace(b"localhost", b"evilhosts")).status == 421


@pytest.mark.parametrize("name", ["https://a.example", "a.example:80", "a b", "", "[::1"])
def test_a_host_that_could_never_match_is_refused_at_the_start(name: str) -> None:
    with pytest.raises(InvalidSetting, match="--allowed-hosts: allowed_hosts: wrong value"):
        resolve(ServerSettings, [Layer("--allowed-hosts", {"allowed_hosts": [name]})])


@pytest.mark.parametrize(
    "header", ["Host: localhost", "Authorization: Bearer x", "Inference-Header-Content-Length: 5", "Origin: http://a"]
)
def test_a_header_that_decides_may_come_once_only(serve: Any, header: str) -> None:
    server = serve(echo=Echo())
    double = f"{header}\r\n" * (1 if header.startswith("Host") else 2)
    body = infer_body([1])
    head = f"POST /v2/models/echo/infer HTTP/1.1\r\nHost: localhost\r\n{double}Content-Length: {len(body)}\r\n\r\n"
    answer = server.ask(head.encode() + body)
    assert answer.status == 400
    assert answer.error == f"there are two {header.partition(':')[0]} headers; expected one"


def test_lists_may_come_in_several_headers(serve: Any) -> None:
    """The encodings that a client accepts, and those it used: none of them is lost."""
    server = serve(echo=Echo())
    head = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nAccept-Encoding: x\r\nAccept-Encoding: deflate\r\n\r\n"
    assert server.ask(head).status == 200
    body = infer_body([1])
    twice = http("POST", "/v2/models/echo/infer", body).replace(
        b"\r\n\r\n", b"\r\nContent-Encoding: gzip\r\nContent-Encoding: identity\r\n\r\n", 1
    )
    assert server.ask(twice).status == 501
    chunked = b"POST /v2 HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert server.ask(chunked + b"0\r\n\r\n").status == 501


def test_too_many_headers_are_refused_however_they_come(serve: Any) -> None:
    server = serve(echo=Echo(), max_headers=20)
    head = b"GET /v2 HTTP/1.1\r\nHost: localhost\r\n"
    for lines in ([b"X%d: y\r\n" % number for number in range(20)], [b"X: y\r\n"] * 21):
        for pieces in ([head + b"".join(lines) + b"\r\n"], [head, *lines, b"\r\n"]):
            with server.connect() as wire:
                answer = wire.trickle(pieces).answer()
                assert (answer.status, answer.error) == (431, "there are too many headers; expected at most 20")
    enough = head + b"".join(b"X%d: y\r\n" % number for number in range(19)) + b"\r\n"
    with server.connect() as wire:
        for _ in range(2):
            assert wire.send(enough).answer().status == 200
