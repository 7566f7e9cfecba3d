"""A table of named columns, whatever library they come from, to a `Batch` by the mapping rules."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from foretell.columns import Array, Batch, Bytes, Column, Dense
from foretell.errors import InvalidInput
from foretell.forms.fit import fit
from foretell.forms.form import Kind, is_frame, library
from foretell.forms.mapping import Plan, plan
from foretell.forms.raw import wants_float
from foretell.forms.record import Record
from foretell.forms.values import read
from foretell.types import DataType, ModelSpec, TensorSpec

Table = Mapping[str, Any]
"""Column name -> cells: anything that `to_column` reads."""


def plan_of(
    table: Table, spec: ModelSpec, mapping: Mapping[str, Sequence[str]] | None, ignore: Collection[str]
) -> Plan:
    """The mapping rules for `table`."""
    return plan(list(table), lambda name: is_numeric(table[name]), spec, mapping, ignore)


def to_batch(table: Table, rows: int, spec: ModelSpec, chosen: Plan) -> Batch:
    """The inputs that `chosen` names. Raises `InvalidInput` where a column does not fit or has another length."""
    columns: dict[str, Column] = {}
    for name, sources in chosen.items():
        tensor = spec.input(name)
        if isinstance(table, Record) and rows == table.rows and len(sources) > 1:
            at_once = _of_record(table, sources, tensor)
            if at_once is not None:
                columns[name] = at_once
                continue
        for source in sources:
            _check_length(table[source], rows, source)
        if len(sources) == 1:
            where = f"input {name!r}" if sources[0] == name else f"input {name!r}, column {sources[0]!r}"
            columns[name] = _fitted(table[sources[0]], where, tensor)
        else:
            columns[name] = _stacked({source: table[source] for source in sources}, rows, name, tensor)
    return Batch(columns, rows)


def is_numeric(cells: Any) -> bool:
    """Whether cells (or one value) are integers or floats."""
    match None if is_frame(cells) else library(cells):
        case Kind.PANDAS:
            from foretell.forms.pandas_form import numeric
        case Kind.POLARS:
            from foretell.forms.polars_form import numeric
        case Kind.ARROW:
            from foretell.forms.arrow_form import numeric
        case _:
            return _numeric_values(cells)
    return numeric(cells)


def _numeric_values(cells: Any) -> bool:
    while isinstance(cells, (list, tuple)):
        cells = next((cell for cell in cells if cell is not None), None)
    if isinstance(cells, (np.ndarray, np.generic)) and cells.dtype.kind != "O":
        return cells.dtype.kind in "iuf"
    if isinstance(cells, np.ndarray):
        return _numeric_values(cells.tolist())
    return isinstance(cells, (int, float)) and not isinstance(cells, bool)


def _check_length(cells: Any, rows: int, name: str) -> None:
    try:
        length = len(cells)
    except TypeError:
        length = -1
    if length != rows or isinstance(cells, (str, bytes)):
        got = f"{length} rows" if length >= 0 and not isinstance(cells, (str, bytes)) else "a single value"
        raise InvalidInput(f"column {name!r} has another length", expected=f"{rows} rows as in the first column",
                           got=got, fix="give every column the same length")  # fmt: skip


def _stacked(table: Table, rows: int, name: str, tensor: TensorSpec | None) -> Column:
    """Several columns side by side as the rows of one input."""
    at_once = _arrow_columns(list(table.values()), tensor)
    if at_once is not None:
        return at_once
    element = TensorSpec(name, tensor.datatype if tensor else None, ())
    columns = [_fitted(cells, f"column {source!r}", element) for source, cells in table.items()]
    width = len(columns)
    masks = [column.valid for column in columns if column.valid is not None]
    mask = np.logical_and.reduce(masks) if masks else None
    shape = tensor.shape if tensor and tensor.shape and tensor.width == width else (width,)
    row_shape = tuple(size for size in shape if size is not None)
    if all(isinstance(column, Bytes) for column in columns):
        by_column = [column.items() for column in columns if isinstance(column, Bytes)]
        made = Bytes.of([item for row in zip(*by_column, strict=True) for item in row], row_shape)
        return Bytes(made.offsets, made.data, row_shape, mask)
    arrays = [column.data for column in columns if isinstance(column, Dense) and column.data.ndim == 1]
    if len(arrays) != width or len({array.dtype.kind == "b" for array in arrays}) != 1:
        raise InvalidInput(f"the columns of input {name!r} differ in kind", expected="columns of one kind",
                           got=", ".join(map(_described, columns)), fix="give one tensor per kind")  # fmt: skip
    data = np.empty((rows, width), np.result_type(*arrays))
    for position, array in enumerate(arrays):
        data[:, position] = array
    return Dense(data.reshape(rows, *row_shape), mask)


def _arrow_columns(columns: Sequence[Any], tensor: TensorSpec | None) -> Column | None:
    """Arrow columns that are what the model takes as they are, copied once; None where they need more than that."""
    if tensor is None or tensor.datatype is None or library(columns[0]) is not Kind.ARROW:
        return None
    if tensor.shape != (len(columns),) or any(library(column) is not Kind.ARROW for column in columns):
        return None
    from foretell.forms.arrow_form import side_by_side

    return _as_is(side_by_side(columns), tensor.datatype)


def _of_record(record: Record, sources: Sequence[str], tensor: TensorSpec | None) -> Column | None:
    """The same for columns of a record batch, of which none has to be made."""
    if tensor is None or tensor.datatype is None or tensor.shape != (len(sources),):
        return None
    from foretell.forms.arrow_form import numbers_of

    return _as_is(numbers_of(record, sources), tensor.datatype)


def _as_is(made: Array | None, datatype: DataType) -> Column | None:
    fits = made is not None and made.dtype == datatype.numpy and datatype is not DataType.BF16
    return Dense(made) if fits and made is not None else None


def _fitted(cells: Any, where: str, spec: TensorSpec | None) -> Column:
    """The cells as the model takes them. A data frame's flags are 0 and 1 to a model of floats, as to who fitted it."""
    raw = read(cells, where, spec)
    if wants_float(spec) and library(cells) is not None and not isinstance(raw.data, Bytes):
        raw = replace(raw, data=raw.data.astype(np.float32)) if raw.data.dtype.kind == "b" else raw
    return fit(raw, where, spec)


def _described(column: Column) -> str:
    if not isinstance(column, Dense):
        return "strings" if isinstance(column, Bytes) else "lists"
    datatype = DataType.of(column.data.dtype)
    return (datatype.value if datatype else "?") + (str(list(column.row_shape)) if column.row_shape else "")
