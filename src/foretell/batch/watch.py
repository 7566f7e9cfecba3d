"""A process that scores looks at its own memory, and makes calls smaller before it runs out."""

from __future__ import annotations

import time

from foretell.batch.call_size import CallSize
from foretell.batch.room import Room
from foretell.batch.vitals import Peak, proportional_bytes

_LOOK_S = 0.25


class Watch:
    """One thread calls it, but for `allow`."""

    def __init__(self, size: CallSize, limit: int, *, scarce: bool) -> None:
        """`limit`: bytes that this process may have. Where `scarce`, calls begin with few rows."""
        self._size, self._peak = size, Peak()
        self._room = Room(limit, proportional_bytes() or 0, size.rows, scarce=scarce)
        self._next = 0.0
        size.limit(self._room.rows)
        self._peak.read()

    def allow(self, limit: int) -> None:
        """From now on it may have so many bytes."""
        self._room.limit = limit

    def after(self, rows: int) -> None:
        """A call of `rows` rows has ended."""
        now = time.monotonic()
        if now < self._next:
            return
        peak = self._peak.read()
        if peak is None:
            return
        changed = self._room.saw(rows, peak)
        if changed:
            self._size.limit(self._room.rows)
        self._next = 0.0 if changed else now + _LOOK_S
