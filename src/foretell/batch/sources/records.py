"""Where the records of a text end. In CSV a quoted cell may hold line ends; which quotes count, their parity tells."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass

import numpy as np

from foretell.columns import Array, Index, Mask

_LF, _CR, _QUOTE = 10, 13, 34


@dataclass(frozen=True, slots=True, eq=False)
class Records:
    """The records that are whole in some bytes, the first of which begins at 0.

    `ends`: where each ends, its line end included. `blank`: which of them hold nothing, and are no rows. `regular`:
    every quote and every CR stands where RFC 4180 has it, so that all readers agree on what is there.
    """

    ends: Index
    blank: Mask
    regular: bool

    @property
    def row_starts(self) -> Index:
        return self.starts[~self.blank]

    @property
    def row_ends(self) -> Index:
        return self.ends[~self.blank]

    def head(self, rows: int) -> Records:
        """The same up to the last of so many rows."""
        if len(self.ends) <= rows or len(ends := self.row_ends) <= rows:
            return self
        count = int(np.searchsorted(self.ends, ends[rows - 1])) + 1
        return Records(self.ends[:count], self.blank[:count], self.regular)

    @property
    def starts(self) -> Index:
        return np.concatenate([np.zeros(1, np.int64), self.ends[:-1]]) if len(self.ends) else self.ends


def find_records(data: bytes, *, final: bool, delimiter: bytes | None, keep_blank: bool = False) -> Records:
    """The records of `data`; with `final`, what stands behind the last line end is one, too.

    `delimiter`: of the cells of CSV; None where quotes mean nothing, and then a line of white space is blank.
    `keep_blank`: lines that hold nothing are rows.
    """
    array = np.frombuffer(data, np.uint8)
    ends, regular = _ends(data, array, final, delimiter)
    if final and len(data) > (int(ends[-1]) if len(ends) else 0):
        ends = np.append(ends, len(data))
    regular = regular and data.count(b"\r") == data.count(b"\r\n")
    blank = np.zeros(len(ends), np.bool_)
    if not keep_blank and len(ends):
        blank = _blank(data, array, ends) if delimiter is not None else _white(data, array, ends)
    return Records(ends, blank, regular)


def _ends(data: bytes, array: Array, final: bool, delimiter: bytes | None) -> tuple[Index, bool]:
    lines = np.flatnonzero(array == _LF).astype(np.int64)
    if delimiter is None or b'"' not in data:
        return lines + 1, True
    quotes = np.flatnonzero(array == _QUOTE)
    if not _are_regular(array, quotes, delimiter[0]):
        return _walked(data, delimiter), False
    outside = np.searchsorted(quotes, lines) % 2 == 0
    return lines[outside] + 1, not (final and len(quotes) % 2)


def _are_regular(array: Array, quotes: Index, delimiter: int) -> bool:
    """Whether every second quote opens a cell, or doubles the one before, and every other ends one."""
    opening, closing = quotes[0::2], quotes[1::2]
    before = array[opening[opening > 0] - 1]
    after = array[closing[closing + 1 < len(array)] + 1]
    opens = (before == delimiter) | (before == _LF) | (before == _QUOTE)
    ends = (after == delimiter) | (after == _LF) | (after == _CR) | (after == _QUOTE)
    return bool(opens.all() and ends.all())


def _walked(data: bytes, delimiter: bytes) -> Index:
    """The same for quotes that stand anywhere: cell by cell. A cell is quoted where it begins with a quote."""
    pattern, ends, at = _pattern(delimiter), [], 0
    while (found := pattern.match(data, at)) is not None:
        at = found.end()
        ends.append(at)
    return np.array(ends, np.int64)


@functools.lru_cache(maxsize=8)
def _pattern(delimiter: bytes) -> re.Pattern[bytes]:
    mark = re.escape(delimiter)
    rest = rb"[^" + mark + rb"\n]*+"
    cell = rb'(?:"[^"]*+(?:""[^"]*+)*+"' + rest + rb'|(?!")' + rest + rb")"
    return re.compile(cell + rb"(?:" + mark + cell + rb")*+\n")


def _blank(data: bytes, array: Array, ends: Index) -> Mask:
    starts = np.concatenate([np.zeros(1, np.int64), ends[:-1]])
    lengths = ends - starts
    blank = (lengths == 1) & ((array[starts] == _LF) | (array[starts] == _CR))
    two = np.flatnonzero(lengths == 2)
    blank[two] = (array[starts[two]] == _CR) & (array[starts[two] + 1] == _LF)
    return np.asarray(blank)


def _white(data: bytes, array: Array, ends: Index) -> Mask:
    starts = np.concatenate([np.zeros(1, np.int64), ends[:-1]])
    blank = np.zeros(len(ends), np.bool_)
    for record in np.flatnonzero(array[starts] <= 32).tolist():
        blank[record] = not data[starts[record] : ends[record]].strip()
    return blank
