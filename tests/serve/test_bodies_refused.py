"""A large body that nobody would look at is refused before it is read."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from served_models import Echo, InlineEcho
from serving import Running, still_answers
from wire import http, infer

from foretell.clock import ManualClock

Serve = Callable[..., Running]
LARGE = {
    "large": {"Content-Length": 1_000_000}, "chunked": {"Transfer-Encoding": "chunked"},
    "expected": {"Content-Length": 10, "Expect": "100-continue"},
}  # fmt: skip


@pytest.mark.parametrize("kind", LARGE)
@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/nowhere", 404), ("POST", "/v2/models/nothing/infer", 404), ("POST", "/v2/models/echo", 405),
        ("PUT", "/v2/models/echo/infer", 405), ("POST", "/metrics", 405), ("DELETE", "/", 405),
    ],
)  # fmt: skip
def test_where_there_is_nothing_to_send_it_to(echo: Running, kind: str, method: str, path: str, status: int) -> None:
    with echo.connect() as wire:
        answer = wire.send(http(method, path, headers=LARGE[kind]))._one(head=False)
        assert answer.status == status
        assert answer.header("connection") == "close"
        assert wire.finish().closed
    assert echo.ask(http("GET", "/v2")).status == 200


@pytest.mark.parametrize("kind", LARGE)
def test_from_who_has_asked_too_often(serve: Serve, kind: str) -> None:
    server = serve(echo=InlineEcho(), rate_per_s=1, rate_burst=1, clock=(clock := ManualClock()))
    still_answers(server)
    with server.connect() as wire:
        answer = wire.send(http("POST", "/v2/models/echo/infer", headers=LARGE[kind]))._one(head=False)
        assert (answer.status, answer.header("retry-after")) == (429, "1")
    clock.advance(1)
    still_answers(server)  # to be looked at took nothing of the rate


def test_a_large_request_counts_once(serve: Serve) -> None:
    server = serve(echo=Echo(), rate_per_s=1, rate_burst=2, clock=ManualClock())
    data = [0.5] * 100_000
    statuses = [server.ask(infer("echo", [data], shape=[1, len(data)])).status for _ in range(2)]
    assert statuses == [200, 200]
