"""Rows asked one by one: where some fail together, or where what a row is filled up with changes its answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from foretell.backends.huggingface.tokens import MASK
from foretell.columns import Array, Batch, Column, Dense, Ragged, spread
from foretell.errors import ModelError, RowError
from foretell.padding import fill_value, filled

Ask = Callable[[Mapping[str, Array]], Mapping[str, Array]]
"""From arrays [rows, ...] to what the network says, [rows, ...]. Raises `ModelError`."""

FEATURES = "features"
"""The output that has a vector for each token."""

PER_TOKEN = frozenset({FEATURES, "class", "score", "start", "end", "kept"})
"""What is as long as its row."""


def answer_each(arrays: Mapping[str, Array], rows: int, ask: Ask) -> Batch:
    """Every row by a call of its own, without what it was filled up with; those that fail are errors of their own."""
    found, errors = {}, {}
    for row in range(rows):
        try:
            found[row] = ask(_own(arrays, row))
        except ModelError as error:
            errors[row] = RowError.of(error)
    if not found:
        return Batch({}, rows, errors)
    width = arrays[MASK].shape[1] if MASK in arrays else 0
    good = np.array(list(found), np.int64)
    columns: dict[str, Column] = {}
    for name in found[int(good[0])]:
        parts = [_longer(found[row][name], width if name in PER_TOKEN else 0) for row in found]
        columns[name] = spread(Dense(np.concatenate(parts)), good, rows)
    return Batch(columns, rows, errors)


def may_share(rows: Batch, pad: Mapping[str, float], ask: Ask, *, exact: bool) -> bool:
    """Whether each of `rows` has the same answer in a call with the others, filled up, as alone.

    Raises `ModelError` where a row has no answer even alone. `exact`: numbers are of 32 bits, not of 16.
    """
    together = {name: _together(column, pad.get(name, 0.0)) for name, column in rows.columns.items()}
    alone = [ask(_own(together, row)) for row in range(rows.rows)]
    try:
        shared = ask(together)
    except ModelError:
        return False
    return all(_near(each, array[row], exact=exact)
               for name, array in shared.items() for row, each in enumerate(a[name][0] for a in alone))  # fmt: skip


def _together(column: Column, value: float) -> Array:
    if isinstance(column, Ragged) and isinstance(column.values, Dense):
        return filled(column, fill_value("", value, None)).data
    if not isinstance(column, Dense):
        raise TypeError("strings are no numbers")
    return column.data


def _own(arrays: Mapping[str, Array], row: int) -> dict[str, Array]:
    """One row, without what fills it up: that stands behind it."""
    length = int(np.count_nonzero(arrays[MASK][row])) if MASK in arrays else None
    return {name: np.ascontiguousarray(array[row : row + 1, :length]) for name, array in arrays.items()}


def _near(alone: Array, shared: Array, *, exact: bool) -> bool:
    """Whether these differ by rounding only. `shared` may have more positions, of what it was filled up with."""
    shared = shared[: len(alone)] if alone.ndim > 1 else shared
    if shared.shape != alone.shape:
        return False
    size = float(np.abs(alone).max(initial=0.0))
    return bool(np.abs(alone - shared).max(initial=0.0) <= (1e-3 if exact else 0.1) * size)


def _longer(array: Array, width: int) -> Array:
    """[1, length, ...] with zeros behind, up to `width`."""
    if array.ndim < 2 or array.shape[1] >= width:
        return array
    made = np.zeros((1, width, *array.shape[2:]), array.dtype)
    made[:, : array.shape[1]] = array
    return made
