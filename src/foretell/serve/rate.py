"""How often somebody may ask: token buckets."""

from __future__ import annotations

import math
from dataclasses import dataclass

LEAST_RATE, MOST_RATE = 1e-6, 1e9
_ROUNDING = 1e-14


@dataclass(frozen=True, slots=True)
class Rate:
    """`per_s` requests each second in the long run (1e-6 to 1e9), and up to `burst` at once after a rest."""

    per_s: float
    burst: int

    def share(self, of: int) -> Rate:
        """The part of one of so many that share it. A burst is at least one request, or nobody would ever get in."""
        return Rate(self.per_s / of, max(1, -(-self.burst // of)))

    @classmethod
    def of(cls, per_s: float, burst: int | None) -> Rate:
        """Without a burst, what comes in one second may come at once."""
        return cls(per_s, max(1, math.ceil(per_s)) if burst is None else burst)


def take(full_at: float, rate: Rate, now: float) -> tuple[float, float]:
    """Takes one request from a bucket, if there is one in it.

    A bucket is the time at which it is full again (one that is full: any time until now), so that it needs no tending.
    Returns that time after this request, and the seconds until it may be tried again: 0 where it was taken.
    """
    after = max(full_at, now) + 1 / rate.per_s
    wait_s = after - now - rate.burst / rate.per_s
    if wait_s <= _ROUNDING * max(1.0, now, rate.burst / rate.per_s):
        return after, 0.0
    return full_at, wait_s


class Limiter:
    """The buckets of many callers who have the same rate.

    At most `most` are kept; beyond them, who has asked longest ago gets a full one.
    """

    def __init__(self, rate: Rate, most: int) -> None:
        self.rate = rate
        self._most = most
        self._full_at: dict[str, float] = {}

    def __len__(self) -> int:
        return len(self._full_at)

    def wait_s(self, caller: str, now: float, takes: bool = True) -> float:
        """0 where the request may come in, else the seconds until it may. Without `takes` it only looks."""
        if not takes:
            return take(self._full_at.get(caller, now), self.rate, now)[1]
        full_at, wait_s = take(self._full_at.pop(caller, now), self.rate, now)
        if len(self._full_at) >= self._most:
            del self._full_at[next(iter(self._full_at))]
        self._full_at[caller] = full_at
        return wait_s
