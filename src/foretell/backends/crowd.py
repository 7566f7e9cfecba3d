"""Calls at the same time: with a thread each, where one that is alone has all of them.

A call that has the machine for itself is quickest on all its cores. Calls at the same time stand in each other's way
there; with a thread each, more are answered in a second, see `docs/decisions/0028`.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

RuntimeT = TypeVar("RuntimeT")

MOST_BYTES = 256 << 20
"""Of weights that may stand in memory twice."""


class Crowd(Generic[RuntimeT]):
    """Which runtime of one model a call shall have. Safe from any thread.

    `wide`: each of its calls has all threads. `narrow` opens the one whose calls have a thread each; it is asked once,
    when half of `calls_at_once` are under way for the first time. Where it is None or raises, there is `wide` alone.
    Both give the same numbers. `calls_at_once`: as many at a time answer most rows in a second.
    """

    def __init__(self, wide: RuntimeT, narrow: Callable[[], RuntimeT] | None = None, *, calls_at_once: int = 1) -> None:
        self.calls_at_once = calls_at_once
        self._wide, self._open = wide, narrow
        self._few = sys.maxsize if narrow is None else max(1, calls_at_once // 2)
        self._narrow: RuntimeT | None = None
        self._opening = threading.Lock()
        self._under_way: list[None] = []

    def enter(self) -> RuntimeT:
        """For a call that begins. `leave` when it has ended."""
        under_way = self._under_way
        crowded = len(under_way) >= self._few
        under_way.append(None)
        return self._wide if not crowded else self._narrow or self._opened()

    def leave(self) -> None:
        self._under_way.pop()

    def _opened(self) -> RuntimeT:
        """While somebody opens it, and for good where that failed, the others go on as before."""
        if self._open is None or not self._opening.acquire(blocking=False):
            return self._wide
        try:
            self._narrow = self._open()
        except Exception:  # it would only have been quicker
            return self._wide
        return self._narrow
