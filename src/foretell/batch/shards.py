"""How a data set is cut into shards: pure decisions over sizes, the same on every machine and in every run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

_ROWS = 131_072
_BYTES = 16 * 2**20
MOST_SHARDS = 10_000
_FIRST_SHARE, _FIRST_LEAST = 16, 128
_FEW_SHARDS = 16
_FEW_ROWS, _LITTLE_ROWS = 2048, 512
"""Of little data a shard has fewer rows, so that there is work for many processes and what is lost with one of them is
a small part, however slow the model is. How slow it is does not decide: every run cuts alike."""


@dataclass(frozen=True, slots=True)
class InputFile:
    """One input as it was when the job was planned. `stamp` changes when the content does."""

    path: str
    size: int
    stamp: str


@dataclass(frozen=True, slots=True)
class Shard:
    """A part of one input that is read, scored and committed as one.

    `start`, `stop`: what of `file` (a number in the list of inputs), in the source's own unit: rows, bytes or files.
    `first_row`: the number of its first row in that file; `rows`: how many it has, None where only reading tells.
    `lines`: how many lines of the file end before it, where rows stand in lines.
    """

    index: int
    file: int
    start: int
    stop: int
    first_row: int
    rows: int | None = None
    lines: int = 0


@dataclass(frozen=True, slots=True)
class ShardSize:
    """How large shards are meant to be: whichever limit comes first."""

    rows: int = _ROWS
    bytes: int = _BYTES

    def for_data(self, total_rows: int | None, total_bytes: int) -> ShardSize:
        """Larger where a large data set would have too many shards for one folder, smaller where there is little."""
        most = replace(self, bytes=max(self.bytes, total_bytes // MOST_SHARDS))
        if total_rows is None:
            return most
        few = min(self.rows, max(_FEW_ROWS, total_rows // _FEW_SHARDS))
        return replace(most, rows=max(few, total_rows // MOST_SHARDS))

    def rows_of(self, row_bytes: float) -> int:
        """Rows of one shard where a row has about so many bytes."""
        return max(1, min(self.rows, int(self.bytes / max(1.0, row_bytes))))


def cut(rows: int, most: int, *, first: bool = False) -> Iterator[tuple[int, int]]:
    """`rows` rows in pieces of at most `most`, as equal as they can be.

    With `first`, the first piece is small, so that a job has something to show soon: where there are thousands of rows
    in a piece, a few hundred are small enough as they are.
    """
    start, little = 0, _LITTLE_ROWS if most >= _FEW_ROWS else 0
    if first and rows > max(little, most // _FIRST_SHARE) and most >= _FIRST_SHARE:
        start = max(most // _FIRST_SHARE**2, min(most // _FIRST_SHARE, _FIRST_LEAST))
        yield 0, start
    pieces = -(-(rows - start) // most)
    for piece in range(pieces):
        left, right = ((rows - start) * at // pieces + start for at in (piece, piece + 1))
        yield left, right


def numbered(shards: Sequence[Shard]) -> list[Shard]:
    """The same, numbered in order."""
    return [replace(shard, index=index) for index, shard in enumerate(shards)]


def joined_groups(groups: Sequence[int], most: int) -> Iterator[tuple[int, int]]:
    """Consecutive groups of rows as ranges of rows: small neighbours together, while they have at most `most` rows."""
    start = stop = 0
    for rows in groups:
        if stop > start and stop + rows - start > most:
            yield start, stop
            start = stop
        stop += rows
    if stop > start:
        yield start, stop
