"""Rows of different length as one tensor, filled up, and back."""

from __future__ import annotations

from typing import Any

import numpy as np

from foretell.columns import Bytes, Column, Dense, Index, Mask, Ragged
from foretell.errors import InvalidSetting
from foretell.types import DataType


def fill_value(name: str, value: float, datatype: DataType | None) -> Any:
    """`value` as an element of `datatype`, BF16 as its bits. Raises `InvalidSetting` where it is none."""
    if datatype is None:
        return value
    if datatype is DataType.BYTES:
        raise InvalidSetting("strings cannot be filled up", where=f"pad {name}", expected="an input of numbers")
    target = np.dtype(np.float32) if datatype is DataType.BF16 else datatype.numpy
    with np.errstate(all="ignore"):
        made = np.float64(value).astype(target)
    fits = value in (0, 1) if datatype is DataType.BOOL else _same(made, value, datatype)
    if not fits:
        raise InvalidSetting("the value does not fit the input", where=f"pad {name}", expected=datatype, got=value)
    return _bfloat16(made) if datatype is DataType.BF16 else made


def _bfloat16(value: Any) -> Any:
    """The bits of a float32, rounded to nearest, ties to even."""
    if np.isnan(value):
        return np.uint16(0x7FC0)
    bits = int(np.asarray(value, np.float32).view(np.uint32))
    return np.uint16((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16)


def _same(made: Any, value: float, datatype: DataType) -> bool:
    """Whether the number is still the one that was named, or near it where `datatype` rounds."""
    if datatype.is_float:
        return bool(np.isfinite(made) == np.isfinite(value))
    info = np.iinfo(datatype.numpy)
    return bool(np.isfinite(value)) and info.min <= value <= info.max and int(value) == value


def filled(column: Ragged, value: Any, least: int = 0) -> Dense:
    """The rows, each filled up with `value` to the longest, and to `least`: [rows, longest, ...]. `column` holds
    numbers."""
    first, last = int(column.offsets[0]), int(column.offsets[-1])
    values, lengths = column.values.slice(first, last), column.lengths
    if not isinstance(values, Dense):
        raise TypeError("strings cannot be filled up")
    rows, longest, inner = len(lengths), int(lengths.max(initial=least)), values.row_shape
    if (lengths == longest).all():
        return Dense(values.data.reshape((rows, longest, *inner)))
    made = np.full((rows, longest, *inner), value, values.data.dtype)
    made[_real(lengths, longest)] = values.data
    return Dense(made)


def cut(column: Dense | Bytes, lengths: Index) -> Ragged:
    """The first `lengths[i]` positions of row i. `column`: rows of shape [at least the longest, ...]."""
    width, inner = column.row_shape[0], column.row_shape[1:]
    kept = _real(lengths, width)
    offsets = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    valid = None if column.valid is None else np.repeat(column.valid, lengths)
    if isinstance(column, Dense):
        return Ragged(Dense(column.data[kept], valid), offsets)
    positions = Bytes(column.offsets, column.data, inner).take(np.flatnonzero(kept))
    return Ragged(Bytes(positions.offsets, positions.data, inner, valid), offsets)


def plain(column: Column) -> Column:
    """Rows of different length as a tensor, where they have one length after all; anything else as it is."""
    if not isinstance(column, Ragged):
        return column
    lengths = column.lengths
    length = int(lengths[0]) if len(lengths) else 0
    if not (lengths == length).all():
        return column
    values = column.values.slice(int(column.offsets[0]), int(column.offsets[-1]))
    shape, rows = (length, *values.row_shape), len(column)
    valid = None if values.valid is None else np.asarray(values.valid.reshape(rows, length).all(axis=1))
    if isinstance(values, Dense):
        return Dense(values.data.reshape((rows, *shape)), valid)
    return Bytes(values.offsets, values.data, shape, valid) if length else column


def _real(lengths: Index, width: int) -> Mask:
    """Which positions are not padding: [rows, width]."""
    return np.asarray(np.arange(width) < lengths[:, None])
