"""Rows on their way through a job."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from foretell.columns import Batch, Index, Mask
from foretell.errors import RowError
from foretell.forms.chunking import cut
from foretell.forms.form import Kind, library
from foretell.forms.record import Record

Cells = Any
"""The cells of one column: an Arrow array, a NumPy array or a list."""


@dataclass(frozen=True, slots=True)
class Block:
    """Consecutive rows that were read. `first_row`: the number of the first of them in its file.

    `bad`: rows that could not be read, by their number in the block, and why; their cells mean nothing. `set_aside`:
    bool, True for rows that nobody asks for; None where there are none.
    """

    columns: Mapping[str, Cells]
    rows: int
    file: int
    first_row: int
    bad: Mapping[int, RowError] = field(default_factory=dict)
    set_aside: Mask | None = None

    def slice(self, start: int, stop: int) -> Block:
        if start == 0 and stop == self.rows:
            return self
        bad = {row - start: error for row, error in self.bad.items() if start <= row < stop}
        columns: Mapping[str, Cells]
        if isinstance(self.columns, Record):
            columns = self.columns.slice(start, stop)
        else:
            columns = {name: cut(cells, start, stop) for name, cells in self.columns.items()}
        aside = None if self.set_aside is None else self.set_aside[start:stop]
        return Block(columns, stop - start, self.file, self.first_row + start, bad, aside)

    def take(self, rows: Sequence[int]) -> dict[str, Cells]:
        """The columns with these rows only."""
        chosen = np.asarray(rows, np.int64)
        return {name: take(cells, chosen) for name, cells in self.columns.items()}


def take(cells: Cells, rows: Index) -> Cells:
    """The cells of some rows."""
    if library(cells) is Kind.ARROW:
        return cells.take(rows)
    if isinstance(cells, np.ndarray):
        return cells[rows]
    return [cells[row] for row in rows.tolist()]


def plain_value(value: Any) -> Any:
    """A cell as a value of JSON."""
    value = value.item() if isinstance(value, np.generic) else value
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)


@dataclass(frozen=True, slots=True)
class Scored:
    """Rows that have an answer, in order: what they are known by, and their answer."""

    keys: Mapping[str, Cells]
    answer: Batch

    @property
    def rows(self) -> int:
        return self.answer.rows
