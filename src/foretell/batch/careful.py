"""Which rows end a process, found in as few ends as can be: pure decisions.

A process that ends tells, by its board, the call that it was in. Calls over these rows are then made so small that the
next end names few of them, and the one after it a single one. A row that ends a process alone, as often as it may,
is left out from then on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

from foretell.errors import RowError

_SPLIT = 128


@dataclass(frozen=True, slots=True)
class Range:
    """Rows from `start` to `stop` of a shard's file, called at most `rows` at a time."""

    start: int
    stop: int
    rows: int


@dataclass(frozen=True, slots=True)
class Care:
    """What is known of the rows of one shard: where calls must be small, and which rows are left out. `in_turns`: one
    thing is done at a time, so that whatever ends a process is known."""

    ranges: tuple[Range, ...] = ()
    left_out: Mapping[int, RowError] = field(default_factory=dict)
    attempts: Mapping[int, int] = field(default_factory=dict)
    in_turns: bool = False

    def after(self, first: int, rows: int, why: RowError, most_attempts: int) -> Care:
        """What is known once a call of `rows` rows from `first` on has ended its process."""
        if rows > 1:
            narrowed = Range(first, first + rows, max(1, rows // _SPLIT))
            return replace(self, ranges=(*self.ranges, narrowed))
        attempts = self.attempts.get(first, 0) + 1
        known = {**self.attempts, first: attempts}
        if attempts < most_attempts:
            return replace(self, attempts=known)
        told = RowError(why.code, why.message, attempts)
        return replace(self, left_out={**self.left_out, first: told}, attempts=known)


def calls(first: int, rows: int, most: int, ranges: Sequence[Range]) -> list[tuple[int, int]]:
    """`rows` rows from `first` on as calls [start, stop) of at most `most` rows, fewer where `ranges` say so.

    Calls never cross the border of a range; where ranges overlap, the one with the fewest rows holds.
    """
    if not ranges:
        return [(at, min(at + most, first + rows)) for at in range(first, first + rows, max(1, most))]
    edges = {first, first + rows}
    for each in ranges:
        edges |= {edge for edge in (each.start, each.stop) if first < edge < first + rows}
    borders = sorted(edges)
    made: list[tuple[int, int]] = []
    for left, right in pairwise(borders):
        few = min((each.rows for each in ranges if each.start <= left < each.stop), default=most)
        step = max(1, min(most, few))
        made += [(at, min(at + step, right)) for at in range(left, right, step)]
    return made
