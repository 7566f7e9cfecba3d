"""A process that is about to be free has its next batch already, where a full one waits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from engine_models import WAIT_S, Doubler, answers, rows

from foretell.clock import ManualClock
from foretell.columns import Batch
from foretell.config import ModelSettings
from foretell.engine.awaited import AwaitedWork
from foretell.engine.engine import Engine
from foretell.engine.work import fields_of
from foretell.errors import DeadlineExceeded, NotReady, ReplicaLost, TransientError
from foretell.model import Context, Done, Model, Outcome

CALL_S = 0.002


class Away(Doubler):
    """Lets the test end the calls that are begun."""

    apart = True

    def __init__(self, most: int = 2) -> None:
        super().__init__()
        self.most = most
        self.begun: list[tuple[Batch, Done]] = []

    def begin(self, batch: Batch, ctx: Context, done: Done) -> bool:
        if len(self.begun) >= self.most:
            return False
        self.begun.append((batch, done))
        return True

    @property
    def sizes(self) -> list[int]:
        return [batch.rows for batch, _ in self.begun]

    def end(self, outcome: Outcome | str = "answer") -> None:
        """The oldest one: with its answer, or as the test says."""
        batch, done = self.begun.pop(0)
        done(self.predict(batch, Context()) if isinstance(outcome, str) else outcome, CALL_S)


class Served:
    """An engine of such models and what was asked of it."""

    def __init__(self, call_s: float = CALL_S, most: int = 2, **settings: Any) -> None:
        self.clock, self.call_s = ManualClock(), call_s
        self.models: list[Away] = []

        def made() -> Model:
            self.models.append(Away(most))
            return self.models[-1]

        chosen = ModelSettings(**{"executor": "process", "max_batch_size": 2, **settings})
        self.engine = Engine(made(), chosen, again=made, clock=self.clock).load()

    @property
    def model(self) -> Away:
        return self.models[-1]

    async def know(self) -> None:
        """One call, so that the engine knows how long they take."""
        (asked,) = await self.ask(1)
        self.clock.advance(self.call_s)
        self.model.end()
        assert answers(await asked) == [2]

    async def ask(self, *values: float, bulk: bool = False) -> list[asyncio.Future[Batch]]:
        """One request for each value; they are where they belong when it returns."""
        works = []
        for value in values:
            batch = rows(value)
            group = self.engine.groups.get(fields_of(batch), {}, Context(), True, bulk)
            works.append(AwaitedWork(batch, group, None))
            self.engine.submit(works[-1])
        for _ in range(5):
            await asyncio.sleep(0)
        return [work.future for work in works]

    async def end(self, outcome: Outcome | str = "answer") -> None:
        self.clock.advance(self.call_s)
        self.model.end(outcome)
        for _ in range(5):
            await asyncio.sleep(0)


async def until(holds: Callable[[], object]) -> None:
    """Waits for what other threads do."""
    async with asyncio.timeout(WAIT_S):
        while not holds():
            await asyncio.sleep(0.001)


async def answered(*asked: asyncio.Future[Batch]) -> list[float]:
    return [answers(await one)[0] for one in asked]


async def test_a_full_batch_is_begun_before_the_one_before_it_has_ended() -> None:
    served = Served()
    await served.know()
    asked = await served.ask(1, 2, 3, 4, 5)
    assert served.model.sizes == [2, 2]
    assert served.engine.waiting_rows == 1
    await served.end()
    assert await answered(*asked[:2]) == [2, 4]
    assert served.model.sizes == [2]
    await served.end()
    assert await answered(*asked[2:4]) == [6, 8]
    await until(lambda: served.model.sizes == [1])  # a moment later: who was answered may have come back
    await served.end()
    assert await answered(*asked[4:]) == [10]
    assert not served.engine.batchers[0].pending
    assert served.engine.pool.members[0].outstanding == 0
    served.engine.close()


async def test_it_is_begun_as_soon_as_it_is_full() -> None:
    served = Served()
    await served.know()
    await served.ask(1, 2)
    asked = await served.ask(3)
    assert served.model.sizes == [2]  # it may grow until the process is free
    asked += await served.ask(4)
    assert served.model.sizes == [2, 2]
    await served.end()
    await served.end()
    assert await answered(*asked) == [6, 8]
    served.engine.close()


async def test_each_process_gets_one_the_one_that_is_free_first_before_the_others() -> None:
    served = Served(replicas=2)
    await until(lambda: len(served.engine.pool.members) == 2)
    (asked,) = await served.ask(1)
    served.clock.advance(CALL_S)
    first, second = served.models
    (first if first.begun else second).end()
    await asked
    await served.ask(1)
    served.clock.advance(CALL_S / 2)
    await served.ask(2)
    assert first.sizes == second.sizes == [1]
    await served.ask(3, 4)
    assert [len(first.begun), len(second.begun)].count(2) == 1
    earlier = next(model for model in served.models if len(model.begun) == 2)
    assert earlier.begun[0][0].dense("x").tolist() == [1]
    await served.ask(5, 6, 7, 8)
    assert first.sizes == second.sizes == [1, 2]
    assert served.engine.waiting_rows == 2
    served.engine.close()


@pytest.mark.parametrize("call_s", [None, 0.05])
async def test_nothing_is_lined_up_behind_calls_that_are_long_or_not_known(call_s: float | None) -> None:
    served = Served(call_s or CALL_S)
    if call_s is not None:
        await served.know()
    await served.ask(1, 2, 3, 4)
    assert served.model.sizes == [2]
    served.engine.close()


async def test_nothing_is_lined_up_while_bulk_requests_wait() -> None:
    served = Served()
    await served.know()
    await served.ask(1, 2)
    await served.ask(3, 4, bulk=True)
    await served.ask(5, 6)
    assert served.model.sizes == [2]
    served.engine.close()


async def test_what_was_not_begun_in_a_process_that_ended_goes_to_the_next_one() -> None:
    served = Served()
    await served.know()
    asked = await served.ask(1, 2, 3, 4)
    lost = served.model
    batch, done = lost.begun.pop(0)
    _, again = lost.begun.pop(0)
    done(ReplicaLost("its process ended with signal 9"), 0.0)
    again(None, 0.0)
    for one in asked[:2]:
        with pytest.raises(ReplicaLost):
            await one
    await until(lambda: served.model is not lost and served.model.begun)
    await served.end()
    assert await answered(*asked[2:]) == [6, 8]
    assert batch.rows == 2
    served.engine.close()


async def test_what_was_not_begun_in_a_process_that_is_closed_ends() -> None:
    served = Served()
    await served.know()
    asked = await served.ask(1, 2, 3, 4)
    served.engine.close()
    (_, done), (_, behind) = served.model.begun
    done(NotReady("the model is closed"), 0.0)
    behind(None, 0.0)
    async with asyncio.timeout(WAIT_S):
        ends = await asyncio.gather(*asked, return_exceptions=True)
    assert [type(end) for end in ends] == [NotReady] * 4
    assert not served.engine.batchers[0].pending


async def test_a_call_that_fails_for_a_moment_is_not_tried_again_once_the_engine_is_closed() -> None:
    served = Served(retries=3)
    await served.know()
    asked = await served.ask(1, 2)
    served.engine.close()
    ((_, done),) = served.model.begun
    done(TransientError("busy"), 0.0)
    async with asyncio.timeout(WAIT_S):
        ends = await asyncio.gather(*asked, return_exceptions=True)
    assert [type(end) for end in ends] == [NotReady] * 2
    assert not served.engine.batchers[0].pending


async def test_a_call_that_fails_does_not_touch_the_one_behind_it() -> None:
    served = Served()
    await served.know()
    asked = await served.ask(-1, 2, 3, 4)
    served.model.end(ValueError("there is a negative number"))  # whose fault it is, is searched on a thread meanwhile
    served.model.end()
    ends = await asyncio.gather(*asked, return_exceptions=True)
    assert "negative" in str(ends[0])
    assert [answers(end) for end in ends[1:] if isinstance(end, Batch)] == [[4], [6], [8]]
    await served.engine.drain()
    assert served.engine.pool.members[0].outstanding == 0
    served.engine.close()


async def test_what_cannot_be_begun_now_waits_in_its_place() -> None:
    served = Served(most=1)
    await served.know()
    asked = await served.ask(1, 2, 3, 4)
    assert served.model.sizes == [2]
    assert served.engine.waiting_rows == 2
    await served.end()
    await until(lambda: served.model.begun)
    assert served.model.begun[0][0].dense("x").tolist() == [3, 4]
    await served.end()
    assert await answered(*asked) == [2, 4, 6, 8]
    served.engine.close()


async def test_a_request_whose_time_is_up_while_it_is_lined_up() -> None:
    served = Served()
    await served.know()
    await served.ask(1, 2)
    late = [asyncio.create_task(served.engine.infer(rows(n), Context(deadline=served.clock.monotonic() + 0.01)))
            for n in (3, 4)]  # fmt: skip
    for _ in range(5):
        await asyncio.sleep(0)
    assert served.model.sizes == [2, 2]
    served.clock.advance(0.02)
    for one in late:
        with pytest.raises(DeadlineExceeded):
            await one
    await served.end()
    await served.end()
    await served.engine.drain()
    served.engine.close()


async def test_a_call_that_is_heard_of_late_frees_its_process() -> None:
    served = Served()
    await served.know()
    asked = await served.ask(1, 2, 3, 4)
    await served.end()
    batch, done = served.model.begun.pop(0)
    served.clock.advance(5 * CALL_S)
    done(served.model.predict(batch, Context()), CALL_S)
    assert await answered(*asked) == [2, 4, 6, 8]
    await until(lambda: not served.engine.batchers[0].pending)
    assert served.engine.pool.members[0].outstanding == 0
    served.engine.close()
