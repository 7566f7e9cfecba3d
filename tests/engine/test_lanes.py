"""Interactive and bulk requests before the same replica."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from engine_models import Gated, Timed, answers, engine_of, rows

from foretell.clock import ManualClock
from foretell.columns import Batch
from foretell.engine.engine import Engine
from foretell.engine.lanes import Lanes
from foretell.engine.profile import Profile
from foretell.engine.work import Completed, Group, Groups, Work, fields_of
from foretell.errors import InferenceError, Overloaded
from foretell.model import Context


class Asks(Work):
    """Keeps its end."""

    __slots__ = ("end",)

    def __init__(self, value: float, group: Group, count: int = 1) -> None:
        super().__init__([[value] * count], count, group)
        self.end: object = None

    def done(self, completed: Completed, start: int) -> None:
        self.end = answers(completed.batch.slice(start, start + self.rows))

    def fail(self, error: InferenceError) -> None:
        self.end = error


def group_of(engine: Engine, *, bulk: bool) -> Group:
    return engine.groups.get(fields_of(rows(1)), {}, Context(), True, bulk)


async def until_ended(*works: Asks) -> None:
    while any(work.end is None for work in works):
        await asyncio.sleep(0)


async def test_interactive_requests_go_before_bulk_ones_that_came_earlier() -> None:
    model = Gated()
    engine = engine_of(model, executor="thread", max_batch_size=2)
    first = Asks(0, group_of(engine, bulk=False))
    engine.submit(first)
    while not model.started.is_set():
        await asyncio.sleep(0)
    bulk = [Asks(10 + n, group_of(engine, bulk=True)) for n in range(6)]
    interactive = [Asks(1 + n, group_of(engine, bulk=False)) for n in range(4)]
    for work in [*bulk, *interactive]:
        engine.submit(work)
    lanes = engine.batcher(asyncio.get_running_loop())._lanes
    lanes._total_s = lanes._bulk_s = 100.0  # bulk work has had its share
    model.gate.set()
    await until_ended(first, *bulk, *interactive)
    assert model.seen == [0, 1, 2, 3, 4, 10, 11, 12, 13, 14, 15]
    assert [work.end for work in bulk] == [[2.0 * (10 + n)] for n in range(6)]
    engine.close()


async def test_a_full_bulk_lane_refuses_bulk_work_and_nobody_else() -> None:
    model = Gated()
    engine = engine_of(model, executor="thread", max_queue_size=3)
    first = Asks(0, group_of(engine, bulk=False))
    engine.submit(first)
    while not model.started.is_set():
        await asyncio.sleep(0)
    bulk = [Asks(1, group_of(engine, bulk=True)) for _ in range(4)]
    for work in bulk:
        engine.submit(work)
    assert isinstance(bulk[-1].end, Overloaded)
    one = Asks(5, group_of(engine, bulk=False))
    engine.submit(one)
    model.gate.set()
    await until_ended(first, one, *bulk)
    assert one.end == [10.0]
    assert [work.end for work in bulk[:3]] == [[2.0]] * 3
    engine.close()


def profile_of(seconds_per_row: float, fixed_s: float) -> Profile:
    profile = Profile()
    for size in (1, 2, 4, 8, 16, 32, 64):
        profile.learn(size, fixed_s + seconds_per_row * size)
    return profile


def works(groups: Groups, count: int, *, bulk: bool) -> list[Asks]:
    fields = fields_of(Batch.of(x=np.zeros(1)))
    group = groups.get(fields, {}, Context(), True, bulk)
    made = [Asks(0, group) for _ in range(count)]
    for work in made:
        work.arrived = 1.0
    return made


def fill(lanes: Lanes, made: list[Asks]) -> None:
    for work in made:
        lanes.of(work).add(work)


@pytest.mark.parametrize("interactive_first", [True, False])
def test_bulk_rows_ride_in_an_interactive_call_that_they_do_not_make_longer(interactive_first: bool) -> None:
    lanes, groups = Lanes(128, profile_of(0, 0.005)), Groups()
    kinds = [False, True] if interactive_first else [True, False]
    made = {bulk: works(groups, 10 if not bulk else 100, bulk=bulk) for bulk in kinds}
    lanes.ran(made[True][:1], 0.005, 1.0)  # they have had their share
    for bulk in kinds:
        fill(lanes, made[bulk])
    taken = lanes.take(128, 1.1)
    assert len(taken) == 64, "as many as were ever seen in one call"
    assert set(made[False]) <= set(taken)
    assert lanes.bulk.rows == 46


def test_none_rides_where_each_row_costs() -> None:
    lanes, groups = Lanes(128, profile_of(0.001, 0)), Groups()
    interactive, bulk = works(groups, 10, bulk=False), works(groups, 50, bulk=True)
    fill(lanes, [*interactive, *bulk])
    lanes.ran(bulk[:1], 0.001, 1.0)
    assert set(lanes.take(128, 1.1)) == set(interactive)


def test_bulk_calls_are_short_beside_what_interactive_requests_take_anyway() -> None:
    lanes, groups = Lanes(128, profile_of(0.001, 0)), Groups()
    interactive, bulk = works(groups, 200, bulk=False), works(groups, 100, bulk=True)
    fill(lanes, [*interactive[:1], *bulk])
    for at in range(60):
        lanes.ran(interactive[at : at + 1], 0.02, 1.08)  # they take about 80 ms
    lanes.interactive.clear()
    assert 3 <= len(lanes.take(128, 1.1)) <= 4, "5% of 80 ms"
    assert len(lanes.take(128, 99.0)) >= 96, "nobody interactive was there for long"


def test_bulk_work_gets_its_two_percent_however_much_interactive_work_waits() -> None:
    lanes, groups = Lanes(16, profile_of(0.001, 0)), Groups()
    spent = {True: 0.0, False: 0.0}
    for _ in range(3000):
        if lanes.interactive.rows < 16:
            fill(lanes, works(groups, 16, bulk=False))
        if lanes.bulk.rows < 16:
            fill(lanes, works(groups, 16, bulk=True))
        taken = lanes.take(16, 2.0)
        seconds = 0.001 * len(taken)
        lanes.ran(taken, seconds, 2.0)
        spent[taken[0].group.bulk] += seconds
    share = spent[True] / (spent[True] + spent[False])
    assert 0.02 <= share < 0.03


def test_without_bulk_work_nothing_is_counted() -> None:
    lanes, groups = Lanes(16, profile_of(0.001, 0)), Groups()
    made = works(groups, 4, bulk=False)
    fill(lanes, made)
    assert lanes.take(16, 1.0) == made
    lanes.ran(made, 0.004, 1.0)
    assert lanes.bulk_share == 0.0 and not lanes


async def test_bulk_work_that_is_late_is_no_reason_to_refuse_interactive_requests() -> None:
    """The objective is theirs alone."""
    clock = ManualClock()
    engine = engine_of(Timed(clock, 0.02), clock, executor="inline", warm_up=False, slo_ms=50, max_batch_size=2)
    bulk = [Asks(n, group_of(engine, bulk=True)) for n in range(20)]
    for work in bulk:
        engine.submit(work)
    await until_ended(*bulk)
    objective = engine.batcher(asyncio.get_running_loop()).objective
    assert objective is not None
    assert objective.margin_s == pytest.approx(0.005)
    engine.close()
