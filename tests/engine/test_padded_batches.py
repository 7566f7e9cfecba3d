"""Requests of different length share a call where the model says how, and only there; everybody gets his own answer."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import numpy as np
import pytest
from engine_models import NEGATIVE, WAIT_S, Doubler, Gated, InlineDoubler, engine_of

from foretell.columns import Batch, Dense, Ragged
from foretell.engine.engine import Engine
from foretell.errors import InferenceError
from foretell.model import Context
from foretell.observe.stats import Stats

EXECUTORS = pytest.mark.parametrize("executor", ["inline", "thread"])
PADS: dict[str, Any] = {"shape": (None,), "pad": {"x": 0.0}}


def request(*lengths: int, value: float = 1.0) -> Batch:
    """Rows of one length each, which count up from `value`."""
    rows, length = len(lengths), lengths[0] if lengths else 3
    return Batch.of(x=np.arange(rows * length, dtype=np.float64).reshape(rows, length) + value)


async def together(model: Gated, asked: list[tuple[Batch, Context]], **settings: Any) -> tuple[Engine, list[Any]]:
    """The answers to requests that all wait while the model has a first one."""
    engine = engine_of(model, executor="thread", **settings)
    first = asyncio.create_task(engine.infer(request(3)))
    await asyncio.to_thread(model.started.wait, WAIT_S)
    rest = [asyncio.create_task(engine.infer(batch, ctx)) for batch, ctx in asked]
    await asyncio.sleep(0)
    model.gate.set()
    await first
    model.calls.pop(0)
    return engine, list(await asyncio.gather(*rest, return_exceptions=True))


def plain(*batches: Batch) -> list[tuple[Batch, Context]]:
    return [(batch, Context()) for batch in batches]


def assert_doubled(asked: list[tuple[Batch, Context]], answers: list[Any]) -> None:
    for (batch, _), answer in zip(asked, answers, strict=True):
        np.testing.assert_array_equal(answer.dense("y"), batch.dense("x") * 2)


async def test_rows_of_nearly_one_length_share_a_call_and_get_their_own_length_back() -> None:
    model, asked = Gated(**PADS), plain(request(9), request(10), request(10, 10), request(12), request(9, value=50))
    engine, answers = await together(model, asked)
    assert_doubled(asked, answers)
    assert sorted(model.calls) == [1, 6], "one call of all, and one row alone to see what padding adds"
    engine.close()


async def test_rows_of_different_length_share_no_call_where_the_model_says_nothing() -> None:
    model, asked = Gated(shape=(None,)), plain(request(9), request(10), request(10), request(12))
    engine, answers = await together(model, asked)
    assert_doubled(asked, answers)
    assert sorted(model.calls) == [1, 1, 2]
    assert 0.0 not in model.seen
    engine.close()


async def test_a_short_row_does_not_wait_for_a_long_one() -> None:
    model, asked = Gated(**PADS), plain(request(4), request(512), request(4))
    engine, answers = await together(model, asked)
    assert_doubled(asked, answers)
    assert sorted(model.calls) == [1, 2]
    assert 0.0 not in model.seen
    engine.close()


async def test_other_parameters_share_no_call_whatever_their_length() -> None:
    model = Gated(**PADS)
    asked = [(request(length), Context(params={"top": top})) for length in (9, 10) for top in (1, 2)]
    engine, answers = await together(model, asked)
    assert_doubled(asked, answers)
    assert sorted(model.calls) == [1, 2, 2]
    engine.close()


async def test_a_call_has_no_more_rows_than_allowed() -> None:
    model, asked = Gated(**PADS), plain(*[request(length) for length in (10, 11, 10, 11, 12, 10, 12)])
    engine, answers = await together(model, asked, max_batch_size=3)
    assert_doubled(asked, answers)
    assert max(model.calls) == 3
    assert sum(model.calls) <= 7 + 1
    engine.close()


async def test_requests_without_rows_and_rows_without_values() -> None:
    model = Gated(**PADS)
    asked = plain(request(), request(9), Batch.of(x=np.zeros((2, 0))), Batch.of(x=np.zeros((0, 11))), request(10))
    engine, answers = await together(model, asked)
    assert_doubled(asked, answers)
    assert model.seen.count(0.0) <= 1, "rows without a value are not filled up"
    engine.close()


async def test_a_bad_row_is_found_among_rows_of_other_lengths() -> None:
    model = Gated(**PADS)
    asked = plain(*[request(length) for length in (10, 11, 12, 11)], request(11, value=-99))
    engine, answers = await together(model, asked)
    assert isinstance(answers[-1], InferenceError)
    assert NEGATIVE in str(answers[-1])
    assert_doubled(asked[:-1], answers[:-1])
    engine.close()


async def test_padding_is_counted() -> None:
    stats = Stats()
    model, asked = Gated(**PADS), plain(request(9), request(10, 10), request(12))
    engine = Engine(model, engine_of(Doubler(), executor="thread").settings, recorder=stats).load()
    first = asyncio.create_task(engine.infer(request(3)))
    await asyncio.to_thread(model.started.wait, WAIT_S)
    rest = [asyncio.create_task(engine.infer(batch)) for batch, _ in asked]
    await asyncio.sleep(0)
    model.gate.set()
    await asyncio.gather(first, *rest)
    assert stats.padded == 3 + 2 + 2
    assert stats.snapshot()["padded"] == 7
    engine.close()


@EXECUTORS
@pytest.mark.parametrize("cache_size", [0, 1000])
def test_hundreds_at_once_are_answered_as_one_by_one(runner: asyncio.Runner, executor: str, cache_size: int) -> None:
    rng = random.Random(11)
    asked = []
    for _ in range(400):
        length, rows = rng.choice([0, 1, 2, 5, 8, 9, 10, 11, 12, 40]), rng.randint(0, 3)
        values = np.array([[rng.random() for _ in range(length)] for _ in range(rows)]).reshape(rows, length)
        asked.append((Batch.of(x=values), Context(params=rng.choice([{}, {"top": 1}]))))
    model = InlineDoubler(**PADS)
    engine = engine_of(model, executor=executor, cache_size=cache_size)

    async def ask() -> list[Batch]:
        return await asyncio.gather(*[engine.infer(batch, ctx) for batch, ctx in asked])

    assert_doubled(asked, runner.run(ask()))
    assert len(model.calls) < len(asked) / 4
    engine.close()


@EXECUTORS
async def test_ragged_requests_in_process_share_with_each_other(executor: str) -> None:
    engine = engine_of(InlineDoubler(**PADS), executor=executor)
    ragged = Batch({"x": Ragged(Dense(np.arange(30.0)), np.array([0, 9, 19, 30]))}, 3)
    answers = await asyncio.gather(*[engine.infer(ragged) for _ in range(5)])
    for answer in answers:
        column = answer.columns["y"]
        assert isinstance(column, Ragged)
        assert column.lengths.tolist() == [9, 10, 11]
        assert isinstance(column.values, Dense)
        assert column.values.data.tolist() == [2.0 * n for n in range(30)]
    engine.close()


async def test_rows_with_nulls_are_answered_on_their_own() -> None:
    model = Gated(**PADS)
    null = Batch({"x": Dense(np.ones((2, 11)), np.array([True, False]))}, 2)
    engine, answers = await together(model, plain(request(10), null, request(12)))
    assert_doubled(plain(request(10), request(12)), [answers[0], answers[2]])
    assert np.isnan(answers[1].dense("y")[1]).all()
    assert answers[1].dense("y")[0].tolist() == [2.0] * 11
    engine.close()


async def test_a_family_of_other_inner_shapes_does_not_mix() -> None:
    model = Gated(shape=(None, None), pad={"x": 0.0})
    asked = plain(*[Batch.of(x=np.ones((1, length, width))) for length in (9, 10) for width in (2, 3)])
    engine = engine_of(model, executor="thread")
    model.gate.set()
    answers = await asyncio.gather(*[engine.infer(batch) for batch, _ in asked])
    assert_doubled(asked, answers)
    engine.close()
