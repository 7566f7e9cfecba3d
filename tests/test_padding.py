"""Rows of different length as one tensor, and back: nothing is lost, and nothing of the padding stays."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foretell.columns import Bytes, Dense, Ragged
from foretell.errors import InvalidSetting
from foretell.padding import cut, fill_value, filled, plain
from foretell.types import DataType

LENGTHS = st.lists(st.integers(0, 7), max_size=6)
INNER = st.sampled_from([(), (1,), (3,), (2, 2)])
NUMBERS = [DataType.FP16, DataType.FP32, DataType.FP64, DataType.INT8, DataType.INT64, DataType.UINT16, DataType.BOOL]


def offsets_of(lengths: list[int], start: int = 0) -> np.ndarray:
    return np.cumsum([start, *lengths], dtype=np.int64)


def rows_of(column: Ragged) -> list[Any]:
    values = column.values
    inner = (
        values.data if isinstance(values, Dense) else np.array(values.items(), object).reshape((-1, *values.row_shape))
    )
    return [inner[a:b].tolist() for a, b in pairwise(column.offsets.tolist())]


@st.composite
def ragged_numbers(draw: st.DrawFn) -> Ragged:
    """Any numbers, NaN among them, perhaps a part of a longer column."""
    lengths, inner, kind = draw(LENGTHS), draw(INNER), draw(st.sampled_from(NUMBERS))
    before = draw(st.integers(0, 3))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    data = (rng.standard_normal((before + sum(lengths) + 2, *inner)) * 3).astype(kind.numpy)
    if kind.is_float and draw(st.booleans()):
        data[rng.random(data.shape) < 0.3] = np.nan
    return Ragged(Dense(data), offsets_of(lengths, before))


@given(ragged_numbers())
def test_rows_that_were_filled_up_are_cut_back_to_what_they_were(column: Ragged) -> None:
    value = column.values.data.dtype.type(1)
    full = filled(column, value)
    longest = int(column.lengths.max(initial=0))
    assert full.data.shape == (len(column), longest, *column.values.row_shape)
    assert full.data.dtype == column.values.data.dtype
    back = cut(full, column.lengths)
    np.testing.assert_equal(rows_of(back), rows_of(column))
    for row, length in zip(full.data, column.lengths.tolist(), strict=True):
        assert (row[length:] == value).all()


@given(LENGTHS, INNER, st.booleans())
def test_strings_are_cut_back_too(lengths: list[int], inner: tuple[int, ...], masked: bool) -> None:
    longest = max(lengths, default=0)
    per_row = longest * int(np.prod(inner))
    items = [f"{row}.{at}".encode() for row in range(len(lengths)) for at in range(per_row)]
    if not per_row:
        return  # strings without a place for one have no rows to count
    valid = np.arange(len(lengths)) % 2 == 0 if masked else None
    column = Bytes.of(items, (longest, *inner))
    back = cut(Bytes(column.offsets, column.data, column.row_shape, valid), np.array(lengths, np.int64))
    each = np.array(items, object).reshape((len(lengths), longest, *inner))
    assert rows_of(back) == [row[:length].tolist() for row, length in zip(each, lengths, strict=True)]
    if valid is not None:
        assert back.values.valid is not None
        assert back.values.valid.tolist() == np.repeat(valid, lengths).tolist()


def test_strings_are_not_filled_up() -> None:
    with pytest.raises(TypeError, match="strings"):
        filled(Ragged(Bytes.of(["a", "b"]), np.array([0, 2])), "")


@given(ragged_numbers(), st.integers(1, 4), st.integers(0, 5))
def test_rows_of_one_length_are_a_tensor_again(column: Ragged, rows: int, length: int) -> None:
    data = column.values.data
    one = Ragged(Dense(np.resize(data, (rows * length, *data.shape[1:]))), offsets_of([length] * rows))
    tensor = plain(one)
    assert isinstance(tensor, Dense)
    assert tensor.data.shape == (rows, length, *data.shape[1:])
    np.testing.assert_equal(tensor.data.reshape((rows * length, *data.shape[1:])), one.values.data)
    if len(set(column.lengths.tolist())) > 1:
        assert plain(column) is column


def test_no_rows_and_strings_of_one_length() -> None:
    nothing = Ragged(Dense(np.zeros(3)), np.array([2]))
    assert isinstance(plain(nothing), Dense)
    assert filled(nothing, 0.0).data.shape == (0, 0)
    words = plain(Ragged(Bytes.of(["", "a", "b", "c", "d"]), np.array([1, 3, 5])))
    assert isinstance(words, Bytes)
    assert (words.row_shape, words.items()) == ((2,), [b"a", b"b", b"c", b"d"])
    empty = Ragged(Bytes.of([]), np.array([0, 0, 0]))
    assert plain(empty) is empty, "strings without a place for one would have no rows to count"


@pytest.mark.parametrize(
    ("datatype", "value", "expected"),
    [
        (None, -1.5, -1.5),
        (DataType.INT64, 0, 0),
        (DataType.UINT8, 255, 255),
        (DataType.INT8, -128, -128),
        (DataType.FP32, -np.inf, -np.inf),
        (DataType.FP16, 0.5, 0.5),
        (DataType.BOOL, 1, True),
        (DataType.BF16, 1, 0x3F80),
        (DataType.BF16, 1 + 2**-8, 0x3F80),
        (DataType.BF16, 1 + 3 * 2**-8, 0x3F82),
        (DataType.BF16, np.nan, 0x7FC0),
    ],
)
def test_a_value_that_fills_is_one_of_the_datatype(datatype: DataType | None, value: float, expected: Any) -> None:
    made = fill_value("x", value, datatype)
    assert made == expected
    if datatype is not None:
        assert made.dtype == datatype.numpy


def test_nan_fills_floats() -> None:
    assert np.isnan(fill_value("x", float("nan"), DataType.FP32))


@pytest.mark.parametrize(
    ("datatype", "value"),
    [
        (DataType.UINT8, -1),
        (DataType.UINT8, 256),
        (DataType.INT64, 0.5),
        (DataType.INT64, float("nan")),
        (DataType.INT64, float("inf")),
        (DataType.BOOL, 2),
        (DataType.FP16, 1e6),
    ],
)
def test_a_value_that_the_datatype_cannot_hold_is_refused(datatype: DataType, value: float) -> None:
    with pytest.raises(InvalidSetting, match=f"pad x: the value does not fit the input; expected {datatype}"):
        fill_value("x", value, datatype)


def test_no_value_fills_strings() -> None:
    with pytest.raises(InvalidSetting, match="strings cannot be filled up"):
        fill_value("x", 0, DataType.BYTES)
