"""Several replicas of one model: sharing work, being lost, being replaced, and coming and going with the load."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from engine_models import WAIT_S, Doubler, Gated, answers, rows

from foretell.columns import Batch
from foretell.config import ModelSettings
from foretell.engine.engine import Engine
from foretell.engine.member import Member
from foretell.engine.opening import loaded
from foretell.errors import InvalidSetting, NotReady, ReplicaLost
from foretell.model import Context, Model


class Made:
    """Opens a model again and again; keeps every one."""

    def __init__(self, kind: Callable[[], Model] = Gated) -> None:
        self.kind, self.models = kind, list[Any]()

    def __call__(self) -> Model:
        self.models.append(self.kind())
        return self.models[-1]  # type: ignore[no-any-return]


def engine_of(made: Made, **settings: Any) -> Engine:
    return Engine(made(), ModelSettings(**{"executor": "thread", **settings}), again=made).load()


async def until(holds: Callable[[], object]) -> None:
    """Waits for what other threads do."""
    async with asyncio.timeout(WAIT_S):
        while not holds():
            await asyncio.sleep(0.001)


async def test_requests_run_on_as_many_replicas_at_a_time_as_there_are() -> None:
    made = Made()
    engine = engine_of(made, replicas=3, max_batch_size=1)
    await until(lambda: len(engine.pool.members) == 3)
    asked = [asyncio.create_task(engine.infer(rows(n))) for n in range(5)]
    await until(lambda: all(model.started.is_set() for model in made.models))
    assert [model.calls for model in made.models] == [[1], [1], [1]]
    assert engine.waiting_rows == 2
    for model in made.models:
        model.gate.set()
    assert [answers(await one) for one in asked] == [[2 * n] for n in range(5)]
    assert max(model.most_at_once for model in made.models) == 1
    engine.close()
    assert [model.closed for model in made.models] == [1, 1, 1]


async def test_calls_past_the_queue_take_the_replica_with_the_least_to_do() -> None:
    made = Made()
    engine = engine_of(made, replicas=2)
    await until(lambda: len(engine.pool.members) == 2)
    calls = [asyncio.create_task(asyncio.to_thread(engine.run, rows(n))) for n in (1, 2)]
    await until(lambda: all(model.started.is_set() for model in made.models))
    for model in made.models:
        model.gate.set()
    assert [answers(await call) for call in calls] == [[2], [4]]
    engine.close()


async def test_the_next_batch_goes_to_the_replica_that_has_the_fewest() -> None:
    engine = engine_of(Made(Doubler), replicas=3)
    await until(lambda: len(engine.pool.members) == 3)
    pool, members = engine.pool, engine.pool.members
    assert {pool.acquire() for _ in members} == set(members)
    for free in (members[1], members[1], members[0], members[2], members[1]):
        pool.release(free)
        assert pool.acquire() is free, "nobody else has none"
    pool.hold(members[0])
    pool.hold(members[1])
    assert [pool.acquire(), pool.acquire(busy=[members[0], members[2]])] == [members[2], members[1]]
    engine.close()


class Dies(Doubler):
    """Is lost in the call whose first number is 13, as a process is that ends."""

    apart = True

    def answer(self, batch: Batch, ctx: Context) -> Batch:
        if 13 in batch.dense("x"):
            raise ReplicaLost("its process ended with signal 9")
        return super().answer(batch, ctx)


async def test_the_pause_is_known_before_a_lost_replica_is_missed() -> None:
    engine = engine_of(Made(Dies))
    counts, missed = engine.pool.on_losing, list[int]()
    assert counts is not None

    def counting(member: Member) -> None:
        counts(member)
        missed.append(engine.settings.replicas - len(engine.pool.members))

    engine.pool.on_losing = counting
    with pytest.raises(ReplicaLost):
        await engine.infer(rows(13))
    assert missed == [0]  # else the next one might be opened without it
    engine.close()


async def test_a_lost_replica_is_replaced_and_its_callers_are_told_at_once() -> None:
    made = Made(Dies)
    engine = engine_of(made)
    with pytest.raises(ReplicaLost, match="signal 9"):
        await engine.infer(rows(13))
    await until(lambda: engine.ready and len(made.models) == 2)
    assert answers(await engine.infer(rows(4))) == [8]
    assert made.models[1].calls == [1]
    await until(lambda: made.models[0].closed)
    assert engine.pool.lost == 1
    engine.close()


async def test_the_others_go_on_while_one_is_lost() -> None:
    made = Made(Dies)
    engine = engine_of(made, replicas=2, max_batch_size=1)
    await until(lambda: len(engine.pool.members) == 2)
    asked = [asyncio.create_task(engine.infer(rows(value))) for value in (13, 1, 2, 3, 4, 5)]
    ends = await asyncio.gather(*asked, return_exceptions=True)
    assert isinstance(ends[0], ReplicaLost)
    assert [answers(end) for end in ends[1:] if isinstance(end, Batch)] == [[2], [4], [6], [8], [10]]
    await until(lambda: len(engine.pool.members) == 2)
    engine.close()


async def test_requests_wait_for_a_replica_that_is_opened_at_once() -> None:
    opening = threading.Event()

    class Slow(Dies):
        def load(self, device: str) -> None:
            if len(made.models) > 1:
                opening.set()
                gate.wait(WAIT_S)

    made, gate = Made(Slow), threading.Event()
    engine = engine_of(made)
    with pytest.raises(ReplicaLost):
        await engine.infer(rows(13))
    await asyncio.to_thread(opening.wait, WAIT_S)
    assert not engine.ready
    waits = asyncio.create_task(engine.infer(rows(1)))
    await asyncio.sleep(0)
    gate.set()
    assert answers(await waits) == [2]
    assert engine.ready
    engine.close()


async def test_a_crash_loop_backs_off_and_who_waits_is_told() -> None:
    class Broken(Dies):
        def load(self, device: str) -> None:
            if len(made.models) > 1:
                raise OSError("the file is gone")

    made = Made(Broken)
    engine = engine_of(made)
    with pytest.raises(ReplicaLost):
        await engine.infer(rows(13))
    await until(lambda: len(made.models) > 3)
    assert engine.upkeep is not None
    await until(lambda: engine.upkeep is not None and "the file is gone" in engine.upkeep.last_error)
    with engine.pool.changed:
        engine.upkeep._failures = 20  # as after an hour of trying
    await until(lambda: engine.pool.hopeless)
    with pytest.raises(NotReady, match="no replica of the model runs now") as caught:
        await engine.infer(rows(1))
    assert 2 < (caught.value.retry_after_s or 0.0) <= 30
    with pytest.raises(NotReady, match="no replica"):
        engine.run(rows(1))
    engine.close()


async def test_a_replica_that_hangs_is_given_up_and_replaced() -> None:
    made = Made()
    engine = engine_of(made, call_timeout_s=0.05)
    with pytest.raises(ReplicaLost, match=r"took longer than 0\.05 s"):
        await engine.infer(rows(1))
    await until(lambda: len(made.models) == 2 and engine.ready)
    made.models[1].gate.set()
    assert answers(await engine.infer(rows(2))) == [4]
    made.models[0].gate.set()
    engine.close()


async def test_replicas_come_while_all_are_busy_and_go_when_fewer_do() -> None:
    made = Made()
    engine = engine_of(made, max_replicas=2, max_batch_size=1)
    assert engine.upkeep is not None
    asked = [asyncio.create_task(engine.infer(rows(n))) for n in range(4)]
    await until(lambda: len(engine.pool.members) == 2)
    await until(made.models[1].started.is_set)
    for model in made.models:
        model.gate.set()
    assert [answers(await one) for one in asked] == [[2 * n] for n in range(4)]
    engine.upkeep._quiet_since -= 60  # as after a minute with nothing to do
    await until(lambda: len(engine.pool.members) == 1 and made.models[1].closed)
    assert answers(await engine.infer(rows(4))) == [8]
    engine.close()


class Computes(Doubler):
    """Python code that computes for two milliseconds."""

    def answer(self, batch: Batch, ctx: Context) -> Batch:
        until = time.thread_time() + 0.002
        while time.thread_time() < until:
            pass
        return super().answer(batch, ctx)


async def test_python_code_that_holds_the_loop_up_moves_to_where_it_does_not() -> None:
    class Elsewhere(Doubler):
        apart = True

    here, there = Made(Computes), Made(Elsewhere)
    engine = Engine(here(), ModelSettings(), again=here, apart=there).load()
    while not there.models:
        assert answers(await engine.infer(rows(1))) == [2]
    await until(lambda: bool(here.models[0].closed))
    assert engine.pool.members[0].apart and engine.model is there.models[0]
    assert answers(await engine.infer(rows(2))) == [4]
    assert there.models[0].calls[-1] == 1
    engine.close()
    assert there.models[0].closed == 1


async def test_a_model_that_cannot_live_elsewhere_stays_where_it_is() -> None:
    class Homesick(Doubler):
        apart = True

        def load(self, device: str) -> None:
            raise OSError("it cannot be opened here")

    here, there = Made(Computes), Made(Homesick)
    engine = Engine(here(), ModelSettings(), again=here, apart=there).load()
    upkeep = engine.upkeep
    assert upkeep is not None
    while upkeep.last_code is None:
        assert answers(await engine.infer(rows(1))) == [2]
    assert answers(await engine.infer(rows(1))) == [2]
    await until(lambda: upkeep.generation == 0)
    assert (len(there.models), len(here.models)) == (1, 1)
    assert there.models[0].closed and not here.models[0].closed
    engine.close()


@pytest.mark.parametrize("stays", [{"stateful": True}, {"concurrent": True}])
def test_a_model_that_would_be_another_one_elsewhere_stays(stays: dict[str, bool]) -> None:
    engine = Engine(Doubler(**stays), ModelSettings(), again=Made(), apart=Made()).load()
    assert engine.upkeep is None
    engine.close()


@pytest.mark.parametrize("name", ["replicas", "max_replicas", "call_timeout_s"])
def test_a_live_object_has_one_replica(name: str) -> None:
    with pytest.raises(InvalidSetting, match=f"{name} needs a model that can be opened again"):
        Engine(Doubler(), ModelSettings(**{name: 2})).load()  # type: ignore[arg-type]


def test_a_stateful_model_has_one_replica() -> None:
    made = Made(lambda: Doubler(stateful=True))
    with pytest.raises(InvalidSetting, match="a stateful model has one replica"):
        engine_of(made, replicas=2)
    assert made.models[0].closed == 1


def test_fewer_replicas_at_most_than_at_least_is_refused() -> None:
    with pytest.raises(InvalidSetting, match="max_replicas is less than replicas"):
        engine_of(Made(), replicas=3, max_replicas=2)


def test_a_model_that_ends_its_loading_ends_nothing_else() -> None:
    class Exits(Doubler):
        def load(self, device: str) -> None:
            raise SystemExit(3)

    made = Made(Exits)
    with pytest.raises(NotReady, match="loading failed: SystemExit: 3"):
        loaded(made, "cpu", "model 'm'")
    assert made.models[0].closed == 1
