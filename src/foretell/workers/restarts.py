"""When a worker that died is started again."""

from __future__ import annotations

from foretell.clock import Clock

_FIRST_S = 0.1
_LONGEST_S = 30.0
_WELL_AFTER_S = 60.0


class Restarts:
    """Of one worker: at once after its first death, later and later while it keeps dying.

    0, 0.1, 0.2, 0.4, ... 30 seconds; a worker that lived a minute begins anew.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._started = clock.monotonic()
        self._deaths = 0
        self.total = 0
        """How often it died."""

    def started(self) -> None:
        self._started = self._clock.monotonic()

    def died(self) -> float:
        """Seconds to wait before it is started again."""
        if self._clock.monotonic() - self._started >= _WELL_AFTER_S:
            self._deaths = 0
        self._deaths += 1
        self.total += 1
        if self._deaths == 1:
            return 0.0
        doublings = min(self._deaths - 2, 16)  # far beyond the longest wait, and far from a number that overflows
        return float(min(_FIRST_S * 2**doublings, _LONGEST_S))
