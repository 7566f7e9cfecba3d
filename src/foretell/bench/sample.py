"""Rows to measure with, where nobody gave any."""

from __future__ import annotations

import math

import numpy as np

from foretell.columns import Batch, Bytes, Column, Dense
from foretell.errors import InvalidInput
from foretell.types import DataType, ModelSpec, TensorSpec

_FREE = 16
"""Values along a free size."""
_TEXTS = (b"fine", b"not what I had hoped for", b"I would buy it again, and so would my mother", b"broken")


def sample(spec: ModelSpec, rows: int, seed: int = 0) -> Batch:
    """Rows that fit the inputs: numbers around 0, whole numbers 0 and 1, short texts.

    Raises `InvalidInput` where the inputs are not known.
    """
    random = np.random.default_rng(seed)
    if not spec.inputs or any(tensor.datatype is None or tensor.shape is None for tensor in spec.inputs):
        fix = "give rows with --data"
        raise InvalidInput("the model does not tell its inputs, so that no rows can be made up", fix=fix)
    return Batch({tensor.name: _column(tensor, rows, random) for tensor in spec.inputs}, rows)


def _column(tensor: TensorSpec, rows: int, random: np.random.Generator) -> Column:
    shape = tuple(_FREE if size is None else size for size in tensor.shape or ())
    kind = tensor.datatype or DataType.FP32
    if kind is DataType.BYTES:
        count = rows * math.prod(shape)
        return Bytes.of([_TEXTS[at % len(_TEXTS)] for at in range(count)], shape)
    if kind is DataType.BF16:
        return Dense(random.choice(np.array([0, 0x3F80, 0xBF80], np.uint16), (rows, *shape)))
    if kind.is_float:
        return Dense(random.standard_normal((rows, *shape)).astype(kind.numpy))
    return Dense(random.integers(0, 2, (rows, *shape)).astype(kind.numpy))
