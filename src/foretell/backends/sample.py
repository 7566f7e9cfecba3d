"""Rows to try a model with that nobody has given rows for."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np

from foretell.columns import Array, Batch, Dense
from foretell.types import DataType, ModelSpec, TensorSpec

_FREE_SIZES = (32, 4, 224)
"""Tried in turn for sizes that are free."""
_MOST_ELEMENTS = 2**22
_WHOLE = (1000, 2)
"""Below what whole numbers are, tried in turn: some are places in a table."""
_MASK = "mask"


def sample(spec: ModelSpec, answer: Callable[[Batch], Batch], rows: int) -> Batch | None:
    """`rows` rows of seeded noise that the model answers with finite numbers, or None where there is none to be found.

    Inputs whose name tells that they are masks hold ones.
    """
    for inputs in _guesses(spec, rows):
        try:
            found = answer(inputs)
        except Exception:  # a guess need not be an input that this model takes
            continue
        if not found.errors and all(_finite(column) for column in found.columns.values()):
            return inputs
    return None


def _guesses(spec: ModelSpec, rows: int) -> Iterator[Batch]:
    inputs = spec.inputs or ()
    if not inputs or any(each.shape is None or each.datatype in (None, DataType.BYTES) for each in inputs):
        return
    free = any(size is None for each in inputs for size in each.shape or ())
    for size in _FREE_SIZES if free else (0,):
        for most in _WHOLE if any(each.datatype.is_integer for each in inputs if each.datatype) else (0,):
            made = {each.name: _noise(each, rows, size, most) for each in inputs}
            if all(array is not None for array in made.values()):
                yield Batch({name: Dense(array) for name, array in made.items() if array is not None}, rows)


def _noise(spec: TensorSpec, rows: int, size: int, most: int) -> Array | None:
    shape = (rows, *(size if each is None else each for each in spec.shape or ()))
    if math.prod(shape) > _MOST_ELEMENTS or spec.datatype is None:
        return None
    rng = np.random.default_rng(0)
    if spec.datatype is DataType.BOOL or _MASK in spec.name.lower():
        return np.ones(shape, spec.datatype.numpy)
    if spec.datatype is DataType.BF16:
        return (rng.standard_normal(shape, np.float32).view(np.uint32) >> 16).astype(np.uint16)
    if spec.datatype.is_float:
        return rng.standard_normal(shape, np.float32).astype(spec.datatype.numpy)
    return rng.integers(0, min(most, np.iinfo(spec.datatype.numpy).max), shape).astype(spec.datatype.numpy)


def _finite(column: object) -> bool:
    if not isinstance(column, Dense) or column.data.dtype.kind != "f":
        return True
    return bool(np.isfinite(column.data).all())
