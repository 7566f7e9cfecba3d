"""How long calls of a model take by their number of rows, learned from real calls."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_FALL = 0.2
_RISE = 0.12
_RECENT_RISE = 0.02
_MOST_BUCKETS = 64


class Profile:
    """Seconds per call by number of rows, kept in powers of two. One writer, any number of readers.

    A first call may have compiled, or have been put aside by the machine, and what another process learned may be of
    another day: what is doubted gives way at once to the first call that is faster.
    """

    def __init__(self) -> None:
        self._known: dict[int, tuple[float, float]] = {}
        self._doubted: set[int] = set()
        self.recent_s: float | None = None
        """What a call of any size usually takes lately. Falls fast and rises slowly: on a busy machine the thread is
        sometimes put aside in the middle of a call, which says nothing of the model."""

    @property
    def largest_rows(self) -> int:
        """About the most rows that were seen in one call; 0 before the first."""
        return round(self._known[max(self._known)][0]) if self._known else 0

    def learn(self, rows: int, seconds: float) -> None:
        bucket = rows.bit_length()
        known = self._known.get(bucket)
        if known is None:
            self._known = {**self._known, bucket: (float(rows), seconds)}
            self._doubted.add(bucket)
        elif bucket in self._doubted and seconds < known[1]:
            self._known[bucket] = float(rows), seconds
            self._doubted.discard(bucket)
        else:
            self._doubted.discard(bucket)
            rate = _FALL if seconds < known[1] else _RISE
            self._known[bucket] = known[0] + _FALL * (rows - known[0]), known[1] + rate * (seconds - known[1])
        if self.recent_s is None:
            self.recent_s = seconds
        else:
            rate = _FALL if seconds < self.recent_s else _RECENT_RISE
            self.recent_s += rate * (seconds - self.recent_s)

    def doubt(self, rows: int) -> None:
        """What calls of about so many rows take is asked anew."""
        if rows.bit_length() in self._known:
            self._doubted.add(rows.bit_length())

    def doubts(self, rows: int) -> bool:
        """Whether no call of about so many rows has ended since that was doubted."""
        return rows.bit_length() in self._doubted

    def call_s(self, rows: int) -> float | None:
        """Expected seconds of a call of `rows` rows: between the sizes seen by their line, beyond them as the last.

        None where nothing was seen.
        """
        known = self._known
        if not known:
            return None
        below = above = None
        for size, seconds in known.values():
            if size <= rows and (below is None or size > below[0]):
                below = size, seconds
            if size >= rows and (above is None or size < above[0]):
                above = size, seconds
        if below is None or above is None:
            nearest = below or above
            return nearest[1] if nearest else None
        if above[0] == below[0]:
            return below[1]
        return below[1] + (above[1] - below[1]) * (rows - below[0]) / (above[0] - below[0])

    def table(self) -> dict[int, float]:
        """Seconds by number of rows, as it was learned."""
        return {round(rows): seconds for rows, seconds in sorted(self._known.values())}

    def restore(self, table: Mapping[Any, Any]) -> None:
        """Takes up what `table` told in an earlier process; what is no such table is left alone."""
        known = {}
        for rows, seconds in list(table.items())[:_MOST_BUCKETS]:
            count = int(rows) if str(rows).isascii() and str(rows).isdigit() and len(str(rows)) < 10 else -1
            if count < 0 or not isinstance(seconds, (int, float)) or not 0 <= seconds < 1e6:
                return
            known[count.bit_length()] = float(count), float(seconds)
        if known:
            self._known, self._doubted = known, set(known)
            self.recent_s = min(seconds for _, seconds in known.values())
