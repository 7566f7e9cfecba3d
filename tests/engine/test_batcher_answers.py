"""Everybody gets the answer to what he asked, however many ask at once and whatever they ask."""

from __future__ import annotations

import asyncio
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from engine_models import WAIT_S, Does, Doubler, Gated, InlineDoubler, answers, engine_of, rows

from foretell.columns import Batch, Bytes, Column, Dense, Ragged
from foretell.engine.engine import Engine
from foretell.model import Context, Model
from foretell.types import ModelSpec

EXECUTORS = pytest.mark.parametrize("executor", ["inline", "thread"])


class Echo(Model):
    """Answers every row of every input with itself and with the parameters of its call."""

    def __init__(self, **spec: Any) -> None:
        self.spec = ModelSpec(**spec)
        self.calls: list[tuple[int, Any]] = []

    def predict(self, batch: Batch, ctx: Context) -> Batch:
        params = repr(sorted(ctx.params.items()))
        self.calls.append((batch.rows, params))
        return Batch({**batch.columns, "params": Bytes.of([params] * batch.rows)}, batch.rows)


def any_batch(rng: random.Random) -> Batch:
    """Rows of one of many shapes, types and numbers of columns."""
    count = rng.randint(0, 5)
    columns: dict[str, Column] = {}
    for name in rng.sample(["a", "b"], rng.randint(1, 2)):
        match rng.randrange(6):
            case 0:
                shape = rng.choice([(count,), (count, 2), (count, 3), (count, 2, 2)])
                kind = rng.choice([np.float32, np.float64, np.int64])
                columns[name] = Dense(np.array(np.random.default_rng(rng.random().__hash__()).random(shape) * 9, kind))
            case 1:
                columns[name] = Bytes.of([str(rng.random()) for _ in range(count)])
            case 2:
                columns[name] = Bytes.of([str(rng.random()) for _ in range(2 * count)], (2,))
            case 3:
                offsets = np.cumsum([0, *(rng.randint(0, 4) for _ in range(count))])
                columns[name] = Ragged(Dense(np.arange(offsets[-1]) * rng.random()), offsets)
            case 4:
                offsets = np.cumsum([0, *(rng.randint(0, 4) for _ in range(count))])
                columns[name] = Ragged(Dense(np.ones((offsets[-1], rng.randint(1, 2)))), offsets)
            case _:
                columns[name] = Dense(np.arange(count), np.array([rng.random() < 0.5 for _ in range(count)], np.bool_))
    return Batch(columns, count)


def as_python(batch: Batch) -> dict[str, Any]:
    from foretell.forms import to_python

    return {name: to_python(column) for name, column in batch.columns.items()}


@EXECUTORS
def test_hundreds_of_mixed_requests_at_once_are_answered_as_one_by_one(runner: asyncio.Runner, executor: str) -> None:
    rng = random.Random(7)
    asked = [(any_batch(rng), Context(params=rng.choice([{}, {"top": 1}, {"top": 2}]))) for _ in range(400)]
    serial, engine = engine_of(Echo()), engine_of(Echo(), executor=executor)
    expected = [as_python(serial.run(batch, ctx)) for batch, ctx in asked]

    async def ask() -> list[Batch]:
        return await asyncio.gather(*[engine.infer(batch, ctx) for batch, ctx in asked])

    got = runner.run(ask())
    assert [as_python(batch) for batch in got] == expected
    assert len(engine.model.calls) < len(asked), "nothing was batched"  # type: ignore[attr-defined]
    engine.close()


@EXECUTORS
async def test_requests_with_other_parameters_share_no_call(executor: str) -> None:
    model = Echo()
    engine = engine_of(model, executor=executor)
    await asyncio.gather(*[engine.infer(rows(n), Context(params={"top": n % 3})) for n in range(30)])
    assert {params for _, params in model.calls} == {f"[('top', {n})]" for n in range(3)}
    assert sum(count for count, _ in model.calls) == 30
    engine.close()


@EXECUTORS
async def test_what_waits_leaves_together_and_in_order(executor: str) -> None:
    model = Gated()
    engine = engine_of(model, executor="thread", max_batch_size=8)
    first = asyncio.create_task(engine.infer(rows(0)))
    await asyncio.to_thread(model.started.wait, WAIT_S)
    rest = [asyncio.create_task(engine.infer(rows(n))) for n in range(1, 21)]
    await asyncio.sleep(0)
    assert engine.waiting_rows == 20
    model.gate.set()
    await asyncio.gather(first, *rest)
    assert model.calls == [1, 8, 8, 4]
    assert model.seen == list(range(21))
    engine.close()


@pytest.mark.parametrize("spec", [{"batch": None}, {"row_wise": False}, {"stateful": True}])
@EXECUTORS
async def test_calls_that_are_one_thing_are_never_merged(spec: dict[str, Any], executor: str) -> None:
    model = Doubler(**spec)
    engine = engine_of(model, executor=executor)
    got = await asyncio.gather(*[engine.infer(rows(n, n + 1)) for n in range(20)])
    assert [answers(batch) for batch in got] == [[2 * n, 2 * n + 2] for n in range(20)]
    assert model.calls == [2] * 20
    engine.close()


