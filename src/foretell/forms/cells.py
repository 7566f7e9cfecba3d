"""The cells of one column, in whatever form they were read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from foretell.columns import Index
from foretell.forms.form import Kind, library
from foretell.types import DataType, TensorSpec

Cells = Any
"""The cells of one column: an Arrow array, a NumPy array or a list."""

CellKind = Literal["float", "int", "uint", "text", "flag", "any"]
"""What the cells of a column are read as. "any": as they stand there."""

_SAMPLED: Mapping[str, CellKind] = {"int": "int", "float": "float"}
_KINDS: Mapping[DataType, CellKind] = {DataType.BYTES: "text", DataType.BOOL: "flag", DataType.UINT64: "uint"}


def cell_kind(tensor: TensorSpec | None, sampled: str) -> CellKind:
    """What the model takes; where nobody tells, `sampled`: what the data begins with."""
    datatype = tensor.datatype if tensor is not None else None
    if datatype is None:
        return _SAMPLED.get(sampled, "any")
    if tensor is not None and tensor.category:
        return "any"
    if datatype in _KINDS:
        return _KINDS[datatype]
    return "float" if datatype.is_float else "int"


def take(cells: Cells, rows: Index) -> Cells:
    """The cells of some rows."""
    if library(cells) is Kind.ARROW:
        return cells.take(rows)
    if isinstance(cells, np.ndarray):
        return cells[rows]
    return [cells[row] for row in rows.tolist()]


def items(cells: Cells) -> list[Any]:
    """The cells as values of Python; a time that it has none for, such as one after the year 9999, as text."""
    if library(cells) is not Kind.ARROW:
        return list(cells)
    try:
        made: list[Any] = cells.to_pylist()
    except (OverflowError, ValueError):
        from foretell.forms.arrow_plain import time_texts

        made = time_texts(cells).to_pylist()
    return made


def plain_value(value: Any) -> Any:
    """A cell as a value of JSON."""
    value = value.item() if isinstance(value, np.generic) else value
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)
