"""What user code is handed of a column: memory of its own, as arrays, or as pandas DataFrames by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from foretell.columns import Array, Bytes, Column, Dense, Ragged
from foretell.extras import needs
from foretell.forms.values import objects, to_numpy
from foretell.types import DataType


def own_array(column: Column, datatype: DataType | None = None) -> Array:
    """The rows as a native array that somebody else's code may write into: no one else sees that memory."""
    if isinstance(column, Ragged) and isinstance(column.values, Dense):
        inner = own_array(column.values, datatype)
        return objects([inner[start:stop] for start, stop in pairwise(column.offsets.tolist())])
    array = to_numpy(column, datatype)
    if not array.dtype.isnative:
        return array.astype(array.dtype.newbyteorder("="))
    shared = isinstance(column, Dense) and np.may_share_memory(array, column.data)
    return array.copy() if shared or not array.flags.writeable else array  # an empty array shares nothing


def data_frame(columns: Mapping[str, Column]) -> Any:
    """One column for each; a missing string is NaN, as pandas reads it from files. Raises `MissingExtra`."""
    pandas = _pandas()
    return pandas.DataFrame({name: _cells(column) for name, column in columns.items()})


def named_array(array: Array, names: Sequence[str]) -> Any:
    """A 2-D array with names for its columns, sharing its memory. Raises `MissingExtra`."""
    return _pandas().DataFrame(array, columns=list(names), copy=False)


def _cells(column: Column) -> Any:
    cells = own_array(column)
    if cells.ndim > 1:
        return list(cells)
    if isinstance(column, Bytes) and column.valid is not None:
        cells[~column.valid] = np.nan
    return cells


def _pandas() -> Any:
    with needs("pandas", "data", "a model that takes its columns by name"):
        import pandas
    return pandas
