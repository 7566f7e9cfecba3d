"""Which version leaves memory when another needs its place. Only decides; `Room` does it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from foretell.repository.plan import Key

_LONGEST_STAY_S = 5.0
_BUSY_STAY_S = 1.0


@dataclass(frozen=True, slots=True)
class Resident:
    """A version in memory. Times in seconds of one clock."""

    key: Key
    used: float
    """When its last request came."""
    since: float
    """When it came into memory."""
    load_s: float
    """How long that took."""
    busy: bool
    """Whether it has requests that have not ended."""
    streams: bool = False
    """Whether one of these is a stream."""

    @property
    def quiet_until(self) -> float:
        """Until then it stays though nobody asks it at the moment: so long it was loaded for, up to 5 s."""
        return self.since + min(self.load_s, _LONGEST_STAY_S)

    @property
    def busy_until(self) -> float:
        """Until then it stays while it is asked: for a second, or twice as long as it was loaded, up to 10 s."""
        return self.since + max(_BUSY_STAY_S, 2 * min(self.load_s, _LONGEST_STAY_S))


@dataclass(frozen=True, slots=True)
class Choice:
    """`key` leaves now; None: nobody does before `again_at`, or another one has nothing more to do."""

    key: Key | None = None
    again_at: float = math.inf


def choose(residents: Iterable[Resident], now: float, *, one_leaves: bool) -> Choice:
    """Of those that nobody asks at the moment, the one that was asked last the longest ago; else, of those that are
    asked all the time, the one that has been there longest, those with streams last.

    So a version that is always busy keeps nobody out for ever. `one_leaves`: one that is busy leaves already, and
    makes place when its requests have ended; a second one is not disturbed.
    """
    known = list(residents)
    quiet = [one for one in known if not one.busy]
    rested = [one for one in quiet if now >= one.quiet_until]
    if rested:
        return Choice(min(rested, key=lambda one: one.used).key)
    busy = [] if one_leaves else [one for one in known if one.busy]
    served = [one for one in busy if now >= one.busy_until]
    if served:
        return Choice(min(served, key=lambda one: (one.streams, one.since)).key)
    times = [*(one.quiet_until for one in quiet), *(one.busy_until for one in busy)]
    return Choice(again_at=min(times, default=math.inf))
