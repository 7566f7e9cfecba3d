"""The answers of many rows, and how far two ways of asking for them are apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from foretell.demo.task import Array

Answers = Mapping[str, Array]
"""Each output with all its rows: floats as float64, everything else as objects."""


@dataclass(frozen=True, slots=True)
class Difference:
    """`largest`: of all numbers of all rows. `rows`: how many rows have another label."""

    largest: float
    rows: int


def gather(answers: Any) -> Answers:
    """From a dict of columns, or a list with a dict for each row."""
    if isinstance(answers, Mapping):
        return {name: _column(values) for name, values in answers.items()}
    return {name: _column([row[name] for row in answers]) for name in answers[0]}


def compare(reference: Answers, other: Answers) -> Difference:
    """Over all outputs. Outputs that are missing or of another shape make every row differ."""
    rows = max(len(column) for column in reference.values())
    if {n: c.shape for n, c in reference.items()} != {n: c.shape for n, c in other.items()}:
        return Difference(float("inf"), rows)
    largest, differing = 0.0, np.zeros(rows, np.bool_)
    for name, column in reference.items():
        if column.dtype.kind == "f":
            largest = max(largest, _furthest(column, other[name]))
        else:
            differing |= (column != other[name]).reshape(rows, -1).any(axis=1)
    return Difference(largest, int(differing.sum()))


def _furthest(one: Array, other: Array) -> float:
    """Equal infinities are no distance, two NaNs in one place are none, and one NaN is as far as can be."""
    apart = ~((one == other) | (np.isnan(one) & np.isnan(other)))
    return float(np.max(np.nan_to_num(np.abs(one[apart] - other[apart]), nan=np.inf), initial=0.0))


def _column(values: Array | Sequence[object]) -> Array:
    column = np.array(values)
    return column.astype(np.float64 if column.dtype.kind == "f" else object)
