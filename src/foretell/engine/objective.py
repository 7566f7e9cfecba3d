"""The latency objective: how many rows a batch may have, and who is refused at once as the answer would be late."""

from __future__ import annotations

from foretell.engine import policy
from foretell.engine.profile import Profile

_FIRST_MARGIN = 0.1
_MOST_MARGIN = 0.3
_MOST_LAG = 0.4
_LATE_SHARE = 0.004
_LEARN = 0.1
_PROBE_S, _PROBE_MOST_S = 1.0, 64.0


class Objective:
    """Keeps the answers of those who are admitted within `slo_s`, at the 99th percentile.

    What a request will take is foretold from the queue before it, the batch under way and the learned time of calls.
    The margin learns what that leaves out (the loop, the machine, calls slower than usual): each batch moves it by how
    far the share of late answers was from 0.4%, as stochastic approximation of a quantile does (Robbins and Monro, "A
    Stochastic Approximation Method", 1951). It is never more than 30% of the objective: a machine that stalls makes
    answers late whoever is refused, and refusing everybody would help nobody.

    What an event loop that has much to do adds is measured, and not left to the margin: a call that has ended waits for
    it, and so has a request before it is read.

    What seems too slow is never seen again, and so would seem so for ever: a batch twice as large as allowed is tried
    after a second, and where it is too slow indeed, ever more rarely, at last once a minute.
    """

    def __init__(self, slo_s: float, max_rows: int, profile: Profile) -> None:
        self.slo_s = slo_s
        self._max_rows, self._profile = max_rows, profile
        self.margin_s = _FIRST_MARGIN * slo_s
        self.lag_s = 0.0
        """What the loop adds to each request lately, at most 40% of the objective."""
        self.rows = 1
        """Most rows of a batch."""
        self._kept_rows = 1
        self._tried_rows = 0
        self._try_at: float | None = None
        self._pause_s = _PROBE_S
        self._call_s: float | None = None
        self._probed = float("-inf")
        self._look()

    def learned(self, now: float) -> None:
        """The profile has changed."""
        self._look()
        if self._tried_rows and not self._profile.doubts(self._tried_rows):
            too_slow = self._kept_rows < self._tried_rows
            self._pause_s = min(_PROBE_MOST_S, 2 * self._pause_s) if too_slow else max(_PROBE_S, self._pause_s / 2)
            self._tried_rows, self._try_at = 0, now + self._pause_s
        elif not self._tried_rows and self._kept_rows < self._max_rows:
            self._consider(now)
        self.rows = max(self._kept_rows, self._tried_rows)

    def _look(self) -> None:
        """Half of the objective is for the batch under way, half for the request's own.

        The margin has no say here: where calls are late for reasons outside, smaller batches would only carry less.
        """
        half_s = (1 - _FIRST_MARGIN) * self.slo_s / 2
        self.rows = self._kept_rows = policy.rows_within(self._profile, half_s, self._max_rows)
        self._call_s = self._profile.call_s(self.rows)

    def _consider(self, now: float) -> None:
        """Whether it is time to try larger batches."""
        if self._try_at is None:
            self._try_at = now + self._pause_s
        if now >= self._try_at:
            self._tried_rows = min(2 * self._kept_rows, self._max_rows)
            self._profile.doubt(self._tried_rows)

    def admits(self, now: float, waiting_rows: int, rows: int, replicas: int, free_s: float) -> bool:
        """Whether a request would be answered in time. `free_s`: seconds until the next replica is free.

        Where even an idle replica seems too slow, one request a second is let in: it tells whether that is so.
        """
        if self._call_s is None:  # nothing is known yet: one batch finds out
            return waiting_rows < self._max_rows
        batches_before = waiting_rows // self._kept_rows
        own_s = self._profile.call_s(rows) if rows > self._kept_rows else self._call_s
        wait_s = free_s + (batches_before // max(1, replicas)) * self._call_s
        if wait_s + (own_s or 0.0) + self.margin_s + self.lag_s <= self.slo_s:
            return True
        if waiting_rows or free_s or now - self._probed < _PROBE_S:
            return False
        self._probed = now
        self._profile.doubt(rows)
        return True

    def answered(self, requests: int, late: int, lag_s: float) -> None:
        """`late` of the `requests` of a batch took longer than the objective. `lag_s`: from the end of their call until
        the loop heard of it, and so about as long as they had waited to be read."""
        self.lag_s = min(_MOST_LAG * self.slo_s, self.lag_s + _LEARN * (2 * lag_s - self.lag_s))
        if requests:
            moved = self.margin_s + _LEARN * self.slo_s * (late / requests - _LATE_SHARE)
            self.margin_s = min(_MOST_MARGIN * self.slo_s, max(0.0, moved))
