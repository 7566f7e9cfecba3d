"""Outputs as Arrow arrays whose type follows from what the model tells, so that it is the same in every shard."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from foretell.batch.job import AS_TEXT
from foretell.columns import Array, Column, Dense, Ragged
from foretell.errors import InvalidInput
from foretell.forms.arrow_form import array_of
from foretell.forms.cells import Cells
from foretell.forms.form import Kind, library
from foretell.types import Shape, TensorSpec


def output_array(column: Column, tensor: TensorSpec | None) -> Any:
    """One output. Vectors are lists of a fixed size where the model tells it, of any size elsewhere."""
    mask = None if column.valid is None or column.valid.all() else pa.array(~column.valid)
    shape = tensor.shape if tensor is not None else None
    if isinstance(column, Ragged):
        offsets = column.offsets - column.offsets[0]
        inner = column.values.slice(int(column.offsets[0]), int(column.offsets[-1]))
        return pa.LargeListArray.from_arrays(_plain(offsets), _nested(inner, None if shape is None else shape[1:]))
    return _nested(column, shape, mask)


def _nested(column: Column, shape: Shape | None, mask: Any = None) -> Any:
    """Rows of one shape as lists within lists."""
    if isinstance(column, Ragged) or not column.row_shape:
        return array_of(column)
    given = column.row_shape
    told = shape if shape is not None and len(shape) == len(given) else (None,) * len(given)
    if isinstance(column, Dense):
        made = array_of(Dense(column.data.reshape(-1)))
    else:
        made = array_of(type(column)(column.offsets, column.data))
    count = len(column)
    for axis in reversed(range(len(given))):
        rows = count * int(np.prod(given[:axis]))
        null = mask if axis == 0 else None
        made = _lists(made, rows, given[axis], null, fixed=told[axis] is not None)
    return made


def _lists(values: Any, rows: int, size: int, mask: Any, *, fixed: bool) -> Any:
    if fixed and size:
        return pa.FixedSizeListArray.from_arrays(values, size, mask=mask)
    offsets = np.arange(rows + 1, dtype=np.int64) * size
    return pa.LargeListArray.from_arrays(_plain(offsets), values, mask=mask)


def _plain(numbers: Array) -> Any:
    """Without `pa.array`, which imports pandas where it is installed: see `arrow_form`."""
    return array_of(Dense(numbers))


def key_array(name: str, cells: Cells) -> Any:
    """A column of the data as it was read. Raises `InvalidInput` where its cells have no common type."""
    if library(cells) is Kind.ARROW:
        return cells.combine_chunks() if isinstance(cells, pa.ChunkedArray) else cells
    try:
        return _plain(cells) if isinstance(cells, np.ndarray) and cells.dtype.kind in "iuf" else pa.array(cells)
    except (pa.ArrowException, TypeError, OverflowError) as error:
        what = f"the cells of key {name!r} have no common type: {str(error).partition(chr(10))[0]}"
        raise InvalidInput(what, fix=AS_TEXT) from None
