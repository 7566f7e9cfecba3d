"""Calls through a cache: the same answers, each row computed once, nobody's failure but one's own."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from engine_models import WAIT_S, Does, Doubler, Gated, InlineDoubler, answers, engine_of, rows

from foretell.clock import ManualClock
from foretell.columns import Batch, Dense
from foretell.engine.engine import Engine
from foretell.errors import DeadlineExceeded, InvalidSetting, ModelError, RowError
from foretell.model import Context
from foretell.observe.stats import Stats


def cached(model: Doubler, **options: Any) -> Engine:
    return engine_of(model, **{"cache_size": 1000, "warm_up": False, **options})


async def through(engine: Engine, batch: Batch, way: str, **ctx: Any) -> Batch:
    context = Context(**ctx)
    return engine.run(batch, context) if way == "run" else await engine.infer(batch, context)


both = pytest.mark.parametrize("way", ["run", "infer"])


@both
async def test_only_what_is_new_reaches_the_model(way: str) -> None:
    model = InlineDoubler()
    engine = cached(model)
    assert answers(await through(engine, rows(1, 2, 1, 3), way)) == [2, 4, 2, 6]
    assert sorted(model.seen) == [1, 2, 3], "an equal row of the same call was computed twice"
    assert answers(await through(engine, rows(3, 4, 1), way)) == [6, 8, 2]
    assert sorted(model.seen) == [1, 2, 3, 4]
    assert engine.cached_rows == 4
    engine.close()


async def test_both_ways_share_what_is_known() -> None:
    model = InlineDoubler()
    engine = cached(model)
    engine.run(rows(1, 2))
    assert answers(await engine.infer(rows(2, 1))) == [4, 2]
    assert sorted(model.seen) == [1, 2]
    engine.close()


@both
async def test_parameters_make_another_question(way: str) -> None:
    model = Doubler()
    engine = cached(model)
    for params in ({}, {"top": 1}, {"top": 2}, {"top": 1}):
        await through(engine, rows(1), way, params=params)
    assert len(model.calls) == 3
    engine.close()


@both
async def test_writing_into_an_answer_changes_no_later_one(way: str) -> None:
    engine = cached(Doubler())
    for _ in range(3):
        answer = await through(engine, rows(1), way)
        assert answers(answer) == [2]
        answer.dense("y")[:] = 99
    engine.close()


@both
async def test_a_row_that_fails_is_not_kept_and_is_counted_by_its_place(way: str) -> None:
    def odd(call: int, batch: Batch) -> Batch:
        x = batch.dense("x")
        errors = {row: RowError("model_error", "odd") for row in np.flatnonzero(x % 2 == 1).tolist()}
        return Batch({"y": Dense(x * 2)}, batch.rows, errors)

    model = Does(odd)
    engine = cached(model)
    await through(engine, rows(2, 4), way)
    for _ in range(2):
        if way == "run":
            answer = engine.run(rows(2, 4, 3))
            assert set(answer.errors) == {2} and answers(answer)[:2] == [4, 8]
        else:
            with pytest.raises(ModelError, match=r"^row 2: odd") as caught:
                await engine.infer(rows(2, 4, 3))
            assert set(caught.value.rows) == {2}
    assert model.calls == [2, 1, 1]
    engine.close()


@both
async def test_a_call_whose_rows_depend_on_each_other_is_kept_as_a_whole(way: str) -> None:
    def share(call: int, batch: Batch) -> Batch:
        x = batch.dense("x")
        return Batch({"y": Dense(x / x.sum())}, batch.rows)

    model = Does(share, row_wise=False)
    engine = cached(model)
    for _ in range(2):
        assert answers(await through(engine, rows(1, 3), way)) == [0.25, 0.75]
        assert answers(await through(engine, rows(1), way)) == [1.0]
    assert model.calls == [2, 1]
    engine.close()


def test_of_a_whole_call_only_the_failed_rows_fail() -> None:
    error = RowError("model_error", "no")
    model = Does(lambda call, batch: Batch({"y": batch.columns["x"]}, batch.rows, {1: error}), row_wise=False)
    engine = cached(model)
    answer = engine.run(rows(1, 2, 3))
    assert answer.errors == {1: error}
    assert answers(answer)[::2] == [1, 3]
    engine.close()


@pytest.mark.parametrize("spec", [{"stateful": True}, {"deterministic": False}])
def test_models_whose_answers_do_not_last_get_no_cache(spec: dict[str, bool]) -> None:
    model = Doubler(**spec)
    with pytest.raises(InvalidSetting, match="cache_size is set, but the model is"):
        cached(model)
    assert model.closed == 1


@both
async def test_an_empty_call_answers_as_without_a_cache(way: str) -> None:
    plain, engine = engine_of(Doubler()), cached(Doubler())
    expected, got = plain.run(rows()), await through(engine, rows(), way)
    assert list(got.columns) == list(expected.columns) == ["y"]
    assert got.rows == 0
    engine.close()


def test_rows_that_came_with_an_error_neither_ask_nor_teach_the_cache() -> None:
    model = Doubler()
    engine = cached(model)
    reason = RowError("invalid_input", "unreadable")
    answer = engine.run(rows(1, 5).with_errors({0: reason}))
    assert answer.errors == {0: reason} and answers(answer)[1] == 10
    assert answers(engine.run(rows(1))) == [2]
    assert engine.run(rows(1).with_errors({0: reason})).errors == {0: reason}
    engine.close()


def test_threads_that_ask_the_same_wait_for_one_of_them() -> None:
    model = Gated()
    engine = cached(model)
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(engine.run, rows(1, 2)) for _ in range(8)]
        assert model.started.wait(WAIT_S)
        model.gate.set()
        assert all(answers(future.result(WAIT_S)) == [2, 4] for future in asked)
    assert sorted(model.seen) == [1, 2]
    engine.close()


async def test_coroutines_wait_for_a_thread_and_threads_for_coroutines() -> None:
    model = Gated(concurrent=True)
    engine = cached(model)
    first = asyncio.create_task(engine.infer(rows(1)))
    await asyncio.to_thread(model.started.wait, WAIT_S)
    second = asyncio.create_task(asyncio.to_thread(engine.run, rows(1)))
    third = asyncio.create_task(engine.infer(rows(1)))
    await asyncio.sleep(0)
    model.gate.set()
    assert [answers(answer) for answer in await asyncio.gather(first, second, third)] == [[2]] * 3
    assert model.seen == [1]
    engine.close()


@pytest.mark.parametrize("way", ["run", "infer"])
async def test_a_row_fails_for_everybody_who_asked_for_it_alone(way: str) -> None:
    gate, started = threading.Event(), threading.Event()

    def fail(call: int, batch: Batch) -> None:
        started.set()
        assert gate.wait(WAIT_S)
        raise ValueError("broken")

    model = Does(fail)
    engine = cached(model, retries=0)
    leader = asyncio.create_task(asyncio.to_thread(engine.run, rows(1)))
    await asyncio.to_thread(started.wait, WAIT_S)
    ask = engine.infer(rows(1)) if way == "infer" else asyncio.to_thread(engine.run, rows(1))
    follower = asyncio.create_task(ask)
    await asyncio.sleep(0)
    gate.set()
    for task in (leader, follower):
        with pytest.raises(ModelError, match="broken"):
            await task
    engine.close()


@pytest.mark.parametrize("way", ["run", "infer"])
async def test_a_bad_row_beside_it_in_the_leaders_call_is_nobody_elses_failure(way: str) -> None:
    model = Gated()
    engine = cached(model)
    leader = asyncio.create_task(asyncio.to_thread(engine.run, rows(1, -1)))
    await asyncio.to_thread(model.started.wait, WAIT_S)
    ask = engine.infer(rows(1)) if way == "infer" else asyncio.to_thread(engine.run, rows(1))
    follower = asyncio.create_task(ask)
    await asyncio.sleep(0)
    model.gate.set()
    with pytest.raises(ModelError, match="negative"):
        await leader
    assert answers(await follower) == [2]
    engine.close()


async def test_a_follower_of_who_gave_up_computes_it_itself() -> None:
    model = Gated()
    engine = cached(model)
    busy = asyncio.create_task(engine.infer(rows(7)))
    await asyncio.to_thread(model.started.wait, WAIT_S)
    leader = asyncio.create_task(engine.infer(rows(1)))
    await asyncio.sleep(0)
    followers = [asyncio.create_task(engine.infer(rows(1))) for _ in range(3)]
    await asyncio.sleep(0)
    leader.cancel()
    model.gate.set()
    assert answers(await busy) == [14]
    assert [answers(answer) for answer in await asyncio.gather(*followers)] == [[2]] * 3
    with pytest.raises(asyncio.CancelledError):
        await leader
    engine.close()


@pytest.mark.parametrize("way", ["run", "infer"])
async def test_who_waits_for_somebody_elses_call_keeps_a_time_limit_of_its_own(way: str) -> None:
    model = Gated()
    engine = cached(model)
    leader = asyncio.create_task(asyncio.to_thread(engine.run, rows(1)))
    await asyncio.to_thread(model.started.wait, WAIT_S)
    ctx = Context(deadline=engine.clock.monotonic() + 0.01)
    ask = engine.infer(rows(1), ctx) if way == "infer" else asyncio.to_thread(engine.run, rows(1), ctx)
    with pytest.raises(DeadlineExceeded):
        await asyncio.wait_for(ask, WAIT_S)
    model.gate.set()
    assert answers(await leader) == [2]
    engine.close()


async def test_a_call_that_waits_on_the_loop_itself_does_not_wait_for_the_loop() -> None:
    model = Doubler()
    engine = cached(model)
    queued = asyncio.create_task(engine.infer(rows(1)))
    await asyncio.sleep(0)
    assert answers(engine.run(rows(1))) == [2], "the loop cannot bring the other answer while it waits here"
    assert answers(await queued) == [2]
    engine.close()


async def test_answers_that_do_not_go_together_are_an_error_of_the_model() -> None:
    def grows(call: int, batch: Batch) -> Batch:
        return Batch({"y": Dense(np.zeros((batch.rows, 2, call + 1)))}, batch.rows)

    engine = cached(Does(grows, outputs=None))
    engine.run(rows(1))
    with pytest.raises(ModelError, match="do not go together"):
        engine.run(rows(1, 2))
    with pytest.raises(ModelError, match="do not go together"):
        await engine.infer(rows(1, 3))
    engine.close()


@both
async def test_time_to_live_is_of_the_engines_clock(way: str) -> None:
    clock, model = ManualClock(), Doubler()
    engine = cached(model, clock=clock, cache_ttl_s=5.0)
    for seconds, calls in [(0, 1), (4, 1), (2, 2), (4, 2)]:
        clock.advance(seconds)
        await through(engine, rows(1), way)
        assert len(model.calls) == calls
    engine.close()


@both
async def test_every_call_is_counted_once_whoever_answers_it(way: str) -> None:
    stats = Stats()
    engine = cached(Doubler(), recorder=stats)
    for batch in (rows(1, 2), rows(1, 2), rows(2, 3), rows(3)):
        await through(engine, batch, way)
    with pytest.raises(ModelError):
        await through(engine, rows(-1), way)
    assert (stats.requests, stats.rows, stats.failures) == (4, 3, {"model_error": 1})
    assert (stats.cache_hits, stats.cache_misses) == (4, 4)
    assert stats.total_s.count == 4
    assert stats.inference_s.count == 2
    engine.close()


def test_a_closed_engine_answers_nothing_from_its_cache() -> None:
    engine = cached(Doubler())
    engine.run(rows(1))
    engine.close()
    with pytest.raises(Exception, match="closed"):
        engine.run(rows(1))
