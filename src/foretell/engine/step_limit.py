"""How long a model may take over one step of a stream: who has the model since when, and who looks at it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


class Step:
    """Stands around each piece of the model's code that a stream runs (`with`)."""

    __slots__ = ("exceeded", "since")

    def __init__(self) -> None:
        self.since: float | None = None
        """When the one under way began (monotonic); None: none is."""
        self.exceeded = False
        """Whether it took too long."""

    def __enter__(self) -> None:
        self.since = time.monotonic()

    def __exit__(self, *_: object) -> None:
        self.since = None


class StepLimit:
    """Calls `exceeded`, once and on a thread of its own, for each step that takes longer than `limit_s`.

    The thread is there while there are streams. No step that begins after a look can be over before the next one, so
    that nobody has to be woken when one begins. Safe from any thread.
    """

    def __init__(self, limit_s: float, exceeded: Callable[[Step], None]) -> None:
        self._limit_s, self._exceeded = limit_s, exceeded
        self._changed = threading.Condition()
        self._steps: set[Step] = set()
        self._looking = self._closed = False

    def add(self, step: Step) -> None:
        """The step of a stream that begins. Raises `RuntimeError` where the machine has no further thread to give."""
        with self._changed:
            if not self._looking:
                threading.Thread(target=self._look, name="foretell-stream-limit", daemon=True).start()
                self._looking = True
            self._steps.add(step)

    def remove(self, step: Step) -> None:
        with self._changed:
            self._steps.discard(step)

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _look(self) -> None:
        while (late := self._late()) is not None:
            for step in late:
                self._exceeded(step)

    def _late(self) -> list[Step] | None:
        """Those over the limit; none of them after a wait until one may be. None: there is nobody to look at."""
        with self._changed:
            if self._closed or not self._steps:
                self._looking = False
                return None
            now = time.monotonic()
            began = {step: step.since or now for step in self._steps}
            late = [step for step, since in began.items() if now - since >= self._limit_s]
            self._steps.difference_update(late)
            for step in late:
                step.exceeded = True
            if not late:
                self._changed.wait(min(began.values()) + self._limit_s - now)
            return late
