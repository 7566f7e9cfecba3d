"""Into how many groups the callers of a replica are divided: what answers more rows is tried now and then."""

from __future__ import annotations

import math
import statistics

_CALLS, _SECONDS = 16, 0.015
_FEW_CALLS, _LONG_S = 4, 0.2
"""Of a measurement, at the least: many calls, or some long ones."""
_SETTLES = 3
"""Calls after a change that tell nothing: their callers had not seen it."""
_REST_S = 0.1
_FIRST, _LAST = 4, 192
"""Measurements between two trials."""
_LOST_RARER, _HOPELESS_RARER = 2, 4
"""How many times as long the next trial waits."""
_ONE_ROW = 1.5
"""Calls of no more rows, on average, are not divided any further."""
_HOPELESS = 0.6
"""A trial ends where its first rate is below this share of the rate before, after `_CLEAR_CALLS` and `_CLEAR_S`."""
_CLEAR_CALLS, _CLEAR_S = 6, 0.01
_LEAST_PAIRS, _MOST_PAIRS = 3, 12
_BETTER, _SURELY_BETTER, _SURELY_NOT = math.log(1.05), math.log(1.02), math.log(1.08)
"""A gain is at least the second, or less than the third, with twice its standard error; in the end the first counts."""
_CLEARLY_WORSE = math.log(0.8)
"""And below this one pair is enough."""
_LEAST_SPREAD = 0.03
"""Standard deviation of a gain, whatever a few of them look like."""


class Pace:
    """Tries twice or half as many groups now and then, and keeps to them where they answer more rows in a second. One
    thread.

    A replica may wait for a moment after a call, so that those who have just had their answers come back and share the
    next one: they are one group, the best where a call costs the same whatever its rows. Or it goes on at once, with a
    part of those who are there: while they are computed, the others have their answers and come back. Two groups are
    best where each row costs its time, and where the answers take longer than the call; more, where the rows of a large
    call cost more than those of a small one. The learned cost of smaller calls does not tell which: it knows nothing of
    the answers, nor of the callers.
    """

    def __init__(self) -> None:
        self.groups = 1
        """That take turns."""
        self._other = 2
        """As many are tried now, or were before the trial that is under way."""
        self._more = True
        """Whether twice as many are tried, and not half."""
        self._trial: _Trial | None = None
        self._interval = self._left = _FIRST
        self._rate = _Rate(0.0)

    @property
    def waits(self) -> bool:
        """For its callers, after each call."""
        return self.groups == 1

    def ended(self, rows: int, began: float, now: float) -> None:
        """A call of `rows` lasted from `began` to `now` (seconds of any clock)."""
        if began - self._rate.last > _REST_S:  # whoever has nothing to do does not tell how much it could
            self._rate = _Rate(now)
        measured = self._rate
        measured.add(rows, now)
        trial = self._trial
        if trial is not None and len(trial.rates) == 1 and measured.below(_HOPELESS * trial.rates[0]):
            self._change(now)
            self._end(better=False, rarer=_HOPELESS_RARER)
        elif measured.whole and trial is not None:
            trial.rates.append(measured.rows_s)
            self._go_on(trial, now)
        elif measured.whole:
            self._settled(measured, now)

    def _settled(self, measured: _Rate, now: float) -> None:
        """One measurement more outside of a trial."""
        self._rate = _Rate(now, settled=True)
        self._left -= 1
        if self._left <= 0:
            self._more = self.groups == 1 or (self._more and measured.rows_per_call > _ONE_ROW)
            self._other = 2 * self.groups if self._more else self.groups // 2
            self._trial = _Trial(measured.rows_s)
            self._change(now)

    def _go_on(self, trial: _Trial, now: float) -> None:
        """One measurement more of a trial."""
        better = trial.better
        if better is False:
            self._rate = _Rate(now, settled=True)
        else:
            self._change(now)
        if better is not None:
            self._end(better, rarer=_LOST_RARER)

    def _end(self, better: bool, rarer: int) -> None:
        """Of a trial. What was better goes on soon; else the other way is next, `rarer` times as long from now."""
        self._interval = _FIRST if better else min(_LAST, rarer * self._interval)
        self._more = self._more is better
        self._trial, self._left = None, self._interval

    def _change(self, now: float) -> None:
        self.groups, self._other = self._other, self.groups
        self._rate = _Rate(now)


class _Trial:
    """The rates of two ways in turns, which says more than one after the other where a machine is now slow, now fast.
    It lasts until their difference is clear."""

    def __init__(self, before: float) -> None:
        self.rates = [before]
        """In turns: before, tried, before, ..."""

    @property
    def better(self) -> bool | None:
        """Whether the way that is tried is better; None where that is not clear, and after each of its own rates."""
        if len(self.rates) % 2 == 0 or len(self.rates) == 1:
            return None
        rates = [math.log(rate) for rate in self.rates]
        around = zip(rates[::2], rates[1::2], rates[2::2], strict=False)
        gains = [tried - (before + after) / 2 for before, tried, after in around]
        gain = statistics.fmean(gains)
        if len(gains) < _LEAST_PAIRS:
            return False if gain < _CLEARLY_WORSE else None
        error = 2 * max(_LEAST_SPREAD, statistics.stdev(gains)) / math.sqrt(len(gains))
        if gain - error > _SURELY_BETTER:
            return True
        if gain + error < _SURELY_NOT:
            return False
        return gain > _BETTER if len(gains) >= _MOST_PAIRS else None


class _Rate:
    """Rows in a second, over some calls one after another."""

    def __init__(self, now: float, settled: bool = False) -> None:
        self.last = self._began = now
        self._calls = 0 if settled else -_SETTLES
        self._rows = 0

    def add(self, rows: int, now: float) -> None:
        self.last = now
        self._calls += 1
        if self._calls <= 0:
            self._began = now
        else:
            self._rows += max(1, rows)

    @property
    def whole(self) -> bool:
        """Whether it is measured."""
        lasted_s = self.last - self._began
        return (self._calls >= _CALLS and lasted_s >= _SECONDS) or (self._calls >= _FEW_CALLS and lasted_s >= _LONG_S)

    def below(self, rows_s: float) -> bool:
        """Whether it is clear already that it is less than `rows_s`."""
        lasted_s = self.last - self._began
        return self._calls >= _CLEAR_CALLS and lasted_s >= _CLEAR_S and self._rows < rows_s * lasted_s

    @property
    def rows_s(self) -> float:
        return self._rows / (self.last - self._began)

    @property
    def rows_per_call(self) -> float:
        return self._rows / self._calls
