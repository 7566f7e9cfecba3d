"""One replica in the pool, and the worker thread its calls run on when they do not run on the event loop."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

from foretell.engine.executors import ThreadExecutor
from foretell.engine.replica import Replica
from foretell.model import Context


class Member:
    """A replica that takes batches until it is `gone`. The pool counts the batches it has."""

    def __init__(self, number: int, replica: Replica, name: str, generation: int, device: str) -> None:
        self.number, self.replica, self.generation, self.device = number, replica, generation, device
        self.born = time.monotonic()
        self.outstanding = 0
        """Batches it has been given and has not ended; guarded by the pool."""
        self.busy_s, self.busy_since = 0.0, 0.0
        """Seconds for which it had a batch, up to `busy_since`: when it got the first of those it has now."""
        self.gone = False
        self.lost = False
        """Whether it is gone because it ended by itself, or hangs."""
        self._name = name
        self._lock = threading.Lock()
        self._thread: ThreadExecutor | None = None

    @property
    def apart(self) -> bool:
        """Whether it runs in a process of its own."""
        return self.replica.model.apart

    def here(self, ctx: Context) -> Context:
        """What a call is given, with the device it runs on."""
        return ctx if ctx.device == self.device else replace(ctx, device=self.device)

    @property
    def thread(self) -> ThreadExecutor:
        """Its worker thread, started at first use."""
        with self._lock:
            if self._thread is None:
                self._thread = ThreadExecutor(self.replica, f"{self._name}-{self.number}")
            return self._thread

    @property
    def computed(self) -> tuple[int, float]:
        """Calls that its worker thread has made, and the seconds for which it has computed."""
        with self._lock:
            return (0, 0.0) if self._thread is None else (self._thread.calls, self._thread.cpu_s)

    def close(self, until: float) -> None:
        """Ends what has not started, waits for what has until `until` (monotonic), gives back the model."""
        if self._thread is not None:
            self._thread.close(max(0.0, until - time.monotonic()))
        self.replica.close(max(0.0, until - time.monotonic()))
