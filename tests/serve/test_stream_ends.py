"""Streams that do not run to their end: clients that go, that do not read, limits, and the end of the server."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import numpy as np
import pytest
from serving import Running, served
from stream_client import Events, ask_stream, begun, outputs
from streaming_models import Endless, Gated, Streaming
from wire import Wire, http, infer

from foretell.clock import Clock, ManualClock
from foretell.columns import Batch
from foretell.config import ModelSettings
from foretell.engine.stream_call import MOST_ITEMS, StreamCall
from foretell.errors import Overloaded
from foretell.model import Context, Model

Serve = Callable[..., Running]


def with_settings(model: Model, name: str, clock: Clock | None = None, **settings: Any) -> Any:
    return served(model, name, settings=ModelSettings(**settings), clock=clock)


def test_a_client_that_goes_ends_the_generator(serve: Serve) -> None:
    model = Endless()
    server = serve(endless=model)
    with server.connect() as wire:
        assert Events(wire.send(ask_stream("endless", {"x": 1}))).next()
    assert model.ended.wait(20)
    server.until(lambda: server.streams_idle("endless"))
    assert server.failures("endless", "cancelled") == 1


def test_a_client_that_goes_while_the_model_is_silent_is_noticed(serve: Serve) -> None:
    model = Gated()
    server = serve(gated=model)
    wire = server.connect()
    begun(wire, "gated", 5)
    assert model.waits.wait(20)
    wire.close()
    server.until(lambda: server.failures("gated", "cancelled") == 1)
    model.gate.release()  # the step that it was in
    assert model.ended.wait(20)
    assert model.given == 2


def test_a_client_that_closes_its_side_still_gets_its_events(serve: Serve) -> None:
    model = Gated()
    server = serve(gated=model)
    with server.connect() as wire:
        stream = begun(wire, "gated", 3)
        wire.finish()
        connection = server.only_connection()
        server.until(lambda: connection._half_closed)
        model.gate.release(2)
        assert outputs(stream.all()) == [1, 2]
        assert wire.closed


def test_a_waiting_stream_of_a_client_that_went_never_reaches_the_model(serve: Serve) -> None:
    model = Gated()
    server = serve(with_settings(model, "gated", max_streams=1))
    with server.connect() as wire:
        stream = begun(wire, "gated", 2)
        other = server.connect().send(ask_stream("gated", {"x": 2}))
        server.until(lambda: server.engine("gated").waiting_rows == 1)
        other.close()
        server.until(lambda: server.engine("gated").waiting_rows == 0)
        model.gate.release()
        assert len(stream.all()) == 1
    server.until(lambda: server.streams_idle("gated"))
    assert model.begun == 1
    assert server.failures("gated", "cancelled") == 1


def test_a_client_that_does_not_read_stops_the_model_and_is_ended(serve: Serve) -> None:
    model = Endless()
    server = serve(endless=model, idle_timeout_s=60.0)
    wire = server.connect(receive_buffer=4096)
    wire.send(ask_stream("endless", {"x": 1}))
    connection = server.only_connection()
    call: Any = None

    def full() -> bool:
        nonlocal call
        if not connection._full or not connection._exchanges:
            return False
        call = connection._exchanges[0].work.call  # type: ignore[union-attr]
        return call.items_waiting == MOST_ITEMS

    server.until(full)
    transport = connection._transport
    assert transport is not None
    unsent = server.on_loop(transport.get_write_buffer_size)
    assert unsent < 2**20
    assert call.items_waiting == MOST_ITEMS
    server.expire(30.0)
    assert not model.ended.is_set()
    server.expire(90.0)
    assert model.ended.wait(20)
    server.until(lambda: server.streams_idle("endless"))
    wire.close()


def test_a_slow_client_gets_everything(serve: Serve) -> None:
    model = Endless(most=1000)
    server = serve(long=model)
    with server.connect(receive_buffer=4096) as wire:
        wire.send(ask_stream("long", {"x": 1}))
        connection = server.only_connection()
        server.until(lambda: connection._full)
        assert model.given < 1000
        assert [len(text) for text in outputs(Events(wire).all())] == [16384] * 1000


def test_many_streams_share_the_places(serve: Serve) -> None:
    model = Streaming(concurrent=True)
    server = serve(with_settings(model, "count", max_streams=4))
    with ExitStack() as stack:
        wires = [stack.enter_context(server.connect()) for _ in range(40)]
        for number, wire in enumerate(wires):
            wire.send(ask_stream("count", {"x": 100 + number}))
        for number, wire in enumerate(wires):
            assert outputs(Events(wire).all()) == list(range(100 + number))
    assert model.peak <= 4
    assert model.closed == 40
    server.until(lambda: server.streams_idle("count"))


def test_streams_of_one_model_take_turns(serve: Serve) -> None:
    """Each needs the other to go on: a stream that kept the model to itself would never end."""
    model = Gated()
    server = serve(gated=model)
    with server.connect() as first, server.connect() as second:
        stream = begun(first, "gated", 2)
        model.gate.release()
        second.send(ask_stream("gated", {"x": 2}))
        model.gate.release()
        assert outputs(stream.all()) == [1]
        assert outputs(Events(second).all()) == [0, 1]


def test_beyond_the_queue_a_stream_is_refused(serve: Serve) -> None:
    model = Gated()
    server = serve(with_settings(model, "gated", max_streams=1, max_queue_size=1))
    with server.connect() as running, server.connect() as waiting:
        stream = begun(running, "gated", 2)
        waiting.send(ask_stream("gated", {"x": 1}))
        server.until(lambda: server.engine("gated").waiting_rows == 1)
        answer = server.ask(ask_stream("gated", {"x": 1}))
        assert answer.status == 429
        assert answer.header("retry-after")
        assert "at most 1 rows waiting" in answer.error
        raised = [refused(server) for _ in range(2)]
        assert str(raised[0]) == str(raised[1])
        assert raised[0] is not raised[1]  # a traceback belongs to one of them
        model.gate.release()
        assert len(stream.all()) == 1
        assert len(Events(waiting).all()) == 1


def test_the_time_limit_of_a_request_ends_its_stream(serve: Serve) -> None:
    model, clock = Gated(), ManualClock()
    server = serve(with_settings(model, "gated", clock))
    with server.connect() as wire:
        stream = begun(wire, "gated", 5, timeout=300_000)
        assert model.waits.wait(20)
        clock.advance(0.3)
        event = stream.next()
        assert (event["code"], event["error"]) == ("deadline_exceeded", "the time limit of the stream passed")
        assert stream.next() is None
    model.gate.release()
    assert model.ended.wait(20)
    assert model.given == 2


def test_the_time_limit_holds_while_a_stream_waits_for_a_place(serve: Serve) -> None:
    model = Gated()
    server = serve(with_settings(model, "gated", max_streams=1))
    with server.connect() as wire:
        stream = begun(wire, "gated", 2)
        for verb in ("generate", "generate_stream"):
            answer = server.ask(ask_stream("gated", {"x": 1, "timeout": 50_000}, verb))
            assert answer.status == 504
        model.gate.release()
        assert len(stream.all()) == 1
    assert model.begun == 1


def test_the_wait_for_an_item_is_limited(serve: Serve) -> None:
    model, clock = Gated(), ManualClock()
    server = serve(with_settings(model, "gated", clock), request_timeout_s=0.3)
    with server.connect() as wire:
        stream = begun(wire, "gated", 5)
        clock.advance(0.3)
        assert stream.next()["error"] == "model 'gated': the next item took longer than 0.3 s"
        assert stream.next() is None
    model.gate.release()
    assert model.ended.wait(20)


def test_a_limit_of_the_model_holds_for_the_whole_stream(serve: Serve) -> None:
    model, clock = Gated(), ManualClock()
    server = serve(with_settings(model, "gated", clock, timeout_s=0.2))
    with server.connect() as wire:
        stream = begun(wire, "gated", 5)
        clock.advance(0.2)
        assert [event["code"] for event in stream.all()] == ["deadline_exceeded"]
    model.gate.release()


def test_the_server_finishes_streams_before_it_ends(serve: Serve) -> None:
    model = Gated()
    server = serve(gated=model, drain_timeout_s=20.0)
    with server.connect() as wire:
        stream = begun(wire, "gated", 3)
        server.stop()
        server.until(lambda: server.application.server.draining)
        model.gate.release(2)
        assert outputs(stream.all()) == [1, 2]
        assert wire.closed
    server.join()


def test_what_lasts_longer_than_the_server_is_told_so(serve: Serve) -> None:
    model = Gated()
    server = serve(with_settings(model, "gated", max_streams=1), drain_timeout_s=0.1)
    with server.connect() as wire, server.connect() as other:
        stream = begun(wire, "gated", 3)
        other.send(ask_stream("gated", {"x": 3}))
        server.until(lambda: server.engine("gated").waiting_rows == 1)
        server.stop()
        event = stream.next()
        assert (event["code"], event["retryable"]) == ("not_ready", True)
        assert stream.next() is None
        assert other.answer().status == 503
        server.join()
        model.gate.release()
        assert model.ended.wait(20)


def test_an_engine_that_closes_ends_its_streams(serve: Serve) -> None:
    model = Gated()
    server = serve(gated=model)
    with server.connect() as wire:
        stream = begun(wire, "gated", 3)
        model.gate.release()
        server.on_loop(server.streams("gated").close)
        last = stream.all()[-1]
        assert (last["code"], last["retryable"]) == ("not_ready", True)
    model.gate.release()  # it may have begun another step before
    assert model.ended.wait(20)


def test_a_stream_that_waits_goes_over_to_the_version_that_takes_over(serve: Serve) -> None:
    old, new = Gated(), Streaming()
    server = serve(with_settings(old, "m", max_streams=1))
    with server.connect() as wire, server.connect() as other:
        stream = begun(wire, "m", 2)
        other.send(ask_stream("m", {"x": 2}))
        before, streams = server.catalog.resolve("m"), server.streams("m")
        server.until(lambda: before.engine.waiting_rows == 1)
        server.change(lambda catalog: catalog.swap(before, served(new, "m")))
        server.on_loop(streams.close)
        assert outputs(Events(other).all()) == [0, 1]
        assert stream.next()["code"] == "not_ready"
        old.gate.release()
    assert (old.begun, new.begun) == (1, 1)
    before.engine.close()


def test_a_server_that_dies_breaks_the_framing(serve: Serve) -> None:
    """A client can tell what is complete from what broke off: the last chunk is missing."""
    model = Gated()
    server = serve(gated=model)
    with server.connect() as wire:
        begun(wire, "gated", 3)
        connection = server.only_connection()
        server.on_loop(connection.abort)
        try:
            rest = wire.rest()
        except ConnectionError:
            rest = b""
    assert b"0\r\n\r\n" not in rest
    model.gate.release()
    assert model.ended.wait(20)


def test_requests_behind_a_stream_of_a_gone_client_are_given_up(serve: Serve) -> None:
    model = Gated()
    server = serve(gated=model)
    wire: Wire = server.connect()
    wire.send(ask_stream("gated", {"x": 3}) + ask_stream("gated", {"x": 3}) + http("GET", "/v2") + infer("gated", [1]))
    assert Events(wire).next()["y"] == 0
    wire.close()
    server.until(lambda: server.failures("gated", "cancelled") == 2)
    model.gate.release(2)
    server.until(lambda: server.streams_idle("gated"))


def refused(server: Running) -> Overloaded:
    """What one more stream is refused with."""
    call = StreamCall(Batch.of(x=np.ones(1)), Context(), lambda item: item, ManualClock())
    with pytest.raises(Overloaded) as caught:
        server.streams("gated").begin(call)
    return caught.value
