"""Columns as the arrays ONNX Runtime takes, one for each input."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np

from foretell.columns import Array, Bytes, Column, Dense, Ragged
from foretell.errors import InvalidInput, RowError
from foretell.types import DataType, TensorSpec

Feed = Array | list[Array]
"""All rows in one array, or rows of different shape, each to be sent alone."""

_BF16 = 16  # TensorProto.BFLOAT16


def feed_of(column: Column, spec: TensorSpec, errors: dict[int, RowError], *, alone: bool) -> Feed:
    """The rows of `column`, native and contiguous; strings as objects. Rows of text that is not UTF-8 go to `errors`.

    `alone`: each row is sent in a call of its own, so rows may differ in length. Else `InvalidInput` where they do: the
    engine has filled them up, if anybody said how.
    """
    if isinstance(column, Ragged):
        return _ragged(column, spec, errors, alone=alone)
    return _plain(column, spec, errors, None)


def native(data: Array, datatype: DataType) -> Array:
    """The array as the runtime reads it: other byte orders it would misread without a word."""
    return np.ascontiguousarray(data, datatype.numpy)


def zeros(shape: tuple[int, ...], datatype: DataType, value: int = 0) -> Array:
    """An array to try a model with; of strings, empty ones."""
    if datatype is DataType.BYTES:
        return np.full(shape, "", object)
    if datatype is DataType.BF16:
        return np.full(shape, 0x3F80 if value else 0, np.uint16)
    return np.full(shape, value, datatype.numpy)


def to_ort_value(data: Array, datatype: DataType) -> Any:
    """For models with BF16, which NumPy does not know: its bits travel as uint16."""
    from onnxruntime import OrtValue

    if datatype is DataType.BF16:
        return OrtValue.ortvalue_from_numpy_with_onnx_type(np.ascontiguousarray(data), _BF16)
    return OrtValue.ortvalue_from_numpy(data)


def _plain(column: Dense | Bytes, spec: TensorSpec, errors: dict[int, RowError], owners: Array | None) -> Array:
    """`owners`: the row that each element of `column` belongs to, where that is not the element itself."""
    if isinstance(column, Dense):
        return native(column.data, spec.datatype) if spec.datatype is not None else column.data
    per_row = math.prod(column.row_shape)
    texts: list[str] = []
    for at, item in enumerate(column.items()):
        try:
            texts.append(item.decode())
        except UnicodeDecodeError:
            texts.append("")
            row = at // per_row if owners is None else int(owners[at // per_row])
            message = f"input {spec.name!r}: the row holds text that is not UTF-8; expected {spec.describe()}"
            errors.setdefault(row, RowError(InvalidInput.code, message))
    made = np.empty(len(texts), object)
    made[:] = texts
    return made.reshape((len(column), *column.row_shape))


def _ragged(column: Ragged, spec: TensorSpec, errors: dict[int, RowError], *, alone: bool) -> Feed:
    lengths, rows = column.lengths, len(column)
    first, last = int(column.offsets[0]), int(column.offsets[-1])
    values = _plain(column.values.slice(first, last), spec, errors, np.repeat(np.arange(rows), lengths))
    longest = int(lengths.max(initial=0))
    if (lengths == longest).all():
        return values.reshape((rows, longest, *values.shape[1:]))
    if alone:
        return [values[a:b] for a, b in pairwise((column.offsets - first).tolist())]
    fix = f"name a value that fills them: pad {spec.name}=0"
    raise InvalidInput(
        "rows of different length cannot share a call",
        where=f"input {spec.name!r}",
        got=f"{int(lengths.min())} to {longest} values",
        fix="fill them up yourself" if values.dtype == object else fix,
    )
