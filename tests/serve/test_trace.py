"""A caller's trace goes on where its header is as the specification says, and nowhere else."""

from __future__ import annotations

import re
from typing import Any

import pytest
from served_models import Echo, InlineEcho
from serving import Running
from wire import http, infer, values

from foretell.serve.exchange import Exchange
from foretell.serve.routes import Route

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
_RESPONSE = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")


@pytest.mark.parametrize(
    ("value", "flags"),
    [
        (f"00-{TRACE}-{PARENT}-01", "01"),
        (f"00-{TRACE}-{PARENT}-00", "00"),
        (f"00-{TRACE}-{PARENT}-ff", "03"),
        (f"cc-{TRACE}-{PARENT}-01", "01"),
        (f"cc-{TRACE}-{PARENT}-01-what-will-be", "01"),
        (f" 00-{TRACE}-{PARENT}-01 ", "01"),
    ],
)
def test_the_reply_names_the_trace_and_its_own_span(serve: Any, value: str, flags: str) -> None:
    server: Running = serve(echo=Echo(), quick=InlineEcho())
    spans = set()
    for request in (
        *[infer(model, [1], {"traceparent": value}) for model in ("echo", "quick", "none")],
        http("GET", "/v2", headers={"traceparent": value}),
    ):
        with server.connect() as wire:
            for _ in range(4):
                answer = wire.send(request).answer()
                found = _RESPONSE.fullmatch(answer.header("traceresponse") or "")
                assert found and (found[1], found[3]) == (TRACE, flags)
                assert found[2] not in (PARENT, "0" * 16)
                assert answer.header("x-request-id")
                spans.add(found[2])
    assert len(spans) == 16


@pytest.mark.parametrize(
    "value",
    [
        "", "nonsense", f"ff-{TRACE}-{PARENT}-01", f"00-{TRACE}-{PARENT}-01-more", f"00-{TRACE}-{PARENT}",
        f"00-{TRACE.upper()}-{PARENT}-01", f"00-{'0' * 32}-{PARENT}-01", f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE}-{PARENT}-1", f"0-{TRACE}-{PARENT}-01", f"00-{TRACE[1:]}-{PARENT}-01",
        f"cc-{TRACE}-{PARENT}-01.more",
        f"00-{TRACE}-{PARENT}-01, 00-{TRACE}-{PARENT}-01", f"00-{TRACE}-{PARENT}-0x",
    ],
)  # fmt: skip
def test_what_is_no_trace_is_ignored(serve: Any, value: str) -> None:
    server: Running = serve(echo=Echo())
    answer = server.ask(infer("echo", [1], {"traceparent": value}))
    assert values(answer) == [1]
    assert answer.header("traceresponse") is None


def test_two_headers_are_no_trace(serve: Any) -> None:
    server: Running = serve(echo=Echo())
    header = f"traceparent: 00-{TRACE}-{PARENT}-01\r\n".encode()
    request = infer("echo", [1]).replace(b"Host", header * 2 + b"Host")
    assert server.ask(request).header("traceresponse") is None


def test_traces_that_differ_on_one_connection(serve: Any) -> None:
    """Heads that differ in a value only are not parsed anew."""
    server: Running = serve(quick=InlineEcho())
    with server.connect() as wire:
        for number in range(1, 30):
            trace = f"{number:032x}"
            answer = wire.send(infer("quick", [1], {"traceparent": f"00-{trace}-{PARENT}-01"})).answer()
            assert (answer.header("traceresponse") or "").startswith(f"00-{trace}-")


def test_a_mistake_of_ours_is_found_by_the_id_of_the_request(serve: Any) -> None:
    server: Running = serve(echo=Echo())

    def boom(exchange: Exchange) -> None:
        raise RuntimeError("nobody thought of this")

    server.application._fixed[b"/boom"] = Route({b"GET": boom}, "open")
    answer = server.ask(http("GET", "/boom", headers={"traceparent": f"00-{TRACE}-{PARENT}-01"}))
    assert (answer.status, answer.json) == (500, {"error": "internal error", "code": "internal"})
    (problem,) = server.problems
    assert problem.startswith(f"request {answer.header('x-request-id')} of trace {TRACE} failed: b'/boom'")
    assert "nobody thought of this" in problem
    server.problems.clear()
