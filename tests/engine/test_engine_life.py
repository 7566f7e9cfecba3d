"""From load to close: what is loaded is closed once, and what an engine says of itself is so."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from engine_models import WAIT_S, Doubler, Gated, InlineDoubler, answers, engine_of, rows

from foretell.config import ModelSettings
from foretell.engine.engine import Engine
from foretell.errors import InferenceError, InvalidSetting, ModelError, NotReady, Unavailable
from foretell.model import Context


class Loads(Doubler):
    """Records what it is told at load, or fails."""

    def __init__(self, error: BaseException | None = None) -> None:
        super().__init__()
        self.error, self.device = error, ""

    def load(self, device: str) -> None:
        if self.error is not None:
            raise self.error
        self.device = device

    def variant(self) -> Mapping[str, str]:
        return {"device": self.device}


@pytest.mark.parametrize("error", [RuntimeError("no memory"), Unavailable("no such device"), SystemExit(0)])
def test_a_failed_load_is_an_error_with_its_cause_and_closes_the_model(error: BaseException) -> None:
    model = Loads(error)
    with pytest.raises(InferenceError) as caught:
        engine_of(model)
    assert caught.value is error or caught.value.__cause__ is error
    assert model.closed == 1


def test_the_device_reaches_the_model_and_its_calls() -> None:
    model = Loads()
    engine = engine_of(model, device="cuda:1")
    assert model.device == "cuda:1"
    engine.close()


def test_a_model_that_has_not_heard_of_devices_is_refused_another() -> None:
    model = Doubler()
    with pytest.raises(Unavailable, match="the model knows of no devices; expected cpu, got cuda; use cpu, or"):
        engine_of(model, device="cuda")
    assert model.closed == 1


def test_before_load_and_after_close_everything_says_so() -> None:
    model = Doubler()
    engine = Engine(model, ModelSettings())
    for way in (
        lambda: engine.run(rows(1)),
        lambda: engine.prepare(rows(1)),
        lambda: asyncio.run(engine.infer(rows(1))),
    ):
        with pytest.raises(NotReady, match="not loaded"):
            way()
    assert not engine.ready
    engine.load()
    assert engine.ready
    prepared = engine.prepare(rows(1))
    engine.close()
    engine.close()
    assert not engine.ready and model.closed == 1
    for late in (lambda: engine.run(rows(1)), lambda: engine.prepare(rows(1)), lambda: engine.finish(prepared)):
        with pytest.raises(NotReady, match="closed"):
            late()


def test_a_model_that_was_never_loaded_is_closed_too() -> None:
    model = Doubler()
    Engine(model, ModelSettings()).close()
    assert model.closed == 1


def test_a_model_is_not_closed_under_a_caller_that_waits() -> None:
    model = Gated(concurrent=True)
    closed_during: list[int] = []
    engine = engine_of(model)
    with ThreadPoolExecutor(3) as pool:
        running = pool.submit(engine.run, rows(1))
        assert model.started.wait(WAIT_S)
        closing = pool.submit(engine.close)
        with pytest.raises(NotReady):
            while True:
                engine.prepare(rows(2))
        closed_during.append(model.closed)
        model.gate.set()
        assert answers(running.result(WAIT_S)) == [2]
        closing.result(WAIT_S)
    assert closed_during == [0] and model.closed == 1


def test_host_work_ahead_and_the_call_itself_give_what_one_call_gives() -> None:
    engine = engine_of(Doubler())
    assert answers(engine.finish(engine.prepare(rows(1, 2)))) == answers(engine.run(rows(1, 2))) == [2, 4]
    with pytest.raises(ModelError, match="negative"):
        engine.finish(engine.prepare(rows(-1)))
    engine.close()


@pytest.mark.parametrize("options", [{}, {"cache_size": 100}, {"timeout_s": 100.0}])
def test_apart_finds_the_rows_that_fail_whatever_else_is_on(options: dict[str, Any]) -> None:
    engine = engine_of(Doubler(), **options)
    batch = rows(*(-1 if n in (3, 77) else n for n in range(100)))
    for answer in (engine.run(batch, apart=True), engine.finish(engine.prepare(batch), apart=True)):
        assert set(answer.errors) == {3, 77}
        assert all("negative" in error.message for error in answer.errors.values())
        assert [value for row, value in enumerate(answers(answer)) if row not in (3, 77)] == [
            2 * n for n in range(100) if n not in (3, 77)
        ]
    with pytest.raises(ModelError):
        engine.run(batch)
    engine.close()


def test_apart_does_not_split_what_is_one_thing() -> None:
    model = Doubler(row_wise=False)
    engine = engine_of(model)
    with pytest.raises(ModelError):
        engine.run(rows(1, -1, 2), apart=True)
    assert model.calls == [3]
    engine.close()


def test_the_identity_says_what_decides_the_answers() -> None:
    def identity(device: str = "cpu", **options: str) -> str:
        engine = Engine(Loads(), ModelSettings(device=device), **options).load()  # type: ignore[arg-type]
        key = engine.identity.key
        engine.close()
        return key

    same = identity(name="m", digest="sha256:a")
    assert same == identity(name="m", digest="sha256:a")
    others = [
        identity(name="n", digest="sha256:a"),
        identity(name="m", digest="sha256:b"),
        identity(name="m", digest="sha256:a", version="2"),
        identity(name="m", digest="sha256:a", device="cuda"),
    ]
    assert len({same, *others}) == 5


def test_one_engine_runs_one_call_at_a_time_for_all_who_ask() -> None:
    model = InlineDoubler()
    engine = engine_of(model, timeout_s=1000.0, warm_up=False)
    together = threading.Barrier(6, timeout=WAIT_S)

    def ask(start: int) -> list[float]:
        together.wait()
        if start % 2:
            return answers(engine.run(rows(start, start + 1)))
        return answers(asyncio.run(engine.infer(rows(start, start + 1), Context())))

    with ThreadPoolExecutor(6) as pool:
        for start, got in enumerate(pool.map(ask, range(6))):
            assert got == [2 * start, 2 * start + 2]
    assert model.most_at_once == 1
    engine.close()


def test_closing_a_cache_that_cannot_be_closes_the_model() -> None:
    model = Doubler(stateful=True)
    with pytest.raises(InvalidSetting):
        engine_of(model, cache_size=10)
    assert model.closed == 1
