"""A first call that nobody waits for."""

from __future__ import annotations

import numpy as np

from foretell.columns import Batch, Bytes, Column, Dense
from foretell.engine.replica import Replica
from foretell.errors import InferenceError
from foretell.types import DataType, ModelSpec

_MOST_ELEMENTS = 2**22


def warm_up(replica: Replica, sample: Batch) -> float | None:
    """Pays for first use; the seconds of a call of `sample`, or None where it has no answer."""
    try:
        return replica.warm_up(sample)
    except InferenceError:
        return None  # a row of zeros need not be a row that this model can answer; its first real call tells


def zeros(spec: ModelSpec) -> Batch | None:
    """One row of zeros, or None where the spec leaves a type or a size open, or the row is huge."""
    columns: dict[str, Column] = {}
    for tensor in spec.inputs or ():
        if tensor.datatype is None or tensor.width is None or tensor.shape is None:
            return None
        if tensor.width > _MOST_ELEMENTS:
            return None
        shape = tuple(size or 0 for size in tensor.shape)
        if tensor.datatype is DataType.BYTES:
            columns[tensor.name] = Bytes.of([b""] * tensor.width, shape)
        else:
            columns[tensor.name] = Dense(np.zeros((1, *shape), tensor.datatype.numpy))
    return Batch(columns, 1) if columns else None
