"""Whether a replica waits for its callers between two calls: which of both answers more rows is tried now and then."""

from __future__ import annotations

_CALLS, _SECONDS = 32, 0.1
"""Of a measurement, at the least."""
_SETTLES = 3
"""Calls after a change that tell nothing: their callers had not seen it."""
_HOPELESS = {6: 0.75, 24: 0.9}
"""A trial ends where, after so many calls, its rate is below this share of the rate before."""
_BETTER, _WORSE = 1.05, 0.95
_WINS = 2
_REST_S = 0.1
_FIRST, _LAST = 2, 32
"""Measurements between two trials."""
_LOST_RARER, _HOPELESS_RARER = 2, 4
"""How many times as long the next trial waits."""


class Pace:
    """Tries the other of two ways now and then, and takes it where it answered more rows in a second than the way
    before and after it, twice in a row. One thread.

    A replica may wait for a moment after a call, so that those who have just had their answers come back and share the
    next one: the best where a call costs the same whatever its rows. Or it goes on at once, with half of those who are
    there: while they are computed, the other half has its answers and comes back. That is the best where each row costs
    its time, and where the answers take longer than the call. The learned cost of half a batch does not tell which: it
    knows nothing of the answers, nor of the callers.
    """

    def __init__(self) -> None:
        self.waits = True
        """For its callers, after each call."""
        self._before: float | None = None
        """The rate before the trial that is under way."""
        self._tried: float | None = None
        """Its own, once it has ended and the rate after it is measured."""
        self._wins, self._interval, self._left = 0, _FIRST, _FIRST
        self._rate = _Rate(0.0)

    def ended(self, rows: int, now: float) -> None:
        """A call of `rows` has ended, at `now` (seconds of any clock)."""
        if now - self._rate.last > _REST_S:  # whoever has nothing to do does not tell how much it could
            self._rate = _Rate(now)
        rate, whole = self._rate.after(rows, now), self._rate.whole
        if rate is None:
            return
        if self._before is None:
            if whole:
                self._settled(rate, now)
        elif self._tried is not None:
            if whole:
                self._decide(self._before, self._tried, rate, now)
        elif whole:
            self._tried = rate
            self._change(now)
        elif rate < _HOPELESS.get(self._rate.calls, 0.0) * self._before:
            self._change(now)
            self._settle(rarer=_HOPELESS_RARER)

    def _settled(self, rate: float, now: float) -> None:
        """One measurement more of the way that is kept."""
        self._left -= 1
        if self._left > 0:
            self._rate = _Rate(now, settled=True)
        else:
            self._before = rate
            self._change(now)

    def _decide(self, before: float, tried: float, after: float, now: float) -> None:
        if tried <= _BETTER * max(before, after):
            self._settle(rarer=_LOST_RARER if tried < _WORSE * min(before, after) else 1)
            self._rate = _Rate(now, settled=True)
            return
        self._wins += 1
        self._before, self._tried = after, None
        self._change(now)
        if self._wins >= _WINS:
            self._interval = _FIRST
            self._settle(rarer=1)

    def _settle(self, rarer: int) -> None:
        """Keeps to the way that it is now, so many times as long as before."""
        self._before = self._tried = None
        self._wins = 0
        self._interval = min(_LAST, rarer * self._interval)
        self._left = self._interval

    def _change(self, now: float) -> None:
        self.waits = not self.waits
        self._rate = _Rate(now)


class _Rate:
    """Rows in a second, over some calls one after another."""

    def __init__(self, now: float, settled: bool = False) -> None:
        self.last = self._began = now
        self.calls = 0 if settled else -_SETTLES
        self._rows = 0

    @property
    def whole(self) -> bool:
        """Whether it is measured."""
        return self.calls >= _CALLS and self.last - self._began >= _SECONDS

    def after(self, rows: int, now: float) -> float | None:
        """The rate, once `rows` more have been answered; None where nothing can be said yet."""
        self.last = now
        self.calls += 1
        if self.calls <= 0:
            self._began = now
            return None
        self._rows += rows
        lasted_s = now - self._began
        return self._rows / lasted_s if lasted_s > 0.0 else None
