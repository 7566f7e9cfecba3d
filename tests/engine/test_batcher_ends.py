"""Every accepted request ends once: an answer, a typed error, or the cancellation its caller asked for."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections import Counter
from typing import Any

import numpy as np
import pytest
from engine_models import WAIT_S, Doubler, Gated, InlineDoes, InlineDoubler, Timed, answers, engine_of, rows

from foretell.clock import ManualClock
from foretell.columns import Batch, Dense
from foretell.engine.engine import Engine
from foretell.engine.work import Completed, Work, fields_of
from foretell.errors import (
    DeadlineExceeded,
    InferenceError,
    InvalidInput,
    ModelError,
    NotReady,
    Overloaded,
    RowError,
    TransientError,
)
from foretell.model import Context
from foretell.observe.stats import Stats

EXECUTORS = pytest.mark.parametrize("executor", ["inline", "thread"])


async def started(model: Gated) -> None:
    assert await asyncio.to_thread(model.started.wait, WAIT_S)


def soon(engine: Engine, seconds: float = 0.01) -> Context:
    return Context(deadline=engine.clock.monotonic() + seconds)


class Told(Work):
    """Remembers how it ended."""

    def __init__(self, engine: Engine, batch: Batch) -> None:
        group = engine.groups.get(fields_of(batch), {}, Context(), True)
        super().__init__(list(batch.columns.values()), batch.rows, group)
        self.ends: list[Any] = []

    def done(self, completed: Completed, start: int) -> None:
        self.ends.append(completed.batch.slice(start, start + self.rows))

    def fail(self, error: InferenceError) -> None:
        self.ends.append(error)


class TestTimeLimits:
    async def test_a_request_whose_time_is_up_in_the_queue_never_reaches_the_model(self) -> None:
        model = Gated()
        engine = engine_of(model)
        running = asyncio.create_task(engine.infer(rows(1)))
        await started(model)
        with pytest.raises(DeadlineExceeded):
            await asyncio.wait_for(engine.infer(rows(2), soon(engine)), WAIT_S)
        assert engine.waiting_rows == 0, "who has gone still takes a place in the queue"
        model.gate.set()
        assert answers(await running) == [2]
        assert answers(await engine.infer(rows(3))) == [6]
        assert model.seen == [1, 3]
        engine.close()

    async def test_nobody_waits_past_the_limit_for_a_call_under_way(self) -> None:
        model = Gated()
        engine = engine_of(model, timeout_s=0.01)
        with pytest.raises(DeadlineExceeded, match="time limit"):
            await asyncio.wait_for(engine.infer(rows(1)), WAIT_S)
        model.gate.set()
        await asyncio.wait_for(engine.drain(), WAIT_S)
        engine.close()

    async def test_a_limit_that_has_passed_already_is_a_refusal(self) -> None:
        model = InlineDoubler()
        engine = engine_of(model, warm_up=False)
        with pytest.raises(DeadlineExceeded):
            await engine.infer(rows(1), soon(engine, -1.0))
        assert model.calls == []
        engine.close()

    async def test_the_nearer_of_two_limits_holds(self) -> None:
        model = Gated()
        engine = engine_of(model, timeout_s=1000.0)
        with pytest.raises(DeadlineExceeded):
            await asyncio.wait_for(engine.infer(rows(1), soon(engine)), WAIT_S)
        model.gate.set()
        engine.close()

    async def test_one_mans_limit_is_not_his_neighbours(self) -> None:
        model = Gated()
        engine = engine_of(model)
        running = asyncio.create_task(engine.infer(rows(0)))
        await started(model)
        hasty = asyncio.create_task(engine.infer(rows(1), soon(engine)))
        patient = asyncio.create_task(engine.infer(rows(2), soon(engine, 1000)))
        with pytest.raises(DeadlineExceeded):
            await hasty
        model.gate.set()
        assert answers(await patient) == [4] and answers(await running) == [0]
        engine.close()

    def test_a_caller_that_waits_is_let_go_in_time_too(self) -> None:
        model = Gated()
        engine = engine_of(model, timeout_s=0.01)
        engine.pool.members[0].thread.submit(rows(1), Context())
        assert model.started.wait(WAIT_S)
        with pytest.raises(DeadlineExceeded, match="time limit"):
            engine.run(rows(2))
        model.gate.set()
        engine.close()
        assert model.seen == [1]

    def test_a_caller_whose_call_is_under_way_is_let_go_too(self) -> None:
        model = Gated()
        engine = engine_of(model, timeout_s=0.2)
        with pytest.raises(DeadlineExceeded, match="time limit"):
            engine.run(rows(1))
        model.gate.set()
        engine.close()

    def test_calls_that_gave_up_do_not_pile_up_behind_a_model_that_hangs(self) -> None:
        model = Gated()
        engine = engine_of(model, timeout_s=0.005, max_queue_size=3)
        engine.pool.members[0].thread.submit(rows(1), Context())
        assert model.started.wait(WAIT_S)
        kinds = Counter[str]()
        for _ in range(6):
            with pytest.raises(InferenceError) as caught:
                engine.run(rows(2))
            kinds[caught.value.code] += 1
        assert kinds == {"deadline_exceeded": 3, "overloaded": 3}
        model.gate.set()
        engine.close()


class TestCancelling:
    async def test_what_is_cancelled_in_the_queue_never_reaches_the_model(self) -> None:
        model = Gated()
        engine = engine_of(model)
        running = asyncio.create_task(engine.infer(rows(1)))
        await started(model)
        gone = [asyncio.create_task(engine.infer(rows(n))) for n in range(10, 20)]
        stays = asyncio.create_task(engine.infer(rows(2)))
        await asyncio.sleep(0)
        for task in gone:
            task.cancel()
        model.gate.set()
        assert answers(await stays) == [4] and answers(await running) == [2]
        assert model.seen == [1, 2]
        assert all(
            isinstance(end, asyncio.CancelledError) for end in await asyncio.gather(*gone, return_exceptions=True)
        )
        engine.close()

    async def test_who_is_cancelled_under_way_takes_nobody_along(self) -> None:
        model = Gated()
        engine = engine_of(model)
        first = asyncio.create_task(engine.infer(rows(1)))
        await started(model)
        pair = [asyncio.create_task(engine.infer(rows(n))) for n in (2, 3)]
        await asyncio.sleep(0)
        first.cancel()
        pair[0].cancel()
        model.gate.set()
        assert answers(await pair[1]) == [6]
        engine.close()

    async def test_a_model_can_see_that_nobody_waits_any_more(self) -> None:
        seen: list[bool] = []
        gate, inside = threading.Event(), threading.Event()

        class Looks(Doubler):
            def answer(self, batch: Batch, ctx: Context) -> Batch:
                seen.append(ctx.cancelled())
                inside.set()
                assert gate.wait(WAIT_S)
                seen.append(ctx.cancelled())
                return super().answer(batch, ctx)

        engine = engine_of(Looks())
        task = asyncio.create_task(engine.infer(rows(1)))
        assert await asyncio.to_thread(inside.wait, WAIT_S)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        gate.set()
        await engine.drain()
        assert seen == [False, True]
        engine.close()


class TestRefusing:
    async def test_a_full_queue_refuses_at_once_and_says_what_to_do(self) -> None:
        model = Gated()
        engine = engine_of(model, max_queue_size=4)
        running = asyncio.create_task(engine.infer(rows(0)))
        await started(model)
        waiting = [asyncio.create_task(engine.infer(rows(n, n))) for n in (1, 2)]
        await asyncio.sleep(0)
        with pytest.raises(Overloaded, match="expected at most 4 rows waiting, got 4 waiting and 1 more") as caught:
            await engine.infer(rows(3))
        assert caught.value.retryable
        with pytest.raises(Overloaded) as again:
            await engine.infer(rows(3))
        assert str(again.value) == str(caught.value)
        assert again.value is not caught.value  # a traceback belongs to one of them
        assert again.value.retry_after_s == caught.value.retry_after_s
        model.gate.set()
        await asyncio.gather(running, *waiting)
        assert answers(await engine.infer(rows(3))) == [6]
        engine.close()

    async def test_after_the_end_every_way_in_says_so(self) -> None:
        engine = engine_of(Doubler())
        await engine.infer(rows(1))
        engine.close()
        work = Told(engine, rows(1))
        engine.submit(work)
        with pytest.raises(NotReady):
            await engine.infer(rows(1))
        with pytest.raises(NotReady):
            engine.run(rows(1))
        assert [type(end) for end in work.ends] == [NotReady]

    async def test_a_new_loop_of_a_closed_engine_is_told_by_the_request(self) -> None:
        engine = engine_of(Doubler(), recorder=(stats := Stats()))
        engine.close()
        work = Told(engine, rows(1))
        engine.submit(work)
        assert [type(end) for end in work.ends] == [NotReady]
        assert stats.failures == {"not_ready": 1}


class TestFailing:
    @EXECUTORS
    async def test_only_who_sent_the_bad_row_hears_of_it(self, executor: str) -> None:
        engine = engine_of(InlineDoubler(), executor=executor)
        asked = [engine.infer(rows(n, -1 if n in (3, 40) else 1)) for n in range(64)]
        got = await asyncio.gather(*asked, return_exceptions=True)
        assert [n for n, end in enumerate(got) if isinstance(end, ModelError)] == [3, 40]
        assert all(answers(end)[0] == 2 * n for n, end in enumerate(got) if isinstance(end, Batch))
        engine.close()

    @EXECUTORS
    async def test_a_row_error_is_of_the_request_that_has_the_row(self, executor: str) -> None:
        def odd(call: int, batch: Batch) -> Batch:
            x = batch.dense("x")
            errors = {row: RowError("invalid_input", "odd") for row in np.flatnonzero(x % 2 == 1).tolist()}
            return Batch({"y": Dense(x * 2)}, batch.rows, errors)

        engine = engine_of(InlineDoes(odd), executor=executor)
        got = await asyncio.gather(
            engine.infer(rows(2, 4)), engine.infer(rows(2, 1, 4, 3)), engine.infer(rows(6)), return_exceptions=True
        )
        assert answers(got[0]) == [4, 8] and answers(got[2]) == [12]  # type: ignore[arg-type]
        assert isinstance(got[1], InvalidInput)
        assert str(got[1]) == "row 1: odd (and 1 more rows)" and set(got[1].rows) == {1, 3}
        engine.close()

    @EXECUTORS
    @pytest.mark.parametrize(
        "error", [ValueError("v"), SystemExit(1), MemoryError(), ModelError("m"), TransientError("t")]
    )
    async def test_whatever_a_model_raises_everybody_ends_and_the_next_are_served(
        self, executor: str, error: BaseException
    ) -> None:
        def fails(call: int, batch: Batch) -> None:
            if (batch.dense("x") > 50).any():
                raise error

        engine = engine_of(InlineDoes(fails), executor=executor, retries=0, warm_up=False)
        got = await asyncio.wait_for(
            asyncio.gather(*[engine.infer(rows(99)) for _ in range(10)], return_exceptions=True), WAIT_S
        )
        assert all(isinstance(end, ModelError) for end in got)
        assert answers(await engine.infer(rows(1))) == [2]
        await asyncio.wait_for(engine.drain(), WAIT_S)
        engine.close()

    @EXECUTORS
    @pytest.mark.parametrize("answer", [None, 3, Batch.of(y=np.zeros(99)), Batch({"y": np.zeros(1)}, 1)])  # type: ignore[dict-item]
    async def test_whatever_a_model_answers_everybody_ends(self, executor: str, answer: Any) -> None:
        class Odd(InlineDoubler):
            def answer(self, batch: Batch, ctx: Context) -> Batch:
                return answer  # type: ignore[no-any-return]

        engine = engine_of(Odd(), executor=executor, warm_up=False)
        got = await asyncio.wait_for(
            asyncio.gather(*[engine.infer(rows(n)) for n in range(10)], return_exceptions=True), WAIT_S
        )
        assert all(isinstance(end, ModelError) for end in got)
        await asyncio.wait_for(engine.drain(), WAIT_S)
        engine.close()

    @EXECUTORS
    async def test_a_caller_whose_own_code_fails_takes_nobody_along(self, executor: str) -> None:
        class Clumsy(Told):
            def done(self, completed: Completed, start: int) -> None:
                raise RuntimeError("cannot encode this")

        class Hopeless(Clumsy):
            def fail(self, error: InferenceError) -> None:
                raise RuntimeError("cannot even encode the error")

        reported: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: reported.append(context))
        engine = engine_of(InlineDoubler(), executor=executor)
        works = [Told(engine, rows(1)), Clumsy(engine, rows(2)), Hopeless(engine, rows(3)), Told(engine, rows(4))]
        for work in works:
            engine.submit(work)
        await asyncio.wait_for(engine.drain(), WAIT_S)
        assert answers(works[0].ends[0]) == [2] and answers(works[3].ends[0]) == [8]
        assert isinstance(works[1].ends[0], ModelError) and "cannot encode this" in str(works[1].ends[0])
        assert len(reported) == 1 and "could not be told" in reported[0]["message"]
        assert answers(await engine.infer(rows(5))) == [10]
        engine.close()

    async def test_a_door_that_cannot_write_stops_nothing(self) -> None:
        engine, reported = engine_of(Doubler()), list[dict[str, Any]]()
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda loop, context: reported.append(context))

        def broken() -> None:
            raise OSError("the socket is gone")

        engine.batcher(loop).delivery.after = broken
        for n in range(3):
            assert answers(await engine.infer(rows(n))) == [2 * n]
        assert reported
        engine.close()


async def test_everything_is_counted_by_how_it_ended() -> None:
    model, stats = Gated(), Stats()
    engine = engine_of(model, recorder=stats, max_queue_size=3)
    running = asyncio.create_task(engine.infer(rows(0)))
    await started(model)
    asked = [asyncio.create_task(engine.infer(rows(n))) for n in (1, -1)]
    gone = asyncio.create_task(engine.infer(rows(3)))
    late = asyncio.create_task(engine.infer(rows(4, 4, 4, 4)))
    await asyncio.sleep(0)
    gone.cancel()
    model.gate.set()
    await asyncio.gather(running, *asked, gone, late, return_exceptions=True)
    assert stats.requests == 2
    assert stats.failures == {"model_error": 1, "cancelled": 1, "overloaded": 1}
    assert model.calls == [1, 2, 1, 1]
    assert stats.rows == 2, "rows of a call that failed whole are not answered rows"
    engine.close()


async def test_an_engine_lets_go_of_what_it_has_answered() -> None:
    engine = engine_of(Doubler())
    batch = rows(*range(100))
    data = weakref.ref(batch.dense("x"))
    await engine.infer(batch)
    await engine.infer(rows(1))
    await engine.drain()
    del batch
    gc.collect()
    assert data() is None
    engine.close()


async def test_an_answer_that_comes_before_the_server_looks_again_is_given() -> None:
    """As the settings say: whose time has passed is looked for every 50 ms, and before each call."""
    clock = ManualClock()
    model = Timed(clock, 0.045)
    engine = engine_of(model, clock, executor="inline", warm_up=False, max_batch_size=1)
    calls = [engine.infer(rows(n), Context(deadline=0.001)) for n in (1, 2)]
    late, never = await asyncio.gather(*calls, return_exceptions=True)
    assert isinstance(late, Batch)
    assert isinstance(never, DeadlineExceeded)
    assert model.seen == [1], "the other's time had passed before the model was free"
    engine.close()
