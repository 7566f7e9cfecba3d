"""Requests all of whose bytes but the numbers are known: answered like any other, whatever they hold."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from in_memory import Kept
from known_requests import patterns, teach
from served_models import Echo, Gate, InlineEcho, Poison
from serving import Running, served
from wire import Answer, Wire, http, infer, infer_body, values

from foretell.config import ModelSettings
from foretell.serve.patterns import KnownRequest
from foretell.types import DataType

Serve = Callable[..., Running]
ROOM = 40
TEXT = '{{"inputs":[{{"name":"x","shape":[1,2],"datatype":"FP32","data":{}}}]}}'


def ask(data: bytes, model: str = "m", headers: dict[str, object] | None = None) -> bytes:
    """A request whose size is always the same: what is left of `ROOM` before `data` are spaces."""
    before, behind = (part.encode() for part in TEXT.format("|").split("|"))
    return http("POST", f"/v2/models/{model}/infer", before + b" " * (ROOM - len(data)) + data + behind, headers)


@contextmanager
def held(serve: Serve, **settings: object) -> Iterator[tuple[Gate, Running, Wire]]:
    """A client whose requests are known, and a gate in their model that has just been closed."""
    gate = Gate(Echo(DataType.FP32, (2,)))
    gate.open_gate()
    server = serve(m=gate, **settings)
    with server.connect() as wire:
        teach(wire, ask(b"[1,2.5]"), server)
        gate.close_gate()
        yield gate, server, wire


def wait_until_taken(server: Running, requests: int = 1) -> None:
    connection = server.only_connection()
    server.until(lambda: len(connection._exchanges) == requests)


def same(answer: Answer) -> tuple[int, bytes, set[str]]:
    """What two answers to one request have in common."""
    return answer.status, answer.body, {name for name, _ in answer.headers}


def test_other_numbers_have_their_own_answer(serve: Serve) -> None:
    server = serve(m=InlineEcho(DataType.FP32, (2,)))
    with server.connect() as wire:
        teach(wire, ask(b"[1,2.5]"), server)
        for number in range(50):
            assert values(wire.send(ask(b"[%d, -2e3]" % number)).answer()) == [number, -2000]
    assert server.application.server.responses_by_class()["2xx"] == 54


OTHER_DATA = [
    b"[1,2,3]", b"[1]", b"[]", b'[1,"2"]', b"[1,null]", b"[1,true]", b"[[1,2]]", b"[1,2", b"1,2]", b"[1,,2]", b"[1 2]",
    b"[NaN,1]", b"[1,Infinity]", b"[1e999,1]", b"[1e39,1]", b"[1,2]]", b"{}", b"null", b"", b"[1,2],[3]",
    b'[1,2],"data":[3,4]', b'[1,2],"shape":[2,1]', b"[1,2]}],\"id\":\"a\",\"x\":[{\"y\":[1]", b"\xff", b"[1,\xff]",
    b"[01,2]", b"[1,2,]", b'[1,2],"id":"a"', b"[1,2]\r\n\r\nGET / HTTP/1.1\r\n",
]  # fmt: skip


@pytest.mark.parametrize("data", OTHER_DATA)
def test_whatever_stands_in_place_of_the_numbers_is_read_as_if_for_the_first_time(serve: Serve, data: bytes) -> None:
    server, other = serve(m=Echo(DataType.FP32, (2,))), serve(m=Echo(DataType.FP32, (2,)))
    with server.connect() as wire:
        teach(wire, ask(b"[1,2.5]"), server)
        assert same(wire.send(ask(data)).answer()) == same(other.ask(ask(data)))
        assert values(wire.send(ask(b"[3,4]")).answer()) == [3, 4]


def test_it_waits_as_one_thing_for_its_answer(serve: Serve) -> None:
    with held(serve) as (gate, server, wire):
        wire.send(ask(b"[3,4]"))
        connection = server.only_connection()
        server.until(lambda: bool(connection._exchanges))
        assert type(connection._exchanges[0]) is KnownRequest
        gate.open_gate()
        assert values(wire.answer()) == [3, 4]
        server.until(lambda: not connection.busy)


def test_a_lone_client_does_not_wait_for_the_end_of_a_tick(serve: Serve) -> None:
    server = serve(served(Echo(DataType.FP32, (2,)), "m", settings=ModelSettings(executor="inline")))
    with server.connect() as wire:
        teach(wire, ask(b"[1,2.5]"), server)
        connection = server.only_connection()

        def within_the_read() -> bytes:
            transport, kept = connection._transport, Kept()
            connection._transport = kept  # type: ignore[assignment]
            connection.data_received(ask(b"[3,4]"))
            connection._transport = transport
            return kept.written

        assert server.on_loop(within_the_read).endswith(b'"data":[3.0,4.0]}]}')
        with server.connect() as other:
            assert other.send(http("GET", "/v2/health/live")).answer().status == 200
            assert server.on_loop(within_the_read) == b""
            assert values(wire.answer()) == [3, 4]


def test_its_answer_keeps_its_place_among_others(serve: Serve) -> None:
    with held(serve) as (gate, server, wire):
        wire.send(ask(b"[3,4]"))
        wait_until_taken(server)
        wire.send(http("GET", "/v2/health/live") + ask(b"[5,6]"))
        wire.send(ask(b"[7,8]"))
        wait_until_taken(server, 4)
        gate.open_gate()
        assert values(wire.answer()) == [3, 4]
        assert wire.answer().json["live"] is True
        assert [values(wire.answer()) for _ in range(2)] == [[5, 6], [7, 8]]


def test_a_client_that_goes_takes_its_request_out_of_the_queue(serve: Serve) -> None:
    with held(serve) as (gate, server, first):
        before = len(gate.seen)
        first.send(ask(b"[3,4]"))
        server.until(lambda: len(gate.seen) == before + 1)
        with server.connect() as second:
            second.send(ask(b"[5,6]"))
            server.until(lambda: server.engine("m").waiting_rows == 1)
        server.until(lambda: server.application.server.connections == 1)
        gate.open_gate()
        assert values(first.answer()) == [3, 4]
        assert values(first.send(ask(b"[7,8]")).answer()) == [7, 8]
    assert gate.seen[before:] == [3, 7]


def test_a_client_that_closes_its_side_is_answered_and_told_that_it_was_the_last(serve: Serve) -> None:
    with held(serve) as (gate, server, wire):
        wire.send(ask(b"[3,4]")).finish()
        connection = server.only_connection()
        server.until(lambda: connection._half_closed)
        gate.open_gate()
        answer = wire.answer()
        assert (values(answer), answer.header("connection"), wire.closed) == ([3, 4], "close", True)


def test_what_its_model_refuses_is_told_to_it_alone(serve: Serve) -> None:
    server = serve(m=Poison())
    usual = infer("m", [111])
    with server.connect() as wire:
        teach(wire, usual, server)
        answer = wire.send(infer("m", [666])).answer()
        assert (answer.status, Poison.SECRET in answer.error) == (500, True)
        assert values(wire.send(infer("m", [222])).answer()) == [222]


def test_a_request_whose_time_is_up_is_told_so(serve: Serve) -> None:
    with held(serve, request_timeout_s=0.3) as (gate, _, wire):
        assert wire.send(ask(b"[3,4]")).answer().status == 504
        gate.open_gate()
        assert values(wire.send(ask(b"[5,6]")).answer()) == [5, 6]


def test_another_version_answers_from_the_next_request_on(serve: Serve) -> None:
    old, new = served(Echo(DataType.FP32, (2,)), "m"), served(Poison(), "m")
    server = serve(old)
    with server.connect() as wire:
        teach(wire, ask(b"[1,2.5]"), server)
        server.change(lambda catalog: catalog.swap(old, new))
        assert len(patterns(server)) == 0
        assert "wrong shape" in wire.send(ask(b"[1,2.5]")).answer().error
    old.engine.close()


def test_a_request_that_had_not_begun_goes_over_to_the_version_that_takes_over(serve: Serve) -> None:
    with held(serve) as (gate, server, running), server.connect() as waiting:
        old, new = server.catalog.resolve("m"), served(Echo(DataType.FP32, (2,)), "m")
        before = len(gate.seen)
        running.send(ask(b"[3,4]"))
        server.until(lambda: len(gate.seen) == before + 1)
        waiting.send(ask(b"[5,6]"))
        server.until(lambda: old.engine.waiting_rows == 1)
        server.change(lambda catalog: catalog.swap(old, new))
        server.on_loop(lambda: [batcher.close() for batcher in old.engine.batchers])
        assert values(waiting.answer()) == [5, 6]
        gate.open_gate()
        assert values(running.answer()) == [3, 4]
    old.engine.close()


def test_a_large_answer_is_compressed_where_the_client_takes_it(serve: Serve) -> None:
    server = serve(m=Echo(DataType.FP32, (None,)))
    request = http("POST", "/v2/models/m/infer", infer_body([0.5] * 400, shape=[1, 400]), {"Accept-Encoding": "gzip"})
    with server.connect() as wire:
        teach(wire, request, server)
        answer = wire.send(request).answer()
    assert answer.header("content-encoding") == "gzip"


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Request-Id": "same"}, {"Foretell-Explain": "1"}, {"Content-Encoding": "identity"},
        {"Traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}, {"Connection": "close"},
    ],
)  # fmt: skip
def test_what_asks_for_more_than_the_answer_goes_the_long_way(serve: Serve, headers: dict[str, object]) -> None:
    server = serve(m=Echo(DataType.FP32, (2,)))
    for _ in range(4):
        with server.connect() as wire:
            answer = wire.send(ask(b"[1,2]", headers=headers)).answer()
            assert values(answer) == [1, 2]
    assert len(patterns(server)) == 0


@pytest.mark.parametrize(
    "settings", [{"access_log": "json"}, {"cors_origins": ("http://a.b",)}, {"rate_per_s": 1e6}, {"max_pipelined": 1}]
)
def test_where_more_comes_of_a_request_than_its_reply_none_is_remembered(
    serve: Serve, settings: dict[str, object], capfd: pytest.CaptureFixture[str]
) -> None:
    server = serve(m=Echo(DataType.FP32, (2,)), **settings)
    with server.connect() as wire:
        for _ in range(5):
            assert values(wire.send(ask(b"[1,2]")).answer()) == [1, 2]
    assert len(patterns(server)) == 0


def with_id(number: object, data: bytes = b"[1,2.5]", **more: object) -> bytes:
    return ask(data, headers={"X-Request-Id": number, **more})


def test_an_id_for_each_request_is_given_back(serve: Serve) -> None:
    server = serve(m=InlineEcho(DataType.FP32, (2,)))
    with server.connect() as wire:
        for number in range(4):
            wire.send(with_id(1000 + number)).answer()
        assert len(patterns(server)) == 1
        for number in range(20):
            answer = wire.send(with_id(2000 + number, b"[%d,4]" % number)).answer()
            assert (values(answer), answer.header("x-request-id")) == ([number, 4], str(2000 + number))
        usual = wire.send(ask(b"[5,6]")).answer()
        assert values(usual) == [5, 6]
        assert usual.header("x-request-id") not in (None, "2019")


def test_another_client_is_known_by_what_one_has_taught(serve: Serve) -> None:
    gate = Gate(Echo(DataType.FP32, (2,)))
    gate.open_gate()
    server = serve(m=gate)
    with server.connect() as wire:
        for number in range(4):
            wire.send(with_id(1000 + number)).answer()
        gate.close_gate()
    server.until(lambda: server.application.server.connections == 0)
    with server.connect() as wire:
        wire.send(with_id(3000, b"[7,8]"))
        wait_until_taken(server)
        assert type(server.only_connection()._exchanges[0]) is KnownRequest
        wire.send(http("GET", "/v2/health/live"))
        wait_until_taken(server, 2)
        gate.open_gate()
        answer = wire.answer()
        assert (values(answer), answer.header("x-request-id")) == ([7, 8], "3000")
        assert wire.answer().status == 200


@pytest.mark.parametrize("name", [b"a b3", b"ab\t3", b"ab\x7f3", b"ab\xff3", b" ab3", b"ab3 "])
def test_an_id_that_no_header_can_hold_is_not_given_back(serve: Serve, name: bytes) -> None:
    server, other = serve(m=InlineEcho(DataType.FP32, (2,))), serve(m=InlineEcho(DataType.FP32, (2,)))
    strange = with_id("#" * 4).replace(b"#" * 4, name)
    with server.connect() as wire:
        for number in range(4):
            wire.send(with_id(1000 + number)).answer()
        assert len(patterns(server)) == 1
        known, new = wire.send(strange).answer(), other.ask(strange)
        given = name.strip().decode("latin-1")
        assert (known.status, known.header("x-request-id") == given) == (
            new.status,
            new.header("x-request-id") == given,
        )
        assert known.header("x-request-id") != name.decode("latin-1")


@pytest.mark.parametrize(
    "end",
    [b"\r\nContent-Length: 1\r\nA: ", b"\r\nTransfer-Encoding: chunked\r\nA: ", b"\r\n\r\nGET / HTTP/1.1\r\n\r\n"],
)
def test_an_id_does_not_end_the_line_it_is_in(serve: Serve, end: bytes) -> None:
    server, other = serve(m=InlineEcho(DataType.FP32, (2,))), serve(m=InlineEcho(DataType.FP32, (2,)))
    room = "i" * (len(end) + 3)
    with server.connect() as wire:
        for number in range(4):
            assert wire.send(with_id(f"{room}{number}")).answer().status == 200
        assert len(patterns(server)) == 1
        smuggled = with_id(f"{room}5").replace(room.encode(), b"iii" + end)
        known, new = wire.send(smuggled).answer(), other.ask(smuggled)
    assert (known.status, known.body) == (new.status, new.body)


@pytest.mark.parametrize("more", [{"Foretell-Explain": "1"}, {"Cookie": "a=b"}, {"Content-Encoding": "identity"}])
def test_an_id_beside_what_asks_for_more_goes_the_long_way(serve: Serve, more: dict[str, object]) -> None:
    server = serve(m=InlineEcho(DataType.FP32, (2,)))
    with server.connect() as wire:
        for number in range(6):
            answer = wire.send(with_id(number, **more)).answer()
            assert (values(answer), answer.header("x-request-id")) == ([1, 2.5], str(number))
    assert len(patterns(server)) == 0


def test_a_client_that_numbers_its_requests_does_not_fill_the_memory(serve: Serve) -> None:
    server = serve(m=InlineEcho(DataType.FP32, (2,)))
    with server.connect() as wire:
        for number in range(300):
            body = TEXT.format("[1,2]").replace("{", f'{{"id":"{number:03}",', 1).encode()
            answer = wire.send(http("POST", "/v2/models/m/infer", body)).answer()
            assert (values(answer), answer.json["id"]) == ([1, 2], f"{number:03}")
    assert len(patterns(server)) <= 1


def test_many_sizes_do_not_fill_it_either(serve: Serve) -> None:
    server = serve(m=InlineEcho(DataType.FP32, (2,)))
    with server.connect() as wire:
        for size in range(1100):
            for _ in range(3):
                assert values(wire.send(ask(b"[1,2]" + b" " * size)).answer()) == [1, 2]
    assert len(patterns(server)) <= 1024


def test_a_server_that_ends_answers_what_it_has_taken(serve: Serve) -> None:
    with held(serve) as (gate, server, wire):
        wire.send(ask(b"[3,4]"))
        wait_until_taken(server)
        server.stop()
        server.until(lambda: server.application.server.draining)
        gate.open_gate()
        answer = wire.answer()
        assert (values(answer), answer.header("connection"), wire.closed) == ([3, 4], "close", True)


def test_a_server_that_ends_gives_up_what_takes_too_long(serve: Serve) -> None:
    with held(serve, drain_timeout_s=0.1) as (gate, server, wire):
        wire.send(ask(b"[3,4]"))
        wait_until_taken(server)
        server.stop()
        assert wire.answer().status == 503
    gate.open_gate()
