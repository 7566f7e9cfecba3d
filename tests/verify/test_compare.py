"""Two answers to the same rows, compared bit by bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from foretell.certificate import Difference
from foretell.columns import Batch, Bytes, Column, Dense, Ragged
from foretell.compare import compare, merged
from foretell.errors import RowError
from foretell.verify.ways import threads_to_try, ways

FLOATS = arrays.arrays(np.float32, st.tuples(st.integers(1, 20), st.integers(1, 3)))


def whole(expected: Batch, got: Batch) -> Difference:
    found, failed = compare(expected, [(np.arange(expected.rows), got)])
    assert failed == 0
    (each,) = found.values()
    return each


@given(FLOATS, st.data())
def test_the_same_rows_in_any_calls_are_the_same(values: Any, data: st.DataObject) -> None:
    """NaN, infinities and both zeros among them."""
    batch = Batch.of(x=values)
    order = np.array(data.draw(st.permutations(range(len(values)))))
    size = data.draw(st.integers(1, len(values)))
    calls = [order[at : at + size] for at in range(0, len(order), size)]
    assert compare(batch, [(call, batch.take(call)) for call in calls]) == ({"x": Difference()}, 0)


@given(FLOATS, st.data())
def test_one_number_that_differs_is_found(values: Any, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(values) - 1))
    other = values.copy()
    with np.errstate(over="ignore"):  # the next one of the largest is infinity
        other[at, 0] = np.nextafter(values[at, 0], np.float32(np.inf)) if np.isfinite(values[at, 0]) else 1
    if np.isinf(other[at, 0]):
        other[at, 0] = 1
    found = whole(Batch.of(x=values), Batch.of(x=other))
    assert (found.rows, found.row) == (1, at)
    if np.isfinite(values[at, 0]):
        assert found.absolute == abs(float(other[at, 0]) - float(values[at, 0]))
    else:
        assert found.absolute is None


def test_zeros_of_both_signs_differ_in_a_bit() -> None:
    assert whole(Batch.of(x=np.array([0.0])), Batch.of(x=np.array([-0.0]))) == Difference(1, 0.0, 0.0, 0)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Dense(np.array([1, 2])), Dense(np.array([1, 3]))),
        (Dense(np.array([1.0, np.nan])), Dense(np.array([1.0, 2.0]))),
        (Dense(np.array([1.0, np.inf])), Dense(np.array([1.0, 2.0]))),
        (Dense(np.array([1.0, 2.0])), Dense(np.array([1.0, 2.0], np.float32))),
        (Bytes.of(["a", "b"]), Bytes.of(["a", "c"])),
        (Bytes.of(["a", "b"]), Dense(np.array([1, 2]))),
        (Ragged(Dense(np.arange(3)), np.array([0, 1, 3])), Ragged(Dense(np.arange(2)), np.array([0, 1, 2]))),
    ],
)
def test_what_is_no_matter_of_size(one: Column, other: Column) -> None:
    found = whole(Batch({"x": one}, 2), Batch({"x": other}, 2))
    assert found.absolute is None
    assert found.rows in (1, 2)


def test_a_null_is_no_zero_and_the_same_as_nan() -> None:
    valid = np.array([True, False])
    zeros, null, nan = Dense(np.zeros(2)), Dense(np.zeros(2), valid), Dense(np.array([0.0, np.nan]))
    for one, other, rows in [(zeros, null, 1), (null, zeros, 1), (null, null, 0), (null, nan, 0)]:
        assert whole(Batch({"x": one}, 2), Batch({"x": other}, 2)).rows == rows
    texts = Bytes.of(["a", None]), Bytes.of(["a", ""])
    assert whole(Batch({"x": texts[0]}, 2), Batch({"x": texts[1]}, 2)).rows == 1


def test_the_largest_numbers_have_a_finite_distance() -> None:
    found = whole(Batch.of(x=np.array([1.5e308])), Batch.of(x=np.array([-1.5e308])))
    assert found.absolute == np.finfo(np.float64).max


def test_rows_of_different_length_are_compared_one_by_one() -> None:
    reference = Batch({"x": Ragged(Dense(np.array([1.0, 2.0, 3.0])), np.array([0, 1, 3]))}, 2)
    calls = [(np.array([1]), Batch.of(x=np.array([[2.0, 3.5]]))), (np.array([0]), Batch.of(x=np.array([[1.0]])))]
    assert compare(reference, calls) == ({"x": Difference(1, 0.5, 0.5 / 3.5, 1)}, 0)


def test_an_output_that_is_not_there() -> None:
    found, _ = compare(Batch.of(x=np.zeros(2)), [(np.arange(2), Batch.of(y=np.zeros(2)))])
    assert found == {"x": Difference(2, None, None, 0), "y": Difference(2, None, None, 0)}


def test_failed_rows_count_where_they_failed_on_one_side() -> None:
    error = RowError("a", "b")
    reference = Batch({"x": Dense(np.zeros(3))}, 3, {0: error, 1: error})
    got = Batch({"x": Dense(np.ones(3))}, 3, {1: error, 2: error})
    assert compare(reference, [(np.arange(3), got)]) == ({"x": Difference()}, 2)


@given(st.lists(st.tuples(st.integers(1, 5), st.none() | st.floats(0, 1)), max_size=5))
def test_what_is_merged_does_not_depend_on_the_order(parts: list[tuple[int, float | None]]) -> None:
    found = [Difference(rows, gap, gap, 0) for rows, gap in parts]
    one = other = Difference()
    for each in found:
        one = merged(one, each)
    for each in reversed(found):
        other = merged(other, each)
    assert (one.rows, one.absolute, one.relative) == (other.rows, other.absolute, other.relative)


@given(st.integers(1, 400), st.booleans())
def test_every_way_asks_every_row_once(rows: int, few: bool) -> None:
    named = list(ways(rows, few=few))
    assert len({way.name for way in named}) == len(named)
    for way in named:
        assert sorted(np.concatenate(way.calls).tolist()) == list(range(rows))


def test_other_numbers_of_threads() -> None:
    assert threads_to_try(8, 0) == (1, 2, 8)
    assert threads_to_try(2, 2) == (1,)
