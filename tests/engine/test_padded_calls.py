"""A model that says what fills up its rows gives every row the answer of its own call, as long as that one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from engine_models import engine_of
from hypothesis import given, settings
from hypothesis import strategies as st

from foretell.clock import ManualClock
from foretell.columns import Array, Batch, Bytes, Column, Dense, Ragged
from foretell.engine.padded_calls import PaddedCalls
from foretell.errors import Cancelled, InferenceError, InvalidModel, InvalidSetting, ModelError, RowError
from foretell.model import Context, Model
from foretell.types import DataType, ModelSpec, TensorSpec

Outputs = Callable[[Mapping[str, Array]], Mapping[str, Array | Column]]


class Made(Model):
    """Answers what a function of its arrays makes. Remembers the shapes it was given. Takes `call_s` by the clock."""

    def __init__(self, made: Outputs, pad: Mapping[str, float] | None, clock: ManualClock | None = None, **spec: Any):
        known = {"inputs": tuple(TensorSpec(name, DataType.FP64, (None,)) for name in pad or {"x": 0})}
        self.spec = ModelSpec(**{**known, "pad": pad, **spec})
        self.made, self.clock = made, clock
        self.shapes: list[tuple[int, ...]] = []

    def predict(self, batch: Batch, ctx: Context) -> Batch:
        arrays = {name: batch.dense(name) for name in batch.columns}
        first = next(iter(arrays.values()))
        self.shapes.append(first.shape)
        if self.clock is not None:
            self.clock.advance(1.0 + first.size / 100)
        made = {n: c if isinstance(c, (Dense, Bytes, Ragged)) else Dense(c) for n, c in self.made(arrays).items()}
        return Batch(made, batch.rows)


def ragged(rows: list[list[float]]) -> Ragged:
    return Ragged(Dense(np.array([v for row in rows for v in row], np.float64)), np.cumsum([0, *map(len, rows)]))


def batch_of(rows: list[list[float]]) -> Batch:
    return Batch({"x": ragged(rows)}, len(rows))


def values(column: Column) -> list[Any]:
    if not isinstance(column, Ragged):
        return column.data.tolist() if isinstance(column, Dense) else column.items()
    inner = values(column.values)
    return [inner[a:b] for a, b in pairwise(column.offsets.tolist())]


def everything(arrays: Mapping[str, Array]) -> Mapping[str, Any]:
    """Outputs as long as the input, of numbers and of strings, sums, and as long as ever."""
    x = arrays["x"]
    words = Bytes.of([f"{value:g}" for value in x.reshape(-1)], x.shape[1:])
    return {
        "each": x * 2,
        "pairs": np.stack([x, -x], axis=-1),
        "words": words if x.shape[1] else Dense(np.zeros((len(x), 0))),
        "sum": x.sum(axis=1),
        "three": np.repeat(x.sum(axis=1, keepdims=True), 3, axis=1),
    }


def alone(row: list[float]) -> dict[str, Any]:
    return {
        "each": [2 * v for v in row],
        "pairs": [[v, -v] for v in row],
        "words": [f"{v:g}".encode() for v in row],
        "sum": sum(row),
        "three": [sum(row)] * 3,
    }


ROWS = st.lists(st.lists(st.integers(-9, 9).map(float), min_size=1, max_size=6), min_size=1, max_size=12)


@given(st.lists(ROWS, min_size=1, max_size=4))
@settings(max_examples=60)
def test_every_row_has_the_answer_of_its_own_call(batches: list[list[list[float]]]) -> None:
    calls = PaddedCalls(Made(everything, {"x": 0.0}), 5, ManualClock(), "m")
    for rows in batches:
        answer = calls.predict(batch_of(rows), Context())
        for name, column in answer.columns.items():
            got = values(column)
            if name == "words" and isinstance(column, Bytes):
                length = column.row_shape[0]
                got = [got[at : at + length] for at in range(0, len(got), length)]
            assert got == [alone(row)[name] for row in rows], name


def test_nan_passes_and_rows_of_several_axes_are_filled_up() -> None:
    inner = Dense(np.array([[1.0, np.nan], [3, 4], [5, 6]]))
    model = Made(lambda a: {"y": a["x"]}, {"x": -1.0}, inputs=(TensorSpec("x", DataType.FP64, (None, 2)),))
    calls = PaddedCalls(model, 8, ManualClock(), "m")
    calls._lengths.learn(1, 1.0)
    calls._lengths.learn(100, 1.0)  # padding costs nothing
    answer = calls.predict(Batch({"x": Ragged(inner, np.array([0, 1, 3]))}, 2), Context())
    assert model.shapes[0] == (2, 2, 2)
    np.testing.assert_equal(values(answer.columns["y"]), [[[1, np.nan]], [[3, 4], [5, 6]]])


def test_rows_of_one_length_are_not_asked_again() -> None:
    model = Made(everything, {"x": 0.0})
    ctx = Context()
    PaddedCalls(model, 8, ManualClock(), "m").predict(batch_of([[1, 2], [3, 4]]), ctx)
    assert (model.shapes, ctx.padded) == ([(2, 2)], 0)


def test_one_row_is_asked_alone_once_and_padding_is_counted() -> None:
    model = Made(everything, {"x": 0.0})
    calls = PaddedCalls(model, 8, ManualClock(), "m")
    ctx = Context()
    calls.predict(batch_of([[1] * 10, [2] * 9, [3] * 10]), ctx)
    assert model.shapes == [(3, 10), (1, 9)]
    calls.predict(batch_of([[1] * 7, [2] * 8]), ctx)
    assert model.shapes[2:] == [(2, 8)]
    assert ctx.padded == 1 + 1


def test_an_output_as_long_as_the_longest_row_by_chance_is_not_cut() -> None:
    """Three classes, and rows of up to three values."""
    model = Made(lambda a: {"y": np.repeat(a["x"].sum(axis=1, keepdims=True), 3, axis=1)}, {"x": 0.0})
    calls = PaddedCalls(model, 8, ManualClock(), "m")
    calls._lengths.learn(1, 1.0)
    calls._lengths.learn(100, 1.0)
    answer = calls.predict(batch_of([[1], [1, 2, 3]]), Context())
    assert answer.dense("y").tolist() == [[1, 1, 1], [6, 6, 6]]


def two_inputs(rows: list[tuple[int, int]]) -> Batch:
    a, b = [[1.0] * n for n, _ in rows], [[2.0] * n for _, n in rows]
    return Batch({"a": ragged(a), "b": ragged(b)}, len(rows))


def test_of_two_inputs_the_right_one_is_followed_also_where_their_longest_rows_are_the_same() -> None:
    model = Made(lambda a: {"y": a["b"] + 1, "z": a["a"]}, {"a": 0.0, "b": 0.0})
    calls = PaddedCalls(model, 8, ManualClock(), "m")
    calls._lengths.learn(1, 1.0)
    calls._lengths.learn(100, 1.0)
    for shapes in ([(8, 8), (7, 7)], [(8, 7), (7, 8)], [(5, 6), (6, 6)], [(6, 5), (6, 6)]):
        answer = calls.predict(two_inputs(shapes), Context())
        expected = [[3.0] * n for _, n in shapes], [[1.0] * n for n, _ in shapes]
        assert (values(answer.columns["y"]), values(answer.columns["z"])) == expected


@pytest.mark.parametrize(
    "made",
    [lambda a: {"y": np.repeat(a["x"], 2, axis=1)}, lambda a: {"y": a["x"][:, 1:]}],
    ids=["twice as long", "one shorter"],
)
def test_an_output_that_changes_in_another_way_is_refused(made: Outputs) -> None:
    calls = PaddedCalls(Made(made, {"x": 0.0}), 8, ManualClock(), "m")
    with pytest.raises(ModelError, match=r"m: output 'y' changes with the padding .* as long as no input; leave pad"):
        calls.predict(batch_of([[1] * 9, [1] * 10]), Context())


def test_rows_that_fail_keep_their_errors_and_are_not_asked() -> None:
    class Picky(Made):
        def predict(self, batch: Batch, ctx: Context) -> Batch:
            answer = super().predict(batch, ctx)
            bad = {row: RowError("model_error", "no") for row in range(batch.rows) if batch.dense("x")[row, 0] < 0}
            return answer.with_errors(bad)

    model = Picky(everything, {"x": 0.0})
    rows = [[1.0] * 12, [-1.0] * 10, [2.0] * 11, [3.0] * 2]
    answer = PaddedCalls(model, 8, ManualClock(), "m").predict(batch_of(rows), Context())
    assert list(answer.errors) == [1]
    assert [values(answer.columns["each"])[row] for row in (0, 2, 3)] == [alone(rows[row])["each"] for row in (0, 2, 3)]
    assert (1, 10) not in model.shapes


def test_what_calls_cost_is_learned_from_calls() -> None:
    """A call takes a second and a hundredth for each element: a hundred elements of padding are worth one call."""
    clock = ManualClock()
    model = Made(everything, {"x": 0.0}, clock)
    calls = PaddedCalls(model, 128, clock, "m")
    for length in (1, 1000):
        calls.predict(batch_of([[1.0] * length]), Context())
    model.shapes.clear()
    calls.predict(batch_of([[1.0] * n for n in (4, 512, 60, 500, 30)]), Context())
    assert sorted(shape for shape in model.shapes if shape[0] > 1) == [(2, 512), (3, 60)]


def test_nobody_waits_between_calls() -> None:
    asked: list[int] = []

    def gone() -> bool:
        asked.append(1)
        return len(asked) > 1

    calls = PaddedCalls(Made(everything, {"x": 0.0}), 8, ManualClock(), "m")
    with pytest.raises(Cancelled):
        calls.predict(batch_of([[1.0], [1.0] * 100]), Context(cancelled=gone))


def test_rows_that_depend_on_each_other_stay_together() -> None:
    model = Made(lambda a: {"y": a["x"] - a["x"].mean()}, {"x": 0.0}, row_wise=False)
    engine = engine_of(model)
    answer = engine.run(batch_of([[4.0], [1.0] * 4]))
    assert model.shapes[0] == (2, 4)
    assert values(answer.columns["y"]) == [[3.0], [0.0] * 4]
    engine.close()


@pytest.mark.parametrize(
    ("spec", "kind", "match"),
    [
        ({"inputs": (TensorSpec("x", DataType.FP64, (4,)),)}, InvalidModel, "whose rows do not differ in length"),
        ({"inputs": (TensorSpec("x", DataType.FP64, ()),)}, InvalidModel, "whose rows do not differ in length"),
        ({"inputs": (TensorSpec("x", DataType.BYTES, (None,)),)}, InvalidSetting, "strings cannot be filled up"),
        ({"inputs": (TensorSpec("x", DataType.UINT8, (None,)),), "pad": {"x": -1}}, InvalidSetting, "does not fit"),
    ],
)
def test_a_pad_that_cannot_be_is_refused_when_the_model_loads(
    spec: dict[str, Any], kind: type[InferenceError], match: str
) -> None:
    with pytest.raises(kind, match=match):
        engine_of(Made(everything, **{"pad": {"x": 0.0}, **spec}))


def test_a_pad_of_what_preprocess_takes_is_refused_and_of_what_it_makes_is_honoured() -> None:
    class Prepares(Made):
        def preprocess(self, batch: Batch, ctx: Context) -> Batch:
            lengths = batch.dense("n")
            return batch_of([[1.0] * int(n) for n in lengths])

    own = (TensorSpec("n", DataType.INT64, ()),)
    engine = engine_of(Prepares(lambda a: {"y": a["x"]}, {"x": 0.0}, inputs=own))
    answer = engine.run(Batch.of(n=np.array([9, 10])))
    assert values(answer.columns["y"]) == [[1.0] * 9, [1.0] * 10]
    assert engine.model.shapes[0] == (2, 10)  # type: ignore[attr-defined]
    engine.close()
    with pytest.raises(InvalidModel, match="pad names the input 'x', which preprocess takes first; fill rows up in"):
        engine_of(Prepares(lambda a: {"y": a["x"]}, {"x": 0.0}))
