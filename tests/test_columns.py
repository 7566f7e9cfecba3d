"""Columns and batches behave as the plain lists of rows that they stand for."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foretell.columns import Batch, Bytes, Column, Dense, Ragged, concat, concat_columns, spread
from foretell.errors import RowError

Rows = list[Any]

_DTYPES = ["f4", "f8", "i4", "i8", "u1", "?"]
_ROW_SHAPES: list[tuple[int, ...]] = [(), (1,), (3,), (2, 2)]
_ROW_ERROR = RowError("invalid_input", "bad")


def rows_of(column: Column) -> Rows:
    """One plain value a row; None for a null."""
    if isinstance(column, Ragged):
        values = rows_of(column.values)
        return [values[a:b] for a, b in pairwise(column.offsets.tolist())]
    if isinstance(column, Bytes):
        per_row, items = math.prod(column.row_shape), column.items()
        rows: Rows = [items[row * per_row : (row + 1) * per_row] for row in range(len(column))]
    else:
        rows = column.data.tolist()
    valid = [True] * len(rows) if column.valid is None else column.valid.tolist()
    assert len(valid) == len(rows)
    return [row if ok else None for row, ok in zip(rows, valid, strict=True)]


@st.composite
def masks(draw: st.DrawFn, rows: int) -> Any:
    given_mask = draw(st.none() | st.lists(st.booleans(), min_size=rows, max_size=rows))
    return None if given_mask is None else np.array(given_mask, np.bool_)


@st.composite
def dense(draw: st.DrawFn, rows: int, dtype: str, shape: tuple[int, ...], nulls: bool = True) -> Dense:
    # Counting up makes every cell different, so that a row out of place shows.
    data = (np.arange(rows * math.prod(shape)) + draw(st.integers(0, 50))).astype(dtype).reshape((rows, *shape))
    return Dense(data, draw(masks(rows)) if nulls else None)


@st.composite
def strings(draw: st.DrawFn, rows: int, shape: tuple[int, ...], nulls: bool = True) -> Bytes:
    count = rows * math.prod(shape)
    before = draw(st.lists(st.binary(max_size=3), max_size=2))
    items = draw(st.lists(st.binary(max_size=4), min_size=count, max_size=count))
    whole = Bytes.of([*before, *items])
    # A view into the middle of shared bytes, as a slice of a larger buffer is.
    return Bytes(whole.offsets[len(before) :], whole.data, shape, draw(masks(rows)) if nulls else None)


@st.composite
def ragged(draw: st.DrawFn, rows: int, dtype: str | None) -> Ragged:
    lengths = draw(st.lists(st.integers(0, 3), min_size=rows, max_size=rows))
    start = draw(st.integers(0, 2))
    total = start + sum(lengths)
    values = draw(strings(total, (), False) if dtype is None else dense(total, dtype, (), False))
    return Ragged(values, np.cumsum([start, *lengths], dtype=np.int64))


def columns(rows: int) -> st.SearchStrategy[Column]:
    return st.one_of(
        st.sampled_from(_DTYPES).flatmap(
            lambda dtype: st.sampled_from(_ROW_SHAPES).flatmap(lambda s: dense(rows, dtype, s))
        ),
        st.sampled_from(_ROW_SHAPES).flatmap(lambda shape: strings(rows, shape)),
        st.sampled_from([*_DTYPES, None]).flatmap(lambda dtype: ragged(rows, dtype)),
    )


@st.composite
def batches(draw: st.DrawFn) -> Batch:
    rows = draw(st.integers(0, 6))
    named = {f"c{i}": draw(columns(rows)) for i in range(draw(st.integers(0, 3)))}
    bad = draw(st.sets(st.integers(0, rows - 1))) if rows else set()
    return Batch(named, rows, {row: RowError("invalid_input", f"row {row}") for row in sorted(bad)})


def same(batch: Batch, rows: Rows, errors: dict[int, str], names: list[str]) -> None:
    assert batch.rows == len(rows)
    assert list(batch.columns) == names
    for i, name in enumerate(names):
        assert len(batch.columns[name]) == len(rows)
        assert rows_of(batch.columns[name]) == [row[i] for row in rows]
    assert {row: error.message for row, error in batch.errors.items()} == errors


def table(batch: Batch) -> Rows:
    """Rows across the columns."""
    columns = [rows_of(column) for column in batch.columns.values()]
    return [[column[row] for column in columns] for row in range(batch.rows)]


@given(batches(), st.integers(-8, 8), st.integers(-8, 8))
def test_slice_is_a_list_s_slice(batch: Batch, start: int, stop: int) -> None:
    kept = list(range(batch.rows))[start:stop]
    errors = {new: batch.errors[old].message for new, old in enumerate(kept) if old in batch.errors}
    same(batch.slice(start, stop), table(batch)[start:stop], errors, list(batch.columns))


@given(batches(), st.data())
def test_take_picks_rows_in_the_order_asked(batch: Batch, data: st.DataObject) -> None:
    chosen = data.draw(st.lists(st.integers(0, batch.rows - 1), max_size=8)) if batch.rows else []
    whole = table(batch)
    errors = {new: batch.errors[old].message for new, old in enumerate(chosen) if old in batch.errors}
    taken = batch.take(np.array(chosen, np.int64))
    same(taken, [whole[row] for row in chosen], errors, list(batch.columns))


@given(batches(), st.data())
def test_concat_puts_slices_together_again(batch: Batch, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, batch.rows), max_size=3)))
    bounds = [0, *cuts, batch.rows]
    parts = [batch.slice(a, b) for a, b in pairwise(bounds)]
    errors = {row: error.message for row, error in batch.errors.items()}
    same(concat(parts), table(batch), errors, list(batch.columns))


@given(st.data(), st.integers(0, 6))
def test_spread_puts_rows_where_they_belong(data: st.DataObject, count: int) -> None:
    column = data.draw(columns(count))
    total = count + data.draw(st.integers(0, 3))
    at = sorted(data.draw(st.permutations(range(total)))[:count])
    wide = rows_of(spread(column, np.array(at, np.int64), total))
    assert len(wide) == total
    assert [wide[row] for row in at] == rows_of(column)


@given(st.lists(st.binary(max_size=4) | st.text(max_size=4) | st.none(), max_size=6))
def test_bytes_of_holds_what_it_was_given(items: list[bytes | str | None]) -> None:
    assert [None if row is None else row[0] for row in rows_of(Bytes.of(items))] == [
        item.encode() if isinstance(item, str) else item for item in items
    ]


@given(st.integers(0, 4).flatmap(lambda rows: strings(rows, ())))
def test_compact_drops_only_bytes_that_no_element_uses(column: Bytes) -> None:
    compact = column.compact()
    assert rows_of(compact) == rows_of(column)
    assert compact.offsets[0] == 0
    assert len(compact.data) == sum(map(len, column.items()))


def test_a_slice_of_numbers_shares_memory() -> None:
    column = Dense(np.arange(12.0).reshape(4, 3), np.array([True, False, True, True]))
    part = column.slice(1, 3)
    assert np.shares_memory(part.data, column.data)
    assert part.valid is not None
    assert np.shares_memory(part.valid, column.valid)


def test_a_slice_of_strings_shares_memory() -> None:
    column = Bytes.of(["one", "two", "three"])
    assert np.shares_memory(column.slice(1, 3).data, column.data)


def test_rows_of_different_length_join_as_ragged() -> None:
    short, long = Dense(np.array([[1, 2]])), Dense(np.array([[3, 4, 5], [6, 7, 8]]))
    joined = concat_columns([short, Ragged(Dense(np.array([9, 9, 9])), np.array([1, 1, 3])), long])
    assert isinstance(joined, Ragged)
    assert rows_of(joined) == [[1, 2], [], [9, 9], [3, 4, 5], [6, 7, 8]]
    assert joined.lengths.tolist() == [2, 0, 2, 3, 3]


def test_strings_of_different_length_join_as_ragged() -> None:
    joined = concat_columns([Bytes.of(["a", "b"], (2,)), Bytes.of(["c"], (1,))])
    assert isinstance(joined, Ragged)
    assert rows_of(joined) == [[[b"a"], [b"b"]], [[b"c"]]]


@pytest.mark.parametrize(
    "columns",
    [
        [Dense(np.zeros((1, 2, 2))), Dense(np.zeros((1, 2, 3)))],
        [Dense(np.zeros(1)), Dense(np.zeros((1, 2)))],
        [Dense(np.zeros((1, 2))), Bytes.of(["a", "b"], (2,))],
        [Bytes.of(["a"]), Bytes.of(["a", "b"], (2,))],
    ],
)
def test_rows_that_cannot_stand_in_one_column(columns: list[Column]) -> None:
    with pytest.raises(ValueError, match="cannot join rows"):
        concat_columns(columns)


def test_batches_of_different_columns_do_not_join() -> None:
    with pytest.raises(ValueError, match="cannot join batches with columns"):
        concat([Batch.of(x=np.zeros(1)), Batch.of(y=np.zeros(1))])


def test_nothing_cannot_be_joined() -> None:
    with pytest.raises(ValueError, match="nothing"):
        concat([])


def test_a_null_is_not_lost_among_rows_of_another_length() -> None:
    null, whole = np.array([False, True]), np.ones(2, np.bool_)
    longer = Dense(np.ones((1, 3)))
    with pytest.raises(ValueError, match="nulls"):
        concat_columns([Dense(np.ones((2, 2)), null), longer])
    joined = concat_columns([Dense(np.ones((2, 2)), whole), longer])
    assert isinstance(joined, Ragged) and joined.lengths.tolist() == [2, 2, 3]


def test_columns_join_by_name_whatever_their_order() -> None:
    joined = concat([Batch.of(x=np.array([1]), y=np.array([10])), Batch.of(y=np.array([20]), x=np.array([2]))])
    assert joined.dense("x").tolist() == [1, 2]
    assert joined.dense("y").tolist() == [10, 20]


def test_errors_are_added_and_columns_exchanged_without_touching_the_original() -> None:
    batch = Batch.of(x=np.arange(3)).with_errors({1: _ROW_ERROR})
    more = batch.with_errors({2: _ROW_ERROR}).with_columns({"y": Dense(np.arange(3))})
    assert set(more.errors) == {1, 2}
    assert list(more.columns) == ["y"]
    assert set(batch.errors) == {1}
    assert list(batch.columns) == ["x"]


def test_only_a_dense_column_is_an_array() -> None:
    batch = Batch({"s": Bytes.of(["a"])}, 1)
    with pytest.raises(TypeError, match="column 's' is Bytes, not Dense"):
        batch.dense("s")


def test_a_batch_of_no_columns_has_no_rows() -> None:
    assert Batch.of().rows == 0
