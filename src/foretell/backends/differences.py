"""How far two answers to the same rows are apart."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from foretell.columns import Batch, Bytes, Column, Dense, Ragged


@dataclass(frozen=True, slots=True)
class Difference:
    largest: float
    within: bool


def largest_difference(expected: Batch, got: Batch, tolerance: float) -> Difference:
    """How far two answers to the same rows are apart; strings and whole numbers must be equal."""
    if set(expected.columns) != set(got.columns):
        return Difference(float("inf"), False)
    found = [_column_difference(column, got.columns[name], tolerance) for name, column in expected.columns.items()]
    return Difference(max((d.largest for d in found), default=0.0), all(d.within for d in found))


def _column_difference(expected: Column, got: Column, tolerance: float) -> Difference:
    if isinstance(expected, Dense) and isinstance(got, Dense) and expected.data.shape == got.data.shape:
        first, second = expected.data, got.data
        if first.dtype.kind != "f":
            same = bool(np.array_equal(first, second))
            return Difference(0.0 if same else float("inf"), same)
        finite = np.isfinite(first) & np.isfinite(second)
        gap = np.abs(first[finite].astype(np.float64) - second[finite])
        within = bool(np.allclose(first, second, rtol=tolerance, atol=tolerance, equal_nan=True))
        return Difference(float(gap.max(initial=0.0)), within)
    if isinstance(expected, Bytes) and isinstance(got, Bytes):
        same = expected.items() == got.items()
        return Difference(0.0 if same else float("inf"), same)
    if isinstance(expected, Ragged) and isinstance(got, Ragged) and np.array_equal(expected.lengths, got.lengths):
        return _column_difference(expected.values, got.values, tolerance)
    return Difference(float("inf"), False)
