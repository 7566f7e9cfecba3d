"""Batches that failed for a passing reason and wait for another try, off the replica and off any thread."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable, Iterator

from foretell.clock import Clock
from foretell.config import ModelSettings
from foretell.engine.retry import RetryPolicy
from foretell.engine.work import Work
from foretell.errors import TransientError


class Again:
    """Keeps such batches until their time has come; then they stand in `due`, before everything that waits."""

    def __init__(
        self, settings: ModelSettings, loop: asyncio.AbstractEventLoop, clock: Clock, wake: Callable[[], None]
    ) -> None:
        self._policy = RetryPolicy(settings.retries, settings.retry_delay_s, settings.retry_max_delay_s)
        self._loop, self._clock, self._wake = loop, clock, wake
        self._rng = random.Random()
        self._later: dict[int, tuple[list[Work], int, asyncio.TimerHandle]] = {}
        self._number = 0
        self.due: deque[tuple[list[Work], int]] = deque()
        """Requests of a batch, and how often they were tried."""

    def __bool__(self) -> bool:
        return bool(self._later) or bool(self.due)

    def works(self) -> Iterator[Work]:
        for works, _, _ in self._later.values():
            yield from works
        for works, _ in self.due:
            yield from works

    def take(self, works: list[Work], attempt: int, error: TransientError) -> bool:
        """Whether `works`, tried `attempt` times before this failure, will be tried again."""
        if attempt >= self._policy.retries:
            return False
        wait_s = self._policy.wait_s(attempt, self._rng)
        until = self._clock.monotonic() + wait_s
        if all(work.deadline is not None and until >= work.deadline for work in works):
            return False
        self._number += 1
        timer = self._loop.call_later(wait_s, self._ripe, self._number)
        self._later[self._number] = works, attempt + 1, timer
        return True

    def clear(self) -> list[Work]:
        """Takes everything."""
        works = list(self.works())
        for _, _, timer in self._later.values():
            timer.cancel()
        self._later.clear()
        self.due.clear()
        return works

    def _ripe(self, number: int) -> None:
        works, attempt, _ = self._later.pop(number)
        self.due.append((works, attempt))
        self._wake()
