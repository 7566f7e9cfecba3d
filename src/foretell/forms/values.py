"""One array-like value <-> one column. What backends and every form build on."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from foretell.columns import Array, Bytes, Column, Dense, Ragged
from foretell.errors import InvalidInput
from foretell.forms.fit import bfloat16_floats, fit
from foretell.forms.form import Kind, is_frame, library
from foretell.forms.raw import Flags, Raw, read_array
from foretell.forms.sequences import read_sequence
from foretell.forms.words import Words
from foretell.types import DataType, TensorSpec


def to_column(value: object, *, where: str, spec: TensorSpec | None = None) -> Column:
    """Rows (axis 0) of any array-like as a column.

    Takes arrays of any numeric, bool or string dtype, byte order and layout; arrays of objects; lists of values, of
    lists and of arrays; pandas and Polars series; Arrow arrays; anything with `__array__`. Rows of different length
    become `Ragged`; None, NA and masked values become nulls (NaN in a float column). With a `spec`, the result has its
    datatype and row shape: integers may become floats, float64 may become FP32, and booleans become 0 and 1 where
    numbers are taken, but no fraction, range or string is lost or guessed. A flat run of n values is taken as [n, 1]
    where a row is (1,). Native arrays of the right datatype are not copied. Raises `InvalidInput`; its `rows` names bad
    rows where rows can be told apart.
    """
    return fit(read(value, where, spec), where, spec)


def read(value: Any, where: str, spec: TensorSpec | None) -> Raw:
    """The rows of any array-like, not yet fitted to `spec` (which only decides whether decimals may become floats)."""
    if hasattr(value, "as_py"):
        value = value.as_py()
    if isinstance(value, Words):
        value = value.meant(spec)
    if isinstance(value, (list, tuple, range)):
        return read_sequence(value, where, spec)
    if is_frame(value):
        value = _as_array(value, where)
    match library(value) if hasattr(value, "__len__") else None:
        case Kind.PANDAS:
            from foretell.forms.pandas_form import read as read_pandas

            return read_pandas(value, where, spec)
        case Kind.POLARS:
            from foretell.forms.polars_form import read as read_polars

            return read_polars(value, where, spec)
        case Kind.ARROW:
            from foretell.forms.arrow_form import read as read_arrow

            return read_arrow(value, where, spec)
    if not isinstance(value, np.ndarray):
        value = _as_array(value, where)
    if value.ndim == 0:
        raise InvalidInput(
            "a single value is not rows", where=where, expected="an axis of rows", fix="put it in a list"
        )
    if value.dtype.kind == "O":
        return read_sequence(value.tolist(), where, spec)
    if isinstance(value, Flags) and spec is not None and spec.datatype not in (None, DataType.BOOL):
        fix = f"send numbers as {spec.datatype}"
        raise InvalidInput("wrong datatype", where=where, expected=spec.datatype, got=DataType.BOOL, fix=fix)
    return read_array(value, where)


def _as_array(value: Any, where: str) -> Array:
    if not hasattr(value, "__array__"):
        kind = type(value).__name__
        raise InvalidInput("not rows of values", where=where, expected="a list or an array", got=kind)
    try:
        return np.asarray(value)
    except Exception as error:
        raise InvalidInput(f"{type(value).__name__} cannot be read as an array: {error}", where=where) from error


def to_numpy(column: Column, datatype: DataType | None = None) -> Array:
    """The rows as one array.

    `Dense`: its data, with NaN for nulls of floats, else as objects with None. `Bytes`: objects [rows, *row_shape],
    str where the element is UTF-8, else bytes; None for nulls. `Ragged`: objects [rows], an array (of numbers) or a
    list (of strings) in each. `datatype` BF16 turns its bits into float32.
    """
    if isinstance(column, Ragged):
        inner = to_numpy(column.values, datatype)
        bounds = column.offsets.tolist()
        strings = isinstance(column.values, Bytes)
        rows = [inner[a:b].tolist() if strings else inner[a:b] for a, b in pairwise(bounds)]
        return objects(rows)
    if isinstance(column, Bytes):
        made = objects([_decoded(item) for item in column.items()]).reshape((len(column), *column.row_shape))
        if column.valid is not None:
            made[~column.valid] = None
        return made
    data = bfloat16_floats(column.data) if datatype is DataType.BF16 else column.data
    if column.valid is None or column.valid.all():
        return data
    if data.dtype.kind == "f":
        data = data.copy()
        data[~column.valid] = np.nan
        return data
    made = data.astype(object)
    made[~column.valid] = None
    return made


def to_python(column: Column, datatype: DataType | None = None) -> list[Any]:
    """The rows as nested lists of Python values, None for a null row; strings as in `to_numpy`."""
    if isinstance(column, Ragged):
        inner, bounds = to_python(column.values, datatype), column.offsets.tolist()
        return [inner[a:b] for a, b in pairwise(bounds)]
    if isinstance(column, Dense):
        data = bfloat16_floats(column.data) if datatype is DataType.BF16 else column.data
        values: list[Any] = data.tolist()
    else:
        values = to_numpy(Bytes(column.offsets, column.data, column.row_shape)).tolist()
    if column.valid is not None:
        for row in np.flatnonzero(~column.valid).tolist():
            values[row] = None
    return values


def objects(items: list[Any]) -> Array:
    """An array of objects [len(items)] that keeps lists and arrays whole."""
    made = np.empty(len(items), object)
    for position, item in enumerate(items):
        made[position] = item
    return made


def _decoded(item: bytes) -> str | bytes:
    try:
        return item.decode()
    except UnicodeDecodeError:
        return item
