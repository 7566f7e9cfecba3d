"""The online half of the engine: requests wait here only while the replica is busy, then leave together.

Everything runs on one event loop's thread. There is no task, future or timer per request: requests queue, and one
callback per tick of the loop takes what is there.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future

from foretell.clock import Clock
from foretell.columns import Batch
from foretell.config import ModelSettings
from foretell.engine import policy
from foretell.engine.executors import ThreadExecutor
from foretell.engine.isolate import budget, isolate
from foretell.engine.recorder import Recorder
from foretell.engine.replica import Replica
from foretell.engine.work import Completed, Group, Work, assemble
from foretell.errors import (
    Cancelled,
    DeadlineExceeded,
    InferenceError,
    InvalidInput,
    ModelError,
    NotReady,
    Overloaded,
    TransientError,
)
from foretell.model import Context

_SWEEP_S = 0.05


class Batcher:
    """Forms batches of requests for one replica. `submit` takes a request; it always ends in `done` or `fail`."""

    def __init__(
        self,
        replica: Replica,
        thread: Callable[[], ThreadExecutor],
        profile: policy.Profile,
        settings: ModelSettings,
        recorder: Recorder,
        clock: Clock,
        loop: asyncio.AbstractEventLoop,
        name: str,
    ) -> None:
        self._replica, self._thread, self._profile = replica, thread, profile
        self._settings, self._recorder, self._clock, self._loop, self._name = settings, recorder, clock, loop, name
        self._groups: dict[Group, deque[Work]] = {}
        self._waiting_rows = 0
        self._running: Sequence[Work] = ()
        self._busy = self._scheduled = self._closed = False
        self._sweeper: asyncio.TimerHandle | None = None
        self._idle: asyncio.Event | None = None
        self.after_delivery: Callable[[], None] | None = None
        """Called after the answers of a batch were handed out; a door writes them to its sockets here."""
        native = replica.model.native
        self.inline = native and settings.executor != "thread"
        if settings.executor == "inline" and not native:
            self.inline = True
        self._adapts = native and settings.executor == "auto"
        self._decide_inline()

    @property
    def waiting_rows(self) -> int:
        return self._waiting_rows

    @property
    def pending(self) -> bool:
        """Whether any accepted request has not ended."""
        return bool(self._groups) or self._busy

    def submit(self, work: Work) -> None:
        """Takes a request, or fails it at once (`Overloaded`, `NotReady`)."""
        if self._closed:
            self._fail([work], NotReady("the model is shutting down", where=self._name))
            return
        if self._waiting_rows and not policy.admits(self._waiting_rows, work.rows, self._settings.max_queue_size):
            self._fail([work], self._overloaded(work))
            return
        if not work.arrived:
            work.arrived = self._clock.monotonic()
        self._waiting_rows += work.rows
        queue = self._groups.get(work.group)
        if queue is None:
            queue = self._groups[work.group] = deque()
        queue.append(work)
        if work.deadline is not None and self._sweeper is None:
            self._sweeper = self._loop.call_later(_SWEEP_S, self._sweep)
        if not self._scheduled and not self._busy:
            self._scheduled = True
            self._loop.call_soon(self._dispatch)

    async def drain(self) -> None:
        """Returns when every accepted request has ended."""
        while self.pending:
            self._idle = self._idle or asyncio.Event()
            await self._idle.wait()

    def close(self) -> None:
        """Refuses new requests and fails those still waiting; the running batch is not interrupted."""
        self._closed = True
        waiting = [work for queue in self._groups.values() for work in queue]
        self._groups.clear()
        self._waiting_rows = 0
        self._fail(waiting, NotReady("the model is shutting down", where=self._name, fix="try again elsewhere"))
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None

    def _dispatch(self) -> None:
        """Takes what waits now and runs it, or hands it to the worker thread."""
        self._scheduled = False
        if self._busy:
            return
        works = self._take()
        if not works:
            self._settle()
            return
        self._busy, self._running = True, works
        try:
            batch = self._assemble(works)
            if batch is None:
                self._free()
            elif self.inline:
                self._run_inline(batch)
            else:
                self._run_threaded(batch)
        except BaseException as error:
            # Whatever it is, accepted requests end, and those behind them get their turn.
            self._end_failed(works, self._unexpected(error))
            if isinstance(error, KeyboardInterrupt):
                raise

    def _take(self) -> list[Work]:
        """The next batch's requests: of the group that has waited longest for its turn."""
        while self._groups:
            group, queue = next(iter(self._groups.items()))
            del self._groups[group]
            count = policy.take((work.rows for work in queue), self._settings.max_batch_size) if group.mergeable else 1
            if count == len(queue):
                works = list(queue)
            else:
                works = [queue.popleft() for _ in range(count)]
                self._groups[group] = queue
            self._waiting_rows -= sum([work.rows for work in works])
            works = self._alive(works)
            if works:
                return works
        return []

    def _alive(self, works: list[Work]) -> list[Work]:
        """Without those whose caller has gone or whose time is up; they never reach the model."""
        now = self._clock.monotonic()
        alive = []
        for work in works:
            if work.ended:
                continue
            if work.cancelled:
                self._fail([work], Cancelled("the caller gave up", where=self._name))
            elif work.deadline is not None and now >= work.deadline:
                self._fail([work], self._expired())
            else:
                alive.append(work)
        return alive

    def _assemble(self, works: list[Work]) -> Batch | None:
        """One batch of `works`; those whose values do not fit end alone and leave the list."""
        try:
            return assemble(works)
        except (InferenceError, ValueError, TypeError):
            good = []
            for work in works:
                try:
                    assemble([work])
                except (InferenceError, ValueError, TypeError) as error:
                    self._fail([work], error if isinstance(error, InferenceError) else InvalidInput(str(error)))
                else:
                    good.append(work)
            if len(good) == len(works) > 1:
                # Each fits, but not together: one at a time then.
                self._put_back(good[1:])
                good = good[:1]
            works[:] = good
            return self._assemble(works) if good else None

    def _put_back(self, works: list[Work]) -> None:
        group = works[0].group
        queue = self._groups.setdefault(group, deque())
        queue.extendleft(reversed(works))
        self._waiting_rows += sum([work.rows for work in works])

    def _run_inline(self, batch: Batch) -> None:
        works, started = self._running, self._clock.monotonic()
        try:
            answer = self._replica.run(batch, self._context(works), retry=False)
        except TransientError as error:
            # Retrying waits, and nobody may wait on the loop.
            self._run_threaded(batch, error)
            return
        except InferenceError as error:
            self._isolate(works, error)
            return
        finished = self._clock.monotonic()
        self._learn(batch.rows, finished - started)
        self._deliver(works, answer, started, finished)
        self._free()

    def _run_threaded(self, batch: Batch, failed: TransientError | None = None) -> None:
        works, started = self._running, self._clock.monotonic()
        pause_s = policy.pause_s(self._profile.call_s(batch.rows) or 0.0) if len(works) > 1 else 0.0
        threadsafe, delivered = self._threadsafe, Delivered()

        def on_done(future: Future[Batch]) -> None:
            threadsafe(self._finish_threaded, works, future, started, self._clock.monotonic(), delivered)

        self._thread().submit(
            batch,
            self._context(works),
            pause_s=pause_s,
            on_done=on_done,
            on_free=lambda: threadsafe(self._free_if, delivered),
            failed=failed,
        )

    def _finish_threaded(
        self, works: Sequence[Work], future: Future[Batch], started: float, finished: float, delivered: Delivered
    ) -> None:
        error = future.exception()
        if error is None:
            answer = future.result()
            self._learn(answer.rows, finished - started)
            self._deliver(works, answer, started, finished)
            delivered.ok = True
        elif isinstance(error, InferenceError):
            self._isolate(works, error)
        else:
            self._end_failed(works, self._unexpected(error))

    def _free_if(self, delivered: Delivered) -> None:
        if delivered.ok:
            self._free()

    def _isolate(self, works: Sequence[Work], error: InferenceError) -> None:
        """Finds who made a shared batch fail, off the loop; the others get their answers."""
        if len(works) == 1 or isinstance(error, (NotReady, TransientError, DeadlineExceeded, Cancelled)):
            self._end_failed(works, error)
            return

        def run(group: Sequence[Work]) -> Batch:
            return self._thread().submit(assemble(group), self._context(group)).result()

        def search() -> None:
            results: list[tuple[Sequence[Work], Batch | InferenceError]]
            try:
                results = isolate(works, run, error, budget(len(works)))
            except BaseException as unexpected:
                results = [(works, self._unexpected(unexpected))]
            self._threadsafe(self._deliver_isolated, results)

        try:
            self._loop.run_in_executor(None, search)
        except RuntimeError:  # the loop is about to end: it takes no more work for its threads
            self._end_failed(works, error)

    def _deliver_isolated(self, results: list[tuple[Sequence[Work], Batch | InferenceError]]) -> None:
        now = self._clock.monotonic()
        for works, outcome in results:
            if isinstance(outcome, InferenceError):
                self._fail(works, outcome)
            else:
                self._deliver(works, outcome, now, now)
        self._delivered()
        self._free()

    def _end_failed(self, works: Sequence[Work], error: InferenceError) -> None:
        self._fail(works, error)
        self._delivered()
        self._free()

    def _deliver(self, works: Sequence[Work], answer: Batch, started: float, finished: float) -> None:
        """Resolves each caller on its own."""
        completed, start = Completed(answer), 0
        arrivals = []
        for work in works:
            stop = start + work.rows
            if not work.ended:
                work.ended = True
                try:
                    if work.takes_errors:
                        work.done(completed, start)
                    elif answer.errors and any(start <= row < stop for row in answer.errors):
                        failure = row_failure(answer, start, stop)
                        self._recorder.failed(failure.code)
                        work.fail(failure)
                    else:
                        work.done(completed, start)
                        arrivals.append(work.arrived)
                except Exception as error:  # of one caller, and none of the others' business
                    self._end([work], self._unexpected(error))
            start = stop
        self._recorder.completed(arrivals, answer.rows, started, finished)
        self._delivered()

    def _delivered(self) -> None:
        if self.after_delivery is not None:
            try:
                self.after_delivery()
            except Exception as error:
                self._report("writing the answers failed", error)

    def _free(self) -> None:
        """The replica is free: take the next batch on the next tick, after the loop has read its sockets."""
        self._busy, self._running = False, ()
        if self._groups:
            if not self._scheduled:
                self._scheduled = True
                self._loop.call_soon(self._dispatch)
        else:
            self._settle()

    def _settle(self) -> None:
        if self._idle is not None and not self.pending:
            self._idle.set()
            self._idle = None

    def _fail(self, works: Sequence[Work], error: InferenceError) -> None:
        waiting = [work for work in works if not work.ended]
        for work in waiting:
            work.ended = True
        self._end(waiting, error)

    def _end(self, works: Sequence[Work], error: InferenceError) -> None:
        for work in works:
            self._recorder.failed(error.code)
            try:
                work.fail(error)
            except Exception as unexpected:
                self._report("a request could not be told of its end", unexpected)

    def _report(self, message: str, error: Exception) -> None:
        """To whoever runs the loop: it is nobody's answer."""
        self._loop.call_exception_handler({"message": f"{self._name}: {message}", "exception": error})

    def _sweep(self) -> None:
        """Ends requests whose time is up, also those that the model still has: nobody waits past a limit."""
        self._sweeper = None
        now, later = self._clock.monotonic(), False
        for works in (*self._groups.values(), self._running):
            for work in works:
                if work.deadline is None or work.ended:
                    continue
                if now >= work.deadline:
                    self._fail([work], self._expired())
                else:
                    later = True
        self._forget_ended()
        self._delivered()
        if later:
            self._sweeper = self._loop.call_later(_SWEEP_S, self._sweep)

    def _forget_ended(self) -> None:
        """What has ended takes no place in the queue from those who come now."""
        for group, queue in list(self._groups.items()):
            if any(work.ended for work in queue):
                alive = deque([work for work in queue if not work.ended])
                self._waiting_rows -= sum([work.rows for work in queue]) - sum([work.rows for work in alive])
                if alive:
                    self._groups[group] = alive
                else:
                    del self._groups[group]
        self._settle()

    def _context(self, works: Sequence[Work]) -> Context:
        """What the requests share, the latest of their deadlines, and whether all of them have gone."""
        shared = works[0].group.context
        deadlines = [work.deadline for work in works if work.deadline is not None]
        return Context(
            shared.params,
            max(deadlines) if len(deadlines) == len(works) else None,
            lambda: all(work.cancelled or work.ended for work in works),
            shared.sequence,
            shared.device,
        )

    def _learn(self, rows: int, seconds: float) -> None:
        self._profile.learn(rows, seconds)
        if self._adapts:
            self._decide_inline()

    def _decide_inline(self) -> None:
        if self._adapts:
            limit_s = self._settings.inline_limit_ms / 1e3
            self.inline = policy.runs_inline(self._profile.recent_s, limit_s, self.inline)

    def _threadsafe(self, call: Callable[..., None], *args: object) -> None:
        """Runs `call` on the loop; a loop that has closed has nobody waiting on it."""
        try:
            self._loop.call_soon_threadsafe(call, *args)
        except RuntimeError:
            if not self._loop.is_closed():
                raise

    def _unexpected(self, error: BaseException) -> InferenceError:
        if isinstance(error, InferenceError):
            return error
        failure = ModelError(f"{type(error).__name__}: {error}", where=self._name)
        failure.__cause__ = error
        return failure

    def _expired(self) -> DeadlineExceeded:
        return DeadlineExceeded("the time limit of the request passed", where=self._name)

    def _overloaded(self, work: Work) -> Overloaded:
        return Overloaded(
            "the queue is full",
            where=self._name,
            expected=f"at most {self._settings.max_queue_size} rows waiting",
            got=f"{self._waiting_rows} waiting and {work.rows} more",
            fix="try again later",
        )


class Delivered:
    """Whether a threaded batch was delivered, so that its end frees the replica (a failed one is searched first)."""

    __slots__ = ("ok",)

    def __init__(self) -> None:
        self.ok = False


def row_failure(answer: Batch, start: int, stop: int) -> InferenceError:
    """The error of a request some of whose rows failed; names the rows as the caller counts them."""
    errors = {row - start: error for row, error in answer.errors.items() if start <= row < stop}
    first = min(errors)
    more = f" (and {len(errors) - 1} more rows)" if len(errors) > 1 else ""
    text = errors[first].message + more
    kind = InvalidInput if errors[first].code == InvalidInput.code else ModelError
    error = kind(text, where=f"row {first}")
    error.rows = errors
    return error
