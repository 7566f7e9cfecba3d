"""Which rows of different length share a call: pure decisions, and what they have to know of the model's speed.

Rows that share a call are filled up to the longest of them, which costs time; a call of its own costs time too. Sizes
are in elements: what one row has of each input that is filled up, as a tuple.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from foretell.columns import Index
from foretell.engine.profile import Profile

Sizes = tuple[int, ...]

_UNKNOWN_SHARE = 0.25


class Lengths:
    """How many elements take as long as a call takes before it begins with them, learned from real calls.

    One writer, any number of readers.
    """

    def __init__(self) -> None:
        self._profile = Profile()

    def learn(self, elements: int, seconds: float) -> None:
        """A call took `seconds` for `elements`, those it was filled up with included."""
        self._profile.learn(elements, seconds)

    @property
    def overhead(self) -> float | None:
        """None while calls of one size only were seen; infinite where larger calls take no longer."""
        known = list(self._profile.table().items())
        if len(known) < 2:
            return None
        (few, quick_s), (many, slow_s) = known[0], known[-1]
        if many <= few or slow_s <= quick_s:
            return float("inf")
        return max(0.0, quick_s * (many - few) / (slow_s - quick_s) - few)


def most_padding(elements: int, overhead: float | None) -> float:
    """The most elements that a call of `elements` may be filled up with.

    As much as takes the time of another call: where lengths are spread evenly, no other limit makes all calls together
    shorter. Never more than the elements themselves, so that one long row cannot multiply the memory of many short
    ones.
    """
    return min(elements * _UNKNOWN_SHARE if overhead is None else overhead, elements)


class _Call:
    """Rows that share a call, while it is put together."""

    def __init__(self) -> None:
        self.rows = self.elements = 0
        self.longest: Sizes = ()

    def padding_with(self, sizes: Sizes, rows: int) -> tuple[int, int]:
        """What it would be filled up with, and its own elements, if `rows` rows of `sizes` came to it."""
        longest = self._longest_with(sizes)
        elements = self.elements + rows * sum(sizes)
        return (self.rows + rows) * sum(longest) - elements, elements

    def add(self, sizes: Sizes, rows: int) -> None:
        self.longest = self._longest_with(sizes)
        self.rows += rows
        self.elements += rows * sum(sizes)

    def _longest_with(self, sizes: Sizes) -> Sizes:
        return tuple(map(max, self.longest, sizes)) if self.longest else sizes

    def takes(self, sizes: Sizes, rows: int, overhead: float | None) -> bool:
        padding, elements = self.padding_with(sizes, rows)
        return not padding or padding <= most_padding(elements, overhead)


def companions(
    sizes: Sizes, rows: int, others: Sequence[tuple[Sizes, int]], free_rows: int, overhead: float | None
) -> list[int]:
    """Which of `others`, each so many rows of some sizes, join a call of `rows` rows of `sizes`; the nearest first.

    `free_rows`: how many more rows it takes.
    """
    call, chosen = _Call(), []
    call.add(sizes, rows)
    for at in sorted(range(len(others)), key=lambda at: abs(sum(others[at][0]) - sum(sizes))):
        if free_rows <= 0:
            break
        joining = min(others[at][1], free_rows)
        if call.takes(others[at][0], joining, overhead):
            call.add(others[at][0], joining)
            chosen.append(at)
            free_rows -= joining
    return chosen


def by_length(sizes: Index, max_rows: int, overhead: float | None) -> list[Index]:
    """The rows of each call, ascending. `sizes`: [rows, inputs].

    A row that has no elements of some input is never filled up: an answer to nothing but padding would not be the
    answer to that row.
    """
    distinct, which, counts = np.unique(sizes, axis=0, return_inverse=True, return_counts=True)
    members = np.split(np.argsort(which.reshape(-1), kind="stable"), np.cumsum(counts)[:-1])
    calls: list[list[Index]] = []
    call, alone = _Call(), True
    for row_sizes, rows in zip(distinct.tolist()[::-1], members[::-1], strict=True):
        known, empty = tuple(row_sizes), 0 in row_sizes
        while len(rows):
            fits = calls and not alone and not empty and call.rows < max_rows
            joining = min(len(rows), max_rows - call.rows) if fits else 0
            if not joining or not call.takes(known, joining, overhead):
                calls.append([])
                call, alone, joining = _Call(), empty, min(len(rows), max_rows)
            call.add(known, joining)
            calls[-1].append(rows[:joining])
            rows = rows[joining:]
    return [np.sort(np.concatenate(parts)) for parts in calls]
