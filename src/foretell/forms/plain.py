"""Cells of any library as columns, so that every sink writes them in the same way."""

from __future__ import annotations

from typing import Any

import numpy as np

from foretell.columns import Array, Bytes, Column, Dense, Ragged
from foretell.forms.cells import Cells
from foretell.forms.fit import bfloat16_floats
from foretell.forms.form import Kind, library
from foretell.types import DataType, ModelSpec, TensorSpec

Plain = Column | list[Any]
"""What is written: a column, or Python values that fit into none."""


def plain(cells: Cells) -> Plain:
    """The cells of a key. Times and dates become text: ISO 8601, and UTC where they have a zone."""
    if library(cells) is Kind.ARROW:
        from foretell.forms.arrow_plain import plain_arrow

        return plain_arrow(cells)
    if isinstance(cells, np.ndarray):
        return _plain_array(cells)
    return _plain_list(list(cells))


def _plain_array(cells: Array) -> Plain:
    if isinstance(cells, np.ma.MaskedArray):
        missing = np.asarray(np.ma.getmaskarray(cells).any(axis=tuple(range(1, cells.ndim))))
        return Dense(np.asarray(cells.filled(0)), ~missing)
    if DataType.of(cells.dtype) in (None, DataType.BYTES):
        if cells.dtype.kind == "M":
            return _plain_list(np.datetime_as_string(cells).tolist())
        if cells.dtype.kind == "m":
            return Dense(cells.view(np.int64))
        return _plain_list(cells.tolist())
    return Dense(cells)


def _plain_list(items: list[Any]) -> Plain:
    kinds = set(map(type, items))
    if kinds <= {str, type(None)} or kinds <= {bytes, type(None)}:
        return Bytes.of(items)
    if len(kinds) == 1 and kinds <= {bool, float}:
        return Dense(np.array(items))
    return items


def readable(name: str, column: Column, spec: ModelSpec) -> Column:
    """An output as people read it: rows of one value as that value, BF16 as floats.

    Where the model tells that its rows differ in length, a row of one value stays a list, as all others are.
    """
    tensor = spec.output(name)
    if tensor is not None and tensor.datatype is DataType.BF16:
        column = _floats(column)
    if isinstance(column, Ragged) or column.row_shape != (1,) or is_free(tensor):
        return column
    if isinstance(column, Dense):
        return Dense(column.data.reshape(len(column)), column.valid)
    return Bytes(column.offsets, column.data, (), column.valid)


def is_free(tensor: TensorSpec | None) -> bool:
    """Whether the model tells that a dimension of its rows is free."""
    return tensor is not None and tensor.shape is not None and None in tensor.shape


def _floats(column: Column) -> Column:
    if isinstance(column, Ragged):
        values = _floats(column.values)
        return column if isinstance(values, Ragged) else Ragged(values, column.offsets)
    return Dense(bfloat16_floats(column.data), column.valid) if isinstance(column, Dense) else column
