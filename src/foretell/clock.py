"""Time as a value that is passed in, so that tests decide it."""

from __future__ import annotations

import time
from typing import Protocol

LOOK_S = 0.5
"""How long a thread waits at a time. A signal that comes after Python last looked for one and before the thread sleeps,
or that another thread gets, does not wake it: the handler runs once the main thread goes on, and never if that waits
for what only the handler brings about."""


class Clock(Protocol):
    def monotonic(self) -> float:
        """Seconds since an arbitrary start; never goes back."""
        ...

    def sleep(self, seconds: float) -> None: ...


class SystemClock:
    """The machine's own time."""

    monotonic = staticmethod(time.monotonic)
    sleep = staticmethod(time.sleep)


class ManualClock:
    """A clock that moves only when told to; `slept` records what was asked of `sleep`, which moves it too."""

    def __init__(self, start: float = 0.0) -> None:
        self.now = start
        self.slept: list[float] = []

    def monotonic(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
