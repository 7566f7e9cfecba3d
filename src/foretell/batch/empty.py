"""No rows at all, with the columns that an output would have."""

from __future__ import annotations

import numpy as np

from foretell.batch.block import Scored
from foretell.batch.job import ROW, Plan
from foretell.batch.sources.csv_arrow import text_cells
from foretell.batch.sources.jsonl import null_cells
from foretell.batch.sources.source import Source
from foretell.columns import Batch, Bytes, Column, Dense
from foretell.forms.cells import Cells
from foretell.types import DataType, ModelSpec, TensorSpec


def no_rows(plan: Plan, source: Source, outputs: ModelSpec) -> Scored | None:
    """None where the data or the model tell only row by row what a column holds. `outputs`: as they are written."""
    keys: dict[str, Cells] = {}
    for name in plan.keys:
        cells = _cells(plan, source, name)
        if cells is None:
            return None
        keys[name] = cells
    columns: dict[str, Column] = {}
    for tensor in outputs.outputs or ():
        column = _column(tensor)
        if column is None:
            return None
        columns[tensor.name] = column
    return Scored(keys, Batch(columns, 0)) if columns else None


def _cells(plan: Plan, source: Source, name: str) -> Cells | None:
    if plan.row_numbers:
        return np.arange(0) if name == ROW else text_cells([])
    return null_cells(0, plan.folders[name]) if name in plan.folders else source.empty(name)


def _column(tensor: TensorSpec) -> Column | None:
    if tensor.datatype is None or tensor.shape is None:
        return None
    shape = tuple(1 if size is None else size for size in tensor.shape)
    if tensor.datatype is DataType.BYTES:
        return Bytes(np.zeros(1, np.int64), np.zeros(0, np.uint8), shape)
    return Dense(np.zeros((0, *shape), tensor.datatype.numpy))
