"""Where a batch runs when it does not run inline, which is a plain call of the replica: a thread of its own."""

from __future__ import annotations

import math
import queue
import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from typing import NamedTuple, Protocol

from foretell.columns import Batch
from foretell.engine.replica import Replica
from foretell.errors import NotReady
from foretell.model import Context

JOIN_S = 10.0  # a call that never returns must not keep its process from ending


class Executor(Protocol):
    """Runs batches on one replica, away from who submits them. `submit` does not wait for the model."""

    def submit(self, batch: Batch, ctx: Context) -> Future[Batch]: ...

    def close(self) -> None:
        """Ends what has not started with `NotReady` and waits for what has."""
        ...


class ThreadExecutor:
    """Runs on one worker thread, in the order of submission. For runtimes that release the GIL, and for slow calls.

    The thread ends with `close`, and where nobody has the executor any more: it keeps no model that nobody closed.
    """

    def __init__(self, replica: Replica, name: str) -> None:
        self._replica = replica
        self._jobs: _Jobs = queue.SimpleQueue()
        self._closed = False
        self.calls = 0
        """Calls that have ended."""
        self._lock = threading.Lock()
        work = (self._jobs, weakref.ref(self))
        self._thread = threading.Thread(target=_work, args=work, name=f"foretell-{name}", daemon=True)
        self._thread.start()
        weakref.finalize(self, self._jobs.put, None).atexit = False

    def submit(
        self,
        batch: Batch,
        ctx: Context,
        *,
        pause_s: float = 0.0,
        on_done: Callable[[Future[Batch], float], None] | None = None,
        on_free: Callable[[], None] | None = None,
    ) -> Future[Batch]:
        """`on_done` is called with the result and the seconds the call took, always before `on_free`: given here, not
        added to the future, where a quick worker could be first. `on_free` is called on the worker thread, `pause_s`
        later (see `policy.pause_s`), or at once where the next call is there.

        A future that is cancelled in time lets go of its batch. Transient errors pass: who submits may try again.
        """
        return self.submit_later(lambda: (batch, ctx), pause_s=pause_s, on_done=on_done, on_free=on_free)

    def submit_later(
        self,
        take: Callable[[], tuple[Batch, Context]],
        *,
        pause_s: float = 0.0,
        on_done: Callable[[Future[Batch], float], None] | None = None,
        on_free: Callable[[], None] | None = None,
    ) -> Future[Batch]:
        """`submit` of what `take` gives when its turn has come, on the worker thread."""
        job = _Job(take, pause_s, on_free)
        if on_done is not None:
            took_s = job.took_s
            job.future.add_done_callback(lambda future: on_done(future, took_s[0]))
        with self._lock:  # nothing may be put behind the end of the queue, where nobody would find it
            if not self._closed:
                self._jobs.put(job)
                return job.future
        job.future.set_exception(NotReady("the model is closed"))
        return job.future

    def rest(self, pause_s: float, on_free: Callable[[], None]) -> None:
        """Calls `on_free` on the worker thread, `pause_s` from now; for who cannot wait so short a time itself."""
        with self._lock:
            if not self._closed:
                self._jobs.put(_Rest(pause_s, on_free))
                return
        on_free()

    @property
    def waiting(self) -> int:
        """Batches that have not started, the cancelled ones included."""
        return self._jobs.qsize()

    @property
    def cpu_s(self) -> float:
        """Seconds that the thread has computed; infinite where the system does not tell."""
        number = self._thread.ident
        if number is None or not hasattr(time, "pthread_getcpuclockid"):
            return math.inf
        with self._lock:  # asking for the clock of a thread that has ended is undefined
            return time.clock_gettime(time.pthread_getcpuclockid(number)) if not self._closed else 0.0

    def close(self, patience_s: float = JOIN_S) -> None:
        with self._lock:
            if not self._closed:
                self._closed = True
                self._jobs.put(None)
        if threading.current_thread() is not self._thread:
            self._thread.join(patience_s)

    def _run(self, job: _Job) -> None:
        try:
            if self._closed:
                job.future.set_exception(NotReady("the model is closed"))
                return
            clock = self._replica.clock
            try:
                batch, ctx = job.take()
                began = clock.monotonic()
                answer = self._replica.run(batch, ctx, retry=False)
                job.took_s[0] = clock.monotonic() - began
                job.future.set_result(answer)
            except BaseException as error:  # whatever it is, it ends this call and not the thread that others wait for
                job.future.set_exception(error)
            if job.on_free is not None:
                if job.pause_s and self._jobs.empty():
                    time.sleep(job.pause_s)
                job.on_free()
        finally:
            self.calls += 1
            del job  # an error holds this frame, and the frame would hold the job, and the job the error


def _work(jobs: _Jobs, executor: weakref.ref[ThreadExecutor]) -> None:
    while (job := jobs.get()) is not None:
        if isinstance(job, _Rest):
            time.sleep(job.pause_s)
            job.on_free()
        elif job.future.set_running_or_notify_cancel():
            if (runs := executor()) is None:
                job.future.set_exception(NotReady("the model is closed"))
            else:
                runs._run(job)
            del runs
        del job  # an idle thread holds no batch


class _Rest(NamedTuple):
    pause_s: float
    on_free: Callable[[], None]


class _Job:
    """A call to make. It and its future are not a circle: the collector rests, and who waits for it holds its batch."""

    __slots__ = ("_held", "future", "on_free", "pause_s", "took_s")

    def __init__(
        self, take: Callable[[], tuple[Batch, Context]], pause_s: float, on_free: Callable[[], None] | None
    ) -> None:
        self.pause_s, self.on_free = pause_s, on_free
        self.future: Future[Batch] = Future()
        self.took_s = [0.0]
        self._held = held = [take]
        self.future.add_done_callback(lambda future: held.clear() if future.cancelled() else None)

    def take(self) -> tuple[Batch, Context]:
        """What it is given."""
        return self._held[0]()


_Jobs = queue.SimpleQueue[_Job | _Rest | None]
