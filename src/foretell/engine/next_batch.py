"""Which of the requests that wait make the next batch."""

from __future__ import annotations

from collections.abc import Sequence

from foretell.engine import policy
from foretell.engine.desk import Desk
from foretell.engine.refusals import Refusals
from foretell.engine.runner import Runner
from foretell.engine.under_way import UnderWay
from foretell.engine.work import Work


class NextBatch:
    """Takes requests out of the lanes. `busy`: the calls that replicas have already."""

    def __init__(self, desk: Desk, refusals: Refusals, runner: Runner, busy: UnderWay) -> None:
        self._pool, self._placement, self._profile, self._lanes = desk.pool, desk.placement, desk.profile, desk.lanes
        self._again, self._delivery, self._clock, self._pace = desk.again, desk.delivery, desk.clock, desk.pace
        self._refusals, self._runner, self._busy = refusals, runner, busy

    @property
    def most_rows(self) -> int:
        """Of a batch, now."""
        most = self._runner.most_rows
        if self._placement.inline or self._pace.waits:
            return most
        there = self._lanes.rows + self._busy.rows
        return min(most, policy.turn_rows(there, self._pace.groups, len(self._pool.members)))

    def take(self) -> tuple[list[Work], int]:
        """Requests that still want an answer, and how often they were tried before. They have left the lanes."""
        while self._again.due:
            works, attempt = self._again.due.popleft()
            if alive := self.alive(works):
                return alive, attempt
        most, now = self.most_rows, self._clock.monotonic()
        free = len(self._pool.members) - len(self._busy)
        if free > 1:
            most = min(most, policy.share_rows(self._lanes.rows, free, self._profile))
        lanes = self._lanes
        works = self.alive(lanes.take(most, now) if lanes.bulk.groups else lanes.interactive.take(most))
        while not works and lanes:
            works = self.alive(lanes.take(most, now))
        return works, 0

    def alive(self, works: Sequence[Work]) -> list[Work]:
        """Without those whose caller has gone or whose time is up, who are told; they never reach the model."""
        now = self._clock.monotonic()
        alive = []
        for work in works:
            if work.ended:
                continue
            if work.cancelled:
                self._delivery.gave_up([work])
            elif work.deadline is not None and now >= work.deadline:
                self._delivery.fail([work], self._refusals.expired())
            else:
                alive.append(work)
        return alive
