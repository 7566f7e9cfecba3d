"""When a server looks for garbage: seldom, since nothing of its own becomes any, and where its memory has grown, since
the code of a model may leave a great deal in a few objects, an exception with its rows for instance."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable

_LOOK_S = 1.0
_THRESHOLD = 50_000
_GROWN_BYTES = 64 * 2**20


class Collector:
    """Belongs to the thread of the loop. `memory`: bytes that this process has; None where the system does not tell.
    `gone`: how many versions of models have left so far."""

    def __init__(self, memory: Callable[[], int | None], gone: Callable[[], int] = lambda: 0) -> None:
        self._memory, self._gone = memory, gone
        self._after = self._had_gone = 0
        self._timer: asyncio.TimerHandle | None = None

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """What is loaded by now stays: nobody need look at it again, nor at the rest after every few requests."""
        gc.collect()
        gc.freeze()
        gc.set_threshold(_THRESHOLD)
        self._after = self._memory() or 0
        self._again(loop)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def look(self) -> None:
        """Collects where there is more memory than after the last time. What was needed once may be needed again: only
        what goes beyond it is worth the pause. What was loaded at the start is looked at where some of it has left."""
        if not self._has_grown():
            return
        gc.collect()
        if self._has_grown() and self._gone() > self._had_gone:
            self._had_gone = self._gone()
            gc.unfreeze()
            gc.collect()
            gc.freeze()
        self._after = self._memory() or 0

    def _has_grown(self) -> bool:
        return (self._memory() or 0) > self._after + max(_GROWN_BYTES, self._after // 8)

    def _again(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = loop.call_later(_LOOK_S, self._look_again, loop)

    def _look_again(self, loop: asyncio.AbstractEventLoop) -> None:
        self.look()
        self._again(loop)
