"""Whether an input is one row or rows: the one rule, as decisions over ranks."""

from __future__ import annotations

from typing import Any

import numpy as np

from foretell.errors import InvalidInput
from foretell.forms.form import is_frame, library
from foretell.forms.sequences import MAX_AXES
from foretell.types import TensorSpec


def rank(value: Any) -> int:
    """The number of axes of a value: 0 for a number or a string, 1 for a flat list or array, and so on."""
    axes = 0
    # The limit ends a list that contains itself; reading it is refused later, with a sentence.
    while axes <= MAX_AXES and isinstance(value, (list, tuple, range)):
        axes += 1
        value = next((item for item in value if item is not None), None)

    if isinstance(value, np.ndarray) and value.dtype.kind == "O" and value.size:
        return axes + value.ndim + rank(value.flat[0] if value.ndim else value.item())
    return axes + _rank_of_leaf(value)


def _rank_of_leaf(value: Any) -> int:
    if library(value) is not None:
        return 2 if is_frame(value) else 1 if hasattr(value, "__len__") else 0
    axes = getattr(value, "ndim", None)
    return axes if isinstance(axes, int) else 0


def is_one_row(value: Any, tensor: TensorSpec | None, where: str, parts: int = 1) -> bool:
    """True for one row of `tensor`, False for rows of it. `parts`: how many columns make up the row together.

    Raises `InvalidInput` where the rank is that of neither.
    """
    axes = rank(value)
    if library(value) is not None and axes:
        return False
    if axes == 1 and len(value) == 0:
        return False
    shape = () if parts > 1 else tensor.shape if tensor is not None else None
    if shape is None:
        return axes == 0
    if shape == (1,) and axes <= 1:
        return axes == 0
    if axes in (len(shape), len(shape) + 1):
        return axes == len(shape)
    described = tensor.describe() if tensor is not None and parts == 1 else "a value, or a column of values"
    raise InvalidInput(
        "wrong rank",
        where=where,
        expected=f"{described}, or one row of it" if parts == 1 else described,
        got=f"{axes} axes" if axes != 1 else "1 axis",
        fix="add or remove an axis",
    )


def one_row(value: Any) -> Any:
    """The same value with an axis of rows in front."""
    if isinstance(value, np.ndarray):
        return value[np.newaxis]
    return [value]
