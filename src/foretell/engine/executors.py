"""Where a batch runs: on the caller's thread, or on a worker thread of its own."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Protocol

from foretell.columns import Batch
from foretell.engine.replica import Replica
from foretell.errors import NotReady
from foretell.model import Context

_JOIN_S = 10.0  # a call that never returns must not keep its process from ending


class Executor(Protocol):
    """Runs batches on one replica. Only `InlineExecutor`'s `submit` waits for the model: it is the call."""

    def submit(self, batch: Batch, ctx: Context) -> Future[Batch]: ...

    def close(self) -> None:
        """Ends what has not started with `NotReady` and waits for what has."""
        ...


class InlineExecutor:
    """Runs at once, on the thread that submits."""

    def __init__(self, replica: Replica) -> None:
        self._replica = replica

    def submit(self, batch: Batch, ctx: Context) -> Future[Batch]:
        future: Future[Batch] = Future()
        try:
            future.set_result(self._replica.run(batch, ctx))
        except Exception as error:
            future.set_exception(error)
        return future

    def close(self) -> None: ...


class ThreadExecutor:
    """Runs on one worker thread, in the order of submission. For runtimes that release the GIL, and for slow calls."""

    def __init__(self, replica: Replica, name: str) -> None:
        self._replica = replica
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name=f"foretell-{name}", daemon=True)
        self._thread.start()

    def submit(
        self,
        batch: Batch,
        ctx: Context,
        *,
        pause_s: float = 0.0,
        on_free: Callable[[], None] | None = None,
    ) -> Future[Batch]:
        """`on_free` is called on the worker thread `pause_s` after the result was delivered (see `policy.pause_s`)."""
        future: Future[Batch] = Future()
        if self._closed:
            future.set_exception(NotReady("the model is closed"))
        else:
            self._jobs.put(_Job(batch, ctx, future, pause_s, on_free))
        return future

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._jobs.put(None)
            if threading.current_thread() is not self._thread:
                self._thread.join(_JOIN_S)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            if self._closed:
                job.future.set_exception(NotReady("the model is closed"))
                continue
            if not job.future.set_running_or_notify_cancel():
                continue
            try:
                job.future.set_result(self._replica.run(job.batch, job.ctx))
            except BaseException as error:
                # Also SystemExit and the like from a model: they end this call, not the thread that others wait for.
                job.future.set_exception(error)
            if job.on_free is not None:
                if job.pause_s:
                    time.sleep(job.pause_s)
                job.on_free()


class _Job:
    __slots__ = ("batch", "ctx", "future", "on_free", "pause_s")

    def __init__(
        self, batch: Batch, ctx: Context, future: Future[Batch], pause_s: float, on_free: Callable[[], None] | None
    ) -> None:
        self.batch, self.ctx, self.future, self.pause_s, self.on_free = batch, ctx, future, pause_s, on_free
