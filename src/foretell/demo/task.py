"""One model of the demo, with the rows it is asked and what is right for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class Task:
    """`rows`: axis 0 of an array, or a list of texts."""

    name: str
    model: str
    """What `Predictor` and `foretell predict` are given for it."""
    served_as: str
    """What `foretell serve` is given for it."""
    rows: Array | list[str]
    expected: Sequence[object]
    """The right label of each row, as the model names it."""
    held_out: Sequence[int]
    """The rows that the model was not trained on."""
    one: str
    """What a row is, for people: "image", "patient", "review"."""
    sample: Path
    """A file of rows for `foretell predict`."""
    rounds: int = 1
    """How often its rows are asked, so that a percentile has enough calls behind it."""

    @property
    def asked(self) -> int:
        """How many rows all rounds ask."""
        return len(self.rows) * self.rounds

    def accuracy(self, labels: Sequence[object]) -> float:
        """From the labels of all rows to the share of the held-out rows that is right."""
        return sum(labels[row] == self.expected[row] for row in self.held_out) / len(self.held_out)

    def first(self, count: int) -> Array | list[str]:
        """`count` rows; from the start again where there are not so many."""
        indices = [row % len(self.rows) for row in range(count)]
        return self.rows[indices] if isinstance(self.rows, np.ndarray) else [self.rows[row] for row in indices]
