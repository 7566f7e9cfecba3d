"""How many rows a call may have so that its process stays within its share of memory: pure decisions."""

from __future__ import annotations

_FIRST_ROWS = 16
_GROWTH = 4
_USED = 0.8
"""Of what is left: rows of later calls may be larger than those that were seen."""


class Room:
    """Learns from calls what a row takes, and begins with few rows where memory is scarce.

    `limit`: bytes that the process may have; `begun`: those that it had before its first call; `most`: rows that no
    call goes beyond.
    """

    def __init__(self, limit: int, begun: int, most: int, *, scarce: bool) -> None:
        self.limit, self._begun, self._most = limit, begun, most
        self._row_bytes, self._largest = 0.0, 0
        self.rows = min(most, _FIRST_ROWS) if scarce else most
        """The most rows of the next call."""

    def saw(self, rows: int, peak: int) -> bool:
        """Calls of up to `rows` rows took the process to `peak` bytes. Whether `rows` of the next call is another."""
        before = self.rows
        taken = (peak - self._begun) / max(1, rows)
        if rows > self._largest:
            # What a process takes once, whatever rows come, weighs the less the more rows a call has.
            self._largest, self._row_bytes = rows, taken
        elif rows == self._largest or peak > self.limit:
            self._row_bytes = max(self._row_bytes, taken)
        if peak > self.limit:
            self.rows = max(1, min(self._fitting(rows), rows // 2))
        elif rows >= self.rows:
            self.rows = max(self.rows, self._fitting(min(self._most, self.rows * _GROWTH)))
        return self.rows != before

    def _fitting(self, most: int) -> int:
        left = (self.limit - self._begun) * _USED
        return most if self._row_bytes <= 0 else max(1, min(most, int(left / self._row_bytes)))
