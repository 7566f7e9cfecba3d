"""What pages of other origins may read, as a browser decides it from the headers."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from served_models import Echo, InlineEcho
from serving import Running
from token_files import bearer
from wire import Answer, http, infer, values

from foretell.config import Layer, ServerSettings, resolve
from foretell.errors import InvalidSetting
from foretell.serve.connection import HttpConnection

Serve = Callable[..., Running]
APP, OTHER, EVIL = "https://app.example", "http://localhost:3000", "https://evil.example"
PREFLIGHT = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type,authorization"}


def cors(answer: Answer) -> dict[str, str]:
    return {name: value for name, value in answer.headers if name.startswith("access-control-") or name == "vary"}


def listed(text: str) -> set[str]:
    return {part.strip().lower() for part in text.split(",")}


def test_it_is_off_and_costs_nothing(serve: Serve) -> None:
    server = serve(echo=Echo())
    assert cors(server.ask(infer("echo", [1], {"Origin": APP}))) == {}
    preflight = server.ask(http("OPTIONS", "/v2/models/echo/infer", headers={"Origin": APP, **PREFLIGHT}))
    assert (preflight.status, cors(preflight)) == (204, {})
    assert server.application.server.handle == server.application.handle
    with server.connect():
        assert type(server.only_connection()) is HttpConnection


def test_an_origin_that_is_named_may_read(serve: Serve) -> None:
    server = serve(echo=InlineEcho(), cors_origins=(APP, OTHER))
    with server.connect() as wire:
        for origin in (APP, OTHER, APP):
            for _ in range(3):
                answer = wire.send(infer("echo", [1], {"Origin": origin})).answer()
                assert values(answer) == [1]
                told = cors(answer)
                assert told.pop("access-control-allow-origin") == origin
                assert {"inference-header-content-length", "x-request-id"} <= listed(
                    told.pop("access-control-expose-headers")
                )
                assert told == {"vary": "Origin"}


def test_another_origin_may_not_and_no_origin_is_told_nothing(serve: Serve) -> None:
    server = serve(echo=Echo(), cors_origins=(APP,))
    for headers in ({"Origin": EVIL}, {"Origin": "null"}, {"Origin": APP + ".evil.example"}, {}):
        answer = server.ask(infer("echo", [1], headers))
        assert values(answer) == [1]
        assert cors(answer) == {"vary": "Origin"}  # a cache must not give it to the wrong one


def test_any_origin_may_be_allowed_but_never_with_credentials(serve: Serve) -> None:
    server = serve(echo=Echo(), cors_origins=("*",))
    told = cors(server.ask(infer("echo", [1], {"Origin": EVIL, "Cookie": "a=b"})))
    assert told.pop("access-control-allow-origin") == "*"
    assert list(told) == ["access-control-expose-headers"]


@pytest.mark.parametrize("origins", [(APP,), ("*",)])
def test_credentials_are_never_allowed(serve: Serve, origins: tuple[str, ...]) -> None:
    server = serve(echo=Echo(), cors_origins=origins)
    for method in ("GET", "OPTIONS"):
        answer = server.ask(http(method, "/v2", headers={"Origin": APP, **PREFLIGHT}))
        assert answer.header("access-control-allow-credentials") is None


def test_errors_can_be_read_too(serve: Serve) -> None:
    server = serve(echo=Echo(), cors_origins=(APP,), max_body_bytes=1000)
    for request, status in (
        (http("GET", "/nowhere", headers={"Origin": APP}), 404),
        (http("POST", "/v2", headers={"Origin": APP}), 405),
        (infer("echo", ["x"], {"Origin": APP}), 400),
    ):
        answer = server.ask(request)
        assert (answer.status, answer.header("access-control-allow-origin")) == (status, APP)
        assert answer.error
    with server.connect() as wire:  # what is no request has no origin
        answer = wire.send(b"garbage\r\n\r\n").answer()
        assert (answer.status, cors(answer)) == (400, {"vary": "Origin"})


def test_pipelined_and_head_replies_stay_whole(serve: Serve) -> None:
    server = serve(echo=InlineEcho(), cors_origins=(APP,))
    with server.connect() as wire:
        wire.send(b"".join(infer("echo", [number], {"Origin": (APP, EVIL)[number % 2]}) for number in range(20)))
        for number in range(20):
            answer = wire.answer()
            assert values(answer) == [number]
            assert (answer.header("access-control-allow-origin") == APP) == (number % 2 == 0)
        head = wire.send(http("HEAD", "/v2", headers={"Origin": APP})).answer(head=True)
        assert (head.status, head.header("access-control-allow-origin")) == (200, APP)


@pytest.mark.parametrize("path", ["/v2/models/echo/infer", "/v2/models/unknown/infer", "/nowhere"])
@pytest.mark.parametrize("origins", [(APP,), ("*",)])
def test_a_preflight_is_answered_without_a_token_and_tells_nothing(
    serve: Serve, path: str, origins: tuple[str, ...]
) -> None:
    server = serve(echo=Echo(), cors_origins=origins, token="t" * 20)
    answer = server.ask(http("OPTIONS", path, headers={"Origin": APP, **PREFLIGHT}))
    assert (answer.status, answer.body, answer.header("allow")) == (204, b"", None)
    told = cors(answer)
    assert told["access-control-allow-origin"] == ("*" if origins == ("*",) else APP)
    assert listed(told["access-control-allow-methods"]) == {"get", "head", "post"}
    asked = {"authorization", "content-type", "content-encoding", "inference-header-content-length", "x-request-id"}
    assert asked <= listed(told["access-control-allow-headers"])
    assert int(told["access-control-max-age"]) == 7200
    # A page of the internet asks whether it may reach into the network of its user (Private Network Access).
    inside = {"Origin": APP, **PREFLIGHT, "Access-Control-Request-Private-Network": "true"}
    assert "access-control-allow-private-network" not in told
    assert cors(server.ask(http("OPTIONS", path, headers=inside)))["access-control-allow-private-network"] == "true"
    # The request behind it needs the token, and the page can read that it does.
    refused = server.ask(infer("echo", [1], {"Origin": APP}))
    assert (refused.status, refused.header("access-control-allow-origin")) == (401, told["access-control-allow-origin"])
    assert values(server.ask(infer("echo", [1], {"Origin": APP, **bearer("t" * 20)}))) == [1]


def test_a_preflight_of_another_origin_is_none(serve: Serve) -> None:
    server = serve(echo=Echo(), cors_origins=(APP,))
    answer = server.ask(http("OPTIONS", "/v2/models/echo/infer", headers={"Origin": EVIL, **PREFLIGHT}))
    assert (answer.status, answer.header("allow"), cors(answer)) == (204, "OPTIONS, POST", {"vary": "Origin"})
    plain = server.ask(http("OPTIONS", "/v2/models/echo/infer", headers={"Origin": APP}))
    assert (plain.header("allow"), plain.header("access-control-allow-methods")) == ("OPTIONS, POST", None)


def test_the_host_is_checked_all_the_same(serve: Serve) -> None:
    server = serve(echo=Echo(), cors_origins=("*",))
    request = http("OPTIONS", "/v2", headers={"Origin": EVIL, **PREFLIGHT}).replace(b"localhost", b"evil.example")
    assert server.ask(request).status == 421


@pytest.mark.parametrize("origin", ["app.example", "https://app.example/", "https://", "null", "", "https://a b"])
def test_an_origin_that_could_never_match_is_refused_at_the_start(origin: str) -> None:
    with pytest.raises(InvalidSetting, match="cors_origins: wrong value; expected origins such as"):
        resolve(ServerSettings, [Layer("--cors-origins", {"cors_origins": [origin]})])
