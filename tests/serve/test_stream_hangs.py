"""Streams whose model hangs or is slow to begin: who waits is told, the replica is replaced, and nothing runs on."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
from serving import Running, served
from stream_client import Events, ask_stream, begun, outputs
from streaming_models import WAIT_S, Endless, Gated, Streaming
from wire import infer, values

from foretell.columns import Batch, Dense
from foretell.config import ModelSettings
from foretell.engine.stream_call import StreamCall
from foretell.model import Context

Serve = Callable[..., Running]
LIMIT_S = 0.5


class Opened:
    """Opens the models of a list one after the other, then the last one's kind again and again."""

    def __init__(self, *models: Streaming) -> None:
        self._models = list(models)
        self.opened: list[Streaming] = []

    def __call__(self) -> Streaming:
        self.opened.append(self._models.pop(0) if self._models else type(self.opened[-1])())
        return self.opened[-1]

    def served(self, **settings: Any) -> Any:
        return served(self(), "m", settings=ModelSettings(call_timeout_s=LIMIT_S, **settings), again=self)


def losses(server: Running) -> tuple[int, str | None]:
    pool = server.engine("m").pool
    return pool.lost, pool.last_loss


def test_a_step_that_hangs_costs_its_replica_and_nobody_elses_stream(serve: Serve) -> None:
    hangs = Gated()
    server = serve(Opened(hangs, Streaming()).served(max_streams=1))
    with server.connect() as wire, server.connect() as waits:
        stream = begun(wire, "m", 3)
        waits.send(ask_stream("m", {"x": 3}))
        assert stream.next() == {
            "error": f"model 'm': a step of the stream took longer than {LIMIT_S} s; try again",
            "code": "replica_lost",
            "retryable": True,
        }
        assert stream.next() is None
        assert outputs(Events(waits).all()) == [0, 1, 2]  # of the replica in its place
    assert losses(server) == (1, "hung")
    server.until(lambda: server.streams_idle("m"))
    assert not hangs.ended.is_set()
    hangs.gate.release()
    assert hangs.ended.wait(WAIT_S)  # once it comes back, it is ended like any other
    assert hangs.given == 2


def test_the_other_streams_of_a_replica_that_hangs_are_told_too(serve: Serve) -> None:
    hangs = Gated()
    server = serve(Opened(hangs, Streaming()).served())
    with server.connect() as first, server.connect() as second:
        stream = begun(first, "m", 2)
        assert hangs.waits.wait(WAIT_S)
        answer = second.send(ask_stream("m", {"x": 2})).answer()  # it waits for its turn
        assert (answer.status, answer.header("retry-after")) == (503, "1")
        assert answer.error == "model 'm': the replica of the stream was lost; try again"
        assert stream.next()["code"] == "replica_lost"
    server.until(lambda: server.streams_idle("m"))
    assert hangs.begun == 1
    hangs.gate.release()
    assert hangs.ended.wait(WAIT_S)
    assert losses(server) == (1, "hung")


def test_who_reads_slowly_is_no_model_that_hangs(serve: Serve) -> None:
    slow, hangs = Endless(most=1000), Endless()
    gate = threading.Event()
    hangs.stream = lambda batch, ctx: iter(lambda: gate.wait(WAIT_S), True)  # type: ignore[assignment]
    server = serve(Opened(slow, hangs, Endless(most=1)).served(replicas=2))
    engine = server.engine("m")
    server.until(lambda: len(engine.pool.members) == 2)
    with server.connect(receive_buffer=4096) as wire:
        wire.send(ask_stream("m", {"x": 1}))
        connection = server.only_connection()
        server.until(lambda: connection._full)
        answer = server.ask(ask_stream("m", {"x": 1}))
        assert answer.error.startswith("model 'm': a step of the stream took longer")
        assert len(Events(wire).all()) == 1000
    assert losses(server) == (1, "hung")
    gate.set()
    server.until(lambda: server.streams_idle("m"))


class Prepares(Streaming):
    """Its host work waits for `gate`."""

    def __init__(self) -> None:
        super().__init__()
        self.entered, self.gate = threading.Event(), threading.Event()

    def preprocess(self, batch: Batch, ctx: Context) -> Batch:
        self.entered.set()
        assert self.gate.wait(WAIT_S)
        return batch


def test_a_client_that_goes_while_its_stream_is_prepared_leaves_none_running(serve: Serve) -> None:
    model = Prepares()
    server = serve(m=model)
    with server.connect() as wire:
        wire.send(ask_stream("m", {"x": 3}))
        assert model.entered.wait(WAIT_S)
    server.until(lambda: server.failures("m", "cancelled") == 1)
    model.gate.set()
    server.until(lambda: server.streams_idle("m"))
    assert model.begun == 0
    with server.connect() as wire:
        assert outputs(Events(wire.send(ask_stream("m", {"x": 2}))).all()) == [0, 1]


def test_the_limit_holds_for_host_work_too(serve: Serve) -> None:
    model = Prepares()
    server = serve(Opened(model, Streaming()).served())
    answer = server.ask(ask_stream("m", {"x": 3}))
    assert answer.status == 503
    assert answer.error.startswith("model 'm': a step of the stream took longer")
    server.until(lambda: server.engine("m").ready)
    with server.connect() as wire:
        assert outputs(Events(wire.send(ask_stream("m", {"x": 2}))).all()) == [0, 1]
    model.gate.set()
    server.until(lambda: server.streams_idle("m"))
    assert model.begun == 0


class Both(Gated):
    """Answers whole too."""

    only_streams = False

    def predict(self, batch: Batch, ctx: Context) -> Batch:
        return Batch({"y": batch.columns["x"]}, batch.rows)


def test_requests_for_whole_answers_go_to_the_replica_in_its_place(serve: Serve) -> None:
    hangs = Both()
    server = serve(Opened(hangs, Both()).served())
    with server.connect() as wire:
        stream = begun(wire, "m", 2)
        assert stream.next()["code"] == "replica_lost"
    server.until(lambda: server.engine("m").ready)  # it was not any more before the client was told
    assert values(server.ask(infer("m", [7]))) == [7]
    hangs.gate.release()
    assert hangs.ended.wait(WAIT_S)


def test_who_is_told_of_a_hang_does_not_come_to_the_same_replica_again() -> None:
    hangs, over = Gated(), threading.Event()
    engine = Opened(hangs, Streaming()).served().engine
    (member,) = engine.pool.members
    still_there: list[bool] = []

    def told() -> None:
        while call.take() is not None:
            pass  # it asks to be told again
        if call.ended:
            still_there.append(member in engine.pool.members)
            over.set()

    batch = Batch({"x": Dense(np.array([[2]], np.float32))}, 1)
    call: StreamCall[Batch] = StreamCall(batch, Context(), lambda piece: piece, engine.clock, told)
    assert call.take() is None
    engine.streams.begin(call)
    assert over.wait(WAIT_S)
    assert still_there == [False]
    assert str(call.error) == f"model 'm': a step of the stream took longer than {LIMIT_S} s; try again"
    hangs.gate.release()
    assert hangs.ended.wait(WAIT_S)
    engine.close()
