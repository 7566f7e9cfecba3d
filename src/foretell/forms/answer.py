"""`Batch` -> the form that the question came in."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from foretell.columns import Array, Batch, Bytes, Column, Dense, Ragged
from foretell.forms.fit import bfloat16_floats
from foretell.forms.form import Form, Kind
from foretell.forms.rows import to_rows
from foretell.forms.values import to_numpy, to_python
from foretell.types import DataType, ModelSpec

BARE = "output"
"""The column of a data frame that holds an output without a name of its own."""


def from_batch(
    batch: Batch, intake_form: Form, *, single: bool, bare: bool = False, spec: ModelSpec | None = None
) -> object:
    """The answers in the form of the question, under the model's output names.

    List -> list of dicts; dict -> dict of lists, or of arrays where its columns were arrays; NumPy -> dict of arrays;
    pandas, Polars, Arrow -> a frame or table, vectors in one column, the index of pandas kept. `single`: a dict of
    values without the axis of rows (frames stay frames). `bare`: the one output's values without their name. Rows in
    `batch.errors` are null: NaN in an array of floats, None elsewhere. `spec` tells which outputs are BF16.
    """
    missing = sorted(batch.errors)
    columns = {name: _blanked(_decoded(name, c, spec), missing) for name, c in batch.columns.items()}
    bare = bare and len(columns) == 1
    if intake_form.kind in (Kind.PANDAS, Kind.POLARS, Kind.ARROW):
        named = {BARE: next(iter(columns.values()))} if bare else columns
        return _frame({name: _scalars(column) for name, column in named.items()}, missing, batch.rows, intake_form)
    arrays = intake_form.kind is Kind.NUMPY or intake_form.arrays
    cells: dict[str, Any] = {n: _array(c, missing) if arrays else _list(c, missing) for n, c in columns.items()}
    if single:
        cells = {name: values[0] for name, values in cells.items()}
    if bare:
        return next(iter(cells.values()))
    if intake_form.kind is Kind.LIST and not single:
        return to_rows(cells, batch.rows)
    return cells


def _frame(columns: Mapping[str, Column], missing: Sequence[int], rows: int, form: Form) -> object:
    if form.kind is Kind.PANDAS:
        from foretell.forms import pandas_form

        return pandas_form.frame(columns, missing, rows, form.index)
    if form.kind is Kind.POLARS:
        from foretell.forms import polars_form

        return polars_form.frame(columns, missing)
    from foretell.forms import arrow_form

    return arrow_form.to_table(columns, missing)


def _decoded(name: str, column: Column, spec: ModelSpec | None) -> Column:
    tensor = spec.output(name) if spec is not None else None
    if tensor is not None and tensor.datatype is DataType.BF16 and isinstance(column, Dense):
        return Dense(bfloat16_floats(column.data), column.valid)
    return column


def _blanked(column: Column, missing: Sequence[int]) -> Column:
    """The column with nulls at `missing`. Ragged columns have no place for them: their cells are set at the end."""
    if not missing or isinstance(column, Ragged):
        return column
    if isinstance(column, Dense) and column.data.dtype.kind == "f":
        data = column.data.copy()
        data[list(missing)] = np.nan
        return Dense(data, column.valid)
    valid = np.ones(len(column), np.bool_) if column.valid is None else column.valid.copy()
    valid[list(missing)] = False
    return Dense(column.data, valid) if isinstance(column, Dense) else Bytes(
        column.offsets, column.data, column.row_shape, valid
    )  # fmt: skip


def _scalars(column: Column) -> Column:
    """Rows of one value as that value."""
    if isinstance(column, Ragged) or not column.row_shape or math.prod(column.row_shape) != 1:
        return column
    if isinstance(column, Dense):
        return Dense(column.data.reshape(len(column)), column.valid)
    return Bytes(column.offsets, column.data, (), column.valid)


def _array(column: Column, missing: Sequence[int]) -> Array:
    cells = to_numpy(column)
    if isinstance(column, Ragged):
        for row in missing:
            cells[row] = None
    return cells


def _list(column: Column, missing: Sequence[int]) -> list[Any]:
    cells = to_python(column)
    for row in missing:
        cells[row] = None
    return cells
