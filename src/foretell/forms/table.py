"""A table of named columns, whatever library they come from, to a `Batch` by the mapping rules."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from foretell.columns import Array, Batch, Bytes, Column, Dense
from foretell.errors import InvalidInput
from foretell.forms.form import Kind, is_frame, library
from foretell.forms.mapping import Plan, Sort, plan
from foretell.forms.record import Record
from foretell.forms.values import to_column
from foretell.forms.words import Words
from foretell.types import DataType, ModelSpec, TensorSpec

Table = Mapping[str, Any]
"""Column name -> cells: anything that `to_column` reads."""


def plan_of(
    table: Table, spec: ModelSpec, mapping: Mapping[str, Sequence[str]] | None, ignore: Collection[str]
) -> Plan:
    """The mapping rules for `table`."""
    return plan(list(table), lambda name: sort_of(table[name]), spec, mapping, ignore)


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
            columns[name] = to_column(table[sources[0]], where=where, spec=tensor)
        else:
            columns[name] = _stacked({source: table[source] for source in sources}, rows, name, tensor)
    return Batch(columns, rows)


def sort_of(cells: Any) -> Sort:
    """What cells (or one value) are."""
    match None if is_frame(cells) else library(cells):
        case Kind.PANDAS:
            from foretell.forms.pandas_form import sort
        case Kind.POLARS:
            from foretell.forms.polars_form import sort
        case Kind.ARROW:
            from foretell.forms.arrow_form import sort
        case _:
            return _sort_of_values(cells)
    return sort(cells)


def _sort_of_values(cells: Any) -> Sort:
    if isinstance(cells, Words):
        cells = cells.values
    while isinstance(cells, (list, tuple)):
        cells = next((cell for cell in cells if cell is not None), None)
    if isinstance(cells, np.ndarray) and cells.dtype.kind == "O":
        return _sort_of_values(cells.tolist())
    if isinstance(cells, (np.ndarray, np.generic)):
        kind = cells.dtype.kind
        return "flag" if kind == "b" else "number" if kind in "iuf" else "other"
    if isinstance(cells, bool):
        return "flag"
    return "number" if isinstance(cells, (int, float)) else "other"


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
    columns = [to_column(cells, where=f"column {source!r}", spec=element) for source, cells in table.items()]
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
    if len(arrays) != width:
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


def _described(column: Column) -> str:
    if not isinstance(column, Dense):
        return "strings" if isinstance(column, Bytes) else "lists"
    datatype = DataType.of(column.data.dtype)
    return (datatype.value if datatype else "?") + (str(list(column.row_shape)) if column.row_shape else "")