async def test_a_request_larger_than_a_batch_goes_alone_and_is_split() -> None:
    model = InlineDoubler()
    engine = engine_of(model, max_batch_size=4, max_queue_size=4, warm_up=False)
    got = await engine.infer(rows(*range(10)))
    assert answers(got) == [2 * n for n in range(10)]
    assert model.calls == [4, 4, 2]
    engine.close()


@EXECUTORS
async def test_an_empty_request_among_others_has_an_empty_answer(executor: str) -> None:
    engine = engine_of(Doubler(), executor=executor)
    got = await asyncio.gather(engine.infer(rows(1)), engine.infer(rows()), engine.infer(rows(2)))
    assert [answers(batch) for batch in got] == [[2], [], [4]]
    assert answers(await engine.infer(rows())) == []
    engine.close()


@EXECUTORS
def test_ten_thousand_at_once(runner: asyncio.Runner, executor: str) -> None:
    engine = engine_of(InlineDoubler(), executor=executor, max_queue_size=10_000)

    async def ask() -> list[Batch]:
        return await asyncio.gather(*[engine.infer(rows(n)) for n in range(10_000)])

    got = runner.run(ask())
    assert [answers(batch)[0] for batch in got] == [2 * n for n in range(10_000)]
    assert engine.waiting_rows == 0
    engine.close()


@EXECUTORS
def test_loops_come_and_go(executor: str) -> None:
    engine = engine_of(InlineDoubler(), executor=executor)

    async def ask(start: int) -> list[float]:
        got = await asyncio.gather(*[engine.infer(rows(start + n)) for n in range(10)])
        return [answers(batch)[0] for batch in got]

    for start in range(5):
        assert asyncio.run(ask(start)) == [2.0 * (start + n) for n in range(10)]
    assert len(engine._batchers) == 1, "closed loops are kept"
    engine.close()


@EXECUTORS
def test_threads_and_several_loops_at_once(executor: str) -> None:
    model = InlineDoubler()
    engine = engine_of(model, executor=executor, warm_up=False)
    together = threading.Barrier(6, timeout=WAIT_S)

    def by_thread(start: int) -> list[float]:
        together.wait()
        return [answers(engine.run(rows(start + n)))[0] for n in range(100)]

    def by_loop(start: int) -> list[float]:
        async def ask() -> list[float]:
            got = await asyncio.gather(*[engine.infer(rows(start + n)) for n in range(100)])
            return [answers(batch)[0] for batch in got]

        together.wait()
        return asyncio.run(ask())

    with ThreadPoolExecutor(6) as pool:
        asked = [(start, pool.submit(way, start)) for start in (0, 1000, 2000) for way in (by_thread, by_loop)]
        for start, future in asked:
            assert future.result(WAIT_S) == [2.0 * (start + n) for n in range(100)]
    assert model.most_at_once == 1
    assert len(model.seen) == 600
    engine.close()


@EXECUTORS
async def test_values_that_go_with_nobody_elses_are_answered_alone(executor: str) -> None:
    """Two types that have no name in the protocol are one group, but no array holds both."""
    engine = engine_of(Echo(), executor=executor)
    times = Batch({"a": Dense(np.array(["2024-01-01"], "M8[D]"))}, 1)
    complexes = Batch({"a": Dense(np.array([1j]))}, 1)
    words = Batch({"a": Bytes.of(["w"])}, 1)
    got = await asyncio.wait_for(asyncio.gather(*[engine.infer(b) for b in (times, complexes, words) * 5]), WAIT_S)
    for at, batch in enumerate(got):
        assert type(batch.columns["a"]) is (Dense, Dense, Bytes)[at % 3]
        assert len(batch.columns["a"]) == 1
    assert got[1].dense("a")[0] == 1j
    await asyncio.wait_for(engine.drain(), WAIT_S)
    engine.close()


@EXECUTORS
async def test_a_request_whose_columns_have_another_length_shifts_nobody(executor: str) -> None:
    engine: Engine = engine_of(Echo(), executor=executor)
    short, long = Batch({"x": Dense(np.array([7.0]))}, 2), Batch({"x": Dense(np.array([8.0, 8, 8]))}, 2)
    asked = [engine.infer(batch) for batch in (rows(1, 2), short, rows(3, 4), long, rows(5))]
    got = await asyncio.gather(*asked, return_exceptions=True)
    for at in (1, 3):
        assert "wrong number of rows; expected 2" in str(got[at])
    assert [got[at].dense("x").tolist() for at in (0, 2, 4)] == [[1, 2], [3, 4], [5]]  # type: ignore[union-attr]
    engine.close()


async def test_a_row_that_came_with_an_error_never_reaches_the_model() -> None:
    from foretell.errors import InvalidInput, RowError

    model = Doubler()
    engine = engine_of(model)
    reason = RowError("invalid_input", "unreadable")
    with pytest.raises(InvalidInput, match="row 1: unreadable") as caught:
        await engine.infer(rows(1, 2).with_errors({1: reason}))
    assert caught.value.rows == {1: reason}
    assert model.calls == []
    engine.close()


@EXECUTORS
async def test_a_model_that_answers_with_its_input_mixes_nobody_up(executor: str) -> None:
    model = Does(lambda call, batch: Batch({"y": batch.columns["x"]}, batch.rows))
    engine = engine_of(model, executor=executor)
    got = await asyncio.gather(*[engine.infer(rows(n)) for n in range(50)])
    assert [answers(batch)[0] for batch in got] == list(range(50))
    engine.close()
