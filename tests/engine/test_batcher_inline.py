"""Where a model runs: on the loop while it is fast, on its thread when it is not; decided by what was measured."""

from __future__ import annotations

import asyncio
import threading

import pytest
from engine_models import WAIT_S, Doubler, InlineDoes, InlineDoubler, Timed, answers, engine_of, rows

from foretell.clock import ManualClock
from foretell.columns import Batch
from foretell.engine.engine import Engine
from foretell.errors import TransientError, Unavailable

FAST_S, SLOW_S = 0.0001, 0.01


async def threads_of(engine: Engine, model: Timed, calls: int) -> list[str]:
    model.threads.clear()
    for n in range(calls):
        assert answers(await engine.infer(rows(n))) == [2 * n]
    here = threading.get_ident()
    return ["loop" if thread == here else "thread" for thread in model.threads]


async def test_a_fast_native_model_runs_on_the_loop_and_a_slow_one_beside_it() -> None:
    for call_s, where in [(FAST_S, "loop"), (SLOW_S, "thread")]:
        clock = ManualClock()
        model = Timed(clock, call_s)
        engine = engine_of(model, clock, warm_up=True)
        assert set(await threads_of(engine, model, 5)) == {where}
        engine.close()


async def test_it_moves_when_its_speed_changes_and_comes_back() -> None:
    clock = ManualClock()
    model = Timed(clock, FAST_S)
    engine = engine_of(model, clock)
    assert set(await threads_of(engine, model, 3)) == {"loop"}
    model.call_s = SLOW_S
    moved = await threads_of(engine, model, 20)
    assert moved == sorted(moved), "it flaps"
    assert moved.count("loop") < 10
    model.call_s = FAST_S
    back = await threads_of(engine, model, 60)
    assert back[0] == "thread" and back[-1] == "loop"
    assert back == sorted(back, reverse=True), "it flaps"
    engine.close()


async def test_noise_around_the_limit_does_not_move_it() -> None:
    clock = ManualClock()
    model = Timed(clock, FAST_S)
    engine = engine_of(model, clock, inline_limit_ms=FAST_S * 1e3)
    places = set()
    for n in range(40):
        model.call_s = FAST_S * (0.8 if n % 2 else 1.3)
        places |= set(await threads_of(engine, model, 1))
    assert places == {"loop"}
    engine.close()


@pytest.mark.parametrize(
    ("kind", "executor", "where"),
    [
        (InlineDoubler, "auto", "loop"),
        (InlineDoubler, "inline", "loop"),
        (InlineDoubler, "thread", "thread"),
        (Doubler, "auto", "thread"),
        (Doubler, "inline", "loop"),
        (Doubler, "thread", "thread"),
    ],
)
async def test_the_setting_decides_and_python_stays_off_the_loop(
    kind: type[Doubler], executor: str, where: str
) -> None:
    class Where(kind):  # type: ignore[misc, valid-type]
        def answer(self, batch: Batch, ctx: object) -> Batch:
            self.ran_on = threading.get_ident()
            return super().answer(batch, ctx)  # type: ignore[no-any-return]

    model = Where()
    engine = engine_of(model, executor=executor, inline_limit_ms=1e6)
    await engine.infer(rows(1))
    assert ("loop" if model.ran_on == threading.get_ident() else "thread") == where
    engine.close()


@pytest.mark.parametrize("executor", ["inline", "thread"])
async def test_a_batch_that_waits_for_its_retry_holds_up_neither_the_loop_nor_its_replica(executor: str) -> None:
    def fail_once(call: int, batch: Batch) -> None:
        if call == 0:
            raise TransientError("busy")

    model, clock = InlineDoes(fail_once), ManualClock()
    engine = engine_of(model, clock, executor=executor, warm_up=False, retry_delay_s=0.2)
    engine.batcher(asyncio.get_running_loop())._again._rng.seed(1)  # its first wait is 27 ms
    first = asyncio.create_task(engine.infer(rows(7)))
    while not model.calls:
        await asyncio.sleep(0)
    assert answers(await engine.infer(rows(1))) == [2]
    assert answers(await first) == [14]
    assert model.seen == [1, 7], "the second had to wait for the first one's retry"
    assert clock.slept == [], "somebody slept"
    engine.close()


async def test_the_search_for_a_bad_row_leaves_the_loop_free() -> None:
    here, ran_on = threading.get_ident(), list[int]()
    gate = threading.Event()

    class Slow(InlineDoubler):
        def answer(self, batch: Batch, ctx: object) -> Batch:
            ran_on.append(threading.get_ident())
            if threading.get_ident() != here:
                assert gate.wait(WAIT_S), "the loop did not run while the search did"
            return super().answer(batch, ctx)  # type: ignore[arg-type]

    engine = engine_of(Slow(), executor="inline", warm_up=False)
    asked = asyncio.gather(*[engine.infer(rows(n)) for n in (1, -1, 3)], return_exceptions=True)
    while len(ran_on) < 2:
        await asyncio.sleep(0)
    gate.set()
    got = await asyncio.wait_for(asked, WAIT_S)
    assert [type(end).__name__ for end in got] == ["Batch", "ModelError", "Batch"]
    assert ran_on[0] == here and here not in ran_on[1:]
    engine.close()


async def test_the_first_call_is_made_at_load_where_zeros_are_an_input() -> None:
    model = InlineDoubler(shape=(3,))
    engine = engine_of(model)
    assert set(model.seen) == {0.0}
    assert engine.profile.call_s(1) is not None
    engine.close()
    for unknown in (
        InlineDoubler(shape=(2**40,)),
        InlineDoubler(shape=None),
        InlineDoubler(shape=(None,)),
        InlineDoubler(inputs=None),
        Doubler(),
    ):
        engine_of(unknown).close()
        assert unknown.calls == []
    off = InlineDoubler()
    engine_of(off, warm_up=False).close()
    assert off.calls == []


def test_a_first_call_that_was_asked_for_is_made_or_refused() -> None:
    asked = Doubler(shape=(3,))
    engine_of(asked, warm_up=True).close()
    assert set(asked.seen) == {0.0}
    with pytest.raises(Unavailable, match="warm_up needs inputs of known type and shape"):
        engine_of(Doubler(shape=None), warm_up=True)


async def test_a_model_that_zeros_are_no_input_of_is_loaded_all_the_same() -> None:
    def refuse_zeros(call: int, batch: Batch) -> None:
        if not batch.dense("x").any():
            raise ValueError("zeros")

    engine = engine_of(InlineDoes(refuse_zeros))
    assert answers(await engine.infer(rows(1))) == [2]
    engine.close()
