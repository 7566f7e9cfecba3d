"""A first call that nobody waits for."""

from __future__ import annotations

import numpy as np

from foretell.columns import Batch, Bytes, Column, Dense
from foretell.config import ModelSettings
from foretell.engine.replica import Replica
from foretell.errors import InferenceError, Unavailable
from foretell.types import DataType, ModelSpec

_MOST_ELEMENTS = 2**22


def warm_up(replica: Replica, settings: ModelSettings, where: str) -> float | None:
    """Pays for first use, as the setting says; the seconds of a call of one row, or None where it has no answer.

    Raises `Unavailable` where the inputs are unknown and somebody asked for it.
    """
    wanted = settings.warm_up
    if not (replica.model.native if wanted is None else wanted):
        return None
    sample = zeros(replica.model.spec)
    if sample is None:
        if wanted:
            what = "warm_up needs inputs of known type and shape"
            raise Unavailable(what, where=where, fix="tell them (type hints, example), or leave warm_up out")
        return None
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
