"""Requests that are known whole and refused: told as any other, and cheaply."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from known_requests import teach
from served_models import Echo, Gate
from serving import Running, served
from wire import Answer, Wire, http, infer, infer_body, values

from foretell.config import ModelSettings
from foretell.types import DataType

Serve = Callable[..., Running]


@contextmanager
def full(serve: Serve) -> Iterator[tuple[Running, Wire]]:
    """A server whose model is in a call, with a full queue behind it; and a client whose requests are known."""
    gate = Gate(Echo(DataType.FP32, (1,)))
    gate.open_gate()
    server = serve(served(gate, "m", settings=ModelSettings(max_queue_size=1)))
    with ExitStack() as stack:
        wire = stack.enter_context(server.connect())
        teach(wire, infer("m", [1]), server)
        gate.close_gate()
        before = len(gate.seen)
        others = [stack.enter_context(server.connect()) for _ in range(2)]
        others[0].send(infer("m", [2]))
        server.until(lambda: len(gate.seen) == before + 1)
        others[1].send(infer("m", [3]))
        server.until(lambda: server.engine("m").waiting_rows == 1)
        yield server, wire
        gate.open_gate()
        assert [values(other.answer()) for other in others] == [[2], [3]]
        assert values(wire.send(infer("m", [4])).answer()) == [4]


def told(answer: Answer) -> tuple[int, bytes, list[tuple[str, str]]]:
    """All of an answer but its id."""
    return answer.status, answer.body, [(name, value) for name, value in answer.headers if name != "x-request-id"]


def test_it_is_told_what_any_other_request_is_told(serve: Serve) -> None:
    with full(serve) as (server, wire):
        at_length = http("POST", "/v2/models/m/infer", infer_body([9]), {"traceparent": "none"})
        with server.connect() as other:
            expected = other.send(at_length).answer()
        assert expected.status == 429
        assert expected.header("retry-after") == "1"
        assert "queue is full" in expected.error
        refused = [wire.send(infer("m", [value])).answer() for value in (5, 6, 7)]
        assert [told(answer)[:2] for answer in refused] == [told(expected)[:2]] * 3
        assert {name for name, _ in refused[0].headers} == {name for name, _ in expected.headers}
        assert len({answer.header("x-request-id") for answer in refused}) == 3
        assert server.application.server.responses_by_class()["4xx"] == 4
        assert server.failures("m", "overloaded") == 4
        (door,) = server.application._doors.values()
        assert door._refusal[1] == expected.body  # remembered, and not made anew


def test_it_keeps_its_place_and_its_own_id(serve: Serve) -> None:
    with full(serve) as (_, wire):
        wire.send(http("GET", "/v2/health/live") + infer("m", [5]) + infer("m", [6]))
        assert [wire.answer().status for _ in range(3)] == [200, 429, 429]
        body = infer_body([7])
        for own in ("one", "two", "three", "four"):
            answer = wire.send(http("POST", "/v2/models/m/infer", body, {"X-Request-Id": own})).answer()
            assert (answer.status, answer.header("x-request-id")) == (429, own)


def test_the_connection_closes_where_that_was_asked(serve: Serve) -> None:
    with full(serve) as (server, _), server.connect() as last:
        answer = last.send(http("POST", "/v2/models/m/infer", infer_body([5]), {"Connection": "close"})).answer()
        assert (answer.status, answer.header("connection")) == (429, "close")
        assert last.rest() == b""
