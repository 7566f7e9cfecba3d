"""Whole numbers that OpenVINO would cut: its plugin for processors computes all of them in 32 bits."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from foretell.columns import Array, Batch, Dense, Ragged
from foretell.errors import InvalidInput, RowError
from foretell.types import DataType, TensorSpec

_WIDE = frozenset({DataType.INT64, DataType.UINT32, DataType.UINT64})
_LEAST, _MOST = -(2**31), 2**31 - 1


def out_of_range(batch: Batch, inputs: Iterable[TensorSpec]) -> dict[int, RowError]:
    """The rows that hold a number of more than 32 bits."""
    errors: dict[int, RowError] = {}
    for spec in inputs:
        column = batch.columns.get(spec.name) if spec.datatype in _WIDE else None
        values = column.values if isinstance(column, Ragged) else column
        if not isinstance(values, Dense) or values.data.dtype.kind not in "iu" or _fits(values.data):
            continue
        elements = ((values.data < _LEAST) | (values.data > _MOST)).reshape(len(values.data), -1).any(axis=1)
        rows = np.flatnonzero(elements)
        if isinstance(column, Ragged):
            rows = np.searchsorted(column.offsets, rows, side="right") - 1
        message = f"input {spec.name!r}: the row holds a whole number of more than 32 bits, which OpenVINO cannot take"
        for row in rows.tolist():
            errors.setdefault(row, RowError(InvalidInput.code, f"{message}; run the model on onnxruntime"))
    return errors


def _fits(data: Array) -> bool:
    return not data.size or bool(data.min() >= _LEAST and data.max() <= _MOST)
