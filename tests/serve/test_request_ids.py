"""Every reply says which request it answers."""

from __future__ import annotations

import re
from typing import Any

import pytest
from served_models import Echo, InlineEcho
from serving import Running
from wire import Answer, Wire, chunked, http, infer, values

OURS = re.compile(r"[0-9a-f]{10}-[0-9a-f]{4,}")


def id_of(answer: Answer) -> str:
    found = answer.header("x-request-id")
    assert found is not None
    return found


def test_replies_of_every_kind_have_an_id_of_their_own(serve: Any) -> None:
    server: Running = serve(echo=Echo(), quick=InlineEcho(), max_body_bytes=1000)
    requests = [
        infer("echo", [1]), infer("quick", [1]), infer("quick", [1]), infer("echo", [1], {"Accept-Encoding": "gzip"}),
        infer("echo", [1], outputs=[]), http("GET", "/"), http("GET", "/metrics"), http("HEAD", "/v2"),
        http("OPTIONS", "/v2"), http("GET", "/nowhere"), http("DELETE", "/v2"), infer("none", [1]),
        http("POST", "/v2/models/echo/infer", b"no JSON"), http("POST", "/v2/models/echo/infer", b"x" * 2000),
        b"nonsense\r\n\r\n", chunked("/v2/models/echo/infer", [b"x" * 600, b"x" * 600]),
        infer("echo", [1], {"Connection": "close"}),
    ]  # fmt: skip
    found = []
    for request in requests:
        with server.connect() as wire:
            found.append(id_of(wire.send(request).answer(head=request.startswith(b"HEAD"))))
    assert all(OURS.fullmatch(each) for each in found), found
    assert len(set(found)) == len(requests)
    assert len({each.partition("-")[0] for each in found}) == 1


def test_ids_on_one_connection_go_on_past_the_end_of_a_block(serve: Any) -> None:
    server: Running = serve(quick=InlineEcho())
    seen = set()
    with server.connect() as wire:
        for _ in range(50):
            wire.send(infer("quick", [1]) * 100)
            seen |= {id_of(wire.answer()) for _ in range(100)}
    assert len(seen) == 5000


def test_two_servers_give_different_ids(serve: Any) -> None:
    one, two = serve(echo=Echo()), serve(echo=Echo())
    first, second = (id_of(server.ask(infer("echo", [1]))).partition("-")[0] for server in (one, two))
    assert first != second


@pytest.mark.parametrize("sane", ["a", "8f3a-1", "!~", "a" * 128, '{"a":"b"}', "00-%s;,%d"])
def test_the_callers_own_id_comes_back(serve: Any, sane: str) -> None:
    server: Running = serve(echo=Echo(), quick=InlineEcho())
    with server.connect() as wire:
        for model in ("echo", "quick", "quick", "quick", "none"):
            assert id_of(wire.send(infer(model, [1], {"X-Request-Id": sane})).answer()) == sane
        assert id_of(wire.send(infer("quick", [1])).answer()) != sane


@pytest.mark.parametrize("wild", ["", "a b", "a\tb", "é", "a" * 129])
def test_an_id_that_a_log_cannot_hold_is_replaced(serve: Any, wild: str) -> None:
    server: Running = serve(echo=Echo(), quick=InlineEcho())
    with server.connect() as wire:
        for model in ("echo", "quick", "quick", "quick", "none"):
            assert OURS.fullmatch(id_of(wire.send(infer(model, [1], {"X-Request-Id": wild})).answer()))


def test_a_request_that_is_refused_for_its_body_keeps_its_id(serve: Any) -> None:
    server: Running = serve(echo=Echo(), max_body_bytes=100)
    answer = server.ask(infer("echo", [1] * 100, {"X-Request-Id": "mine"}))
    assert (answer.status, id_of(answer)) == (413, "mine")
    with server.connect() as wire:
        wire.send(infer("echo", [1], {"X-Request-Id": "mine"})).answer()
        assert OURS.fullmatch(id_of(wire.send(b"nonsense\r\n\r\n").answer()))


def test_pipelined_requests_keep_theirs(serve: Any) -> None:
    server: Running = serve(echo=Echo(), quick=InlineEcho())
    with server.connect() as wire:
        wire.send(b"".join(infer(m, [n], {"X-Request-Id": f"{m}-{n}"}) for n in range(20) for m in ("echo", "quick")))
        for n in range(20):
            for model in ("echo", "quick"):
                answer = wire.answer()
                assert (id_of(answer), values(answer)) == (f"{model}-{n}", [n])


def test_every_reply_is_counted_once(serve: Any) -> None:
    server: Running = serve(quick=InlineEcho())
    with Wire(server.port) as wire:
        for _ in range(10):
            assert wire.send(infer("quick", [1])).answer().status == 200
            assert wire.send(infer("quick", [1], {"X-Request-Id": "a"})).answer().status == 200
            assert wire.send(http("GET", "/v2")).answer().status == 200
            assert wire.send(http("GET", "/nowhere")).answer().status == 404
    assert server.on_loop(server.application.server.responses_by_class) == {
        "1xx": 0, "2xx": 30, "3xx": 0, "4xx": 10, "5xx": 0
    }  # fmt: skip
