"""Rows on their way through a job."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from foretell.columns import Batch, Mask
from foretell.errors import RowError
from foretell.forms.cells import Cells, take
from foretell.forms.chunking import cut
from foretell.forms.record import Record


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


@dataclass(frozen=True, slots=True)
class Scored:
    """Rows that have an answer, in order: what they are known by, and their answer."""

    keys: Mapping[str, Cells]
    answer: Batch

    @property
    def rows(self) -> int:
        return self.answer.rows
