"""The online half of the engine: requests wait here only while the replica is busy, then leave together.

Everything runs on one event loop's thread. There is no task, future or timer per request: requests queue, and one
callback per tick of the loop takes what is there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Future

from foretell.clock import Clock
from foretell.columns import Batch
from foretell.config import ModelSettings
from foretell.engine import policy
from foretell.engine.delivery import Delivered, Delivery
from foretell.engine.executors import ThreadExecutor
from foretell.engine.isolate import budget, isolate
from foretell.engine.recorder import Recorder
from foretell.engine.replica import Replica
from foretell.engine.waiting import Waiting
from foretell.engine.work import Work, assemble, shared_context
from foretell.errors import (
    Cancelled,
    DeadlineExceeded,
    InferenceError,
    InvalidInput,
    NotReady,
    Overloaded,
    TransientError,
)

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
        self._settings, self._clock, self._loop, self._name = settings, clock, loop, name
        self._waiting = Waiting()
        self.delivery = Delivery(recorder, loop, name)
        self._running: Sequence[Work] = ()
        self._busy = self._scheduled = self._closed = False
        self._sweeper: asyncio.TimerHandle | None = None
        self._idle: asyncio.Event | None = None
        self._placement = policy.Placement(replica.model.native, settings.executor, settings.inline_limit_ms / 1e3)
        self._placement.follow(profile.recent_s)

    @property
    def inline(self) -> bool:
        """Whether batches run on the loop."""
        return self._placement.inline

    @property
    def waiting_rows(self) -> int:
        return self._waiting.rows

    @property
    def pending(self) -> bool:
        """Whether any accepted request has not ended."""
        return bool(self._waiting) or self._busy

    def submit(self, work: Work) -> None:
        """Takes a request, or fails it at once (`Overloaded`, `NotReady`)."""
        if self._closed:
            self.delivery.fail([work], NotReady("the model is shutting down", where=self._name))
            return
        waiting = self._waiting.rows
        if waiting and not policy.admits(waiting, work.rows, self._settings.max_queue_size):
            self.delivery.fail([work], self._overloaded(work))
            return
        if not work.arrived:
            work.arrived = self._clock.monotonic()
        self._waiting.add(work)
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
        self.delivery.fail(
            self._waiting.clear(), NotReady("the model is shutting down", where=self._name, fix="try again elsewhere")
        )
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
            self._end_failed(works, self.delivery.unexpected(error))
            if isinstance(error, KeyboardInterrupt):
                raise

    def _take(self) -> list[Work]:
        """The next batch's requests that still want an answer."""
        works: list[Work] = []
        while self._waiting and not works:
            works = self._alive(self._waiting.take(self._settings.max_batch_size))
        return works

    def _alive(self, works: list[Work]) -> list[Work]:
        """Without those whose caller has gone or whose time is up; they never reach the model."""
        now = self._clock.monotonic()
        alive = []
        for work in works:
            if work.ended:
                continue
            if work.cancelled:
                self.delivery.fail([work], Cancelled("the caller gave up", where=self._name))
            elif work.deadline is not None and now >= work.deadline:
                self.delivery.fail([work], self._expired())
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
                    self.delivery.fail([work], error if isinstance(error, InferenceError) else InvalidInput(str(error)))
                else:
                    good.append(work)
            if len(good) == len(works) > 1:
                # Each fits, but not together: one at a time then.
                self._waiting.put_back(good[1:])
                good = good[:1]
            works[:] = good
            return self._assemble(works) if good else None

    def _run_inline(self, batch: Batch) -> None:
        works, started = self._running, self._clock.monotonic()
        try:
            answer = self._replica.run(batch, shared_context(works), retry=False)
        except TransientError as error:
            # Retrying waits, and nobody may wait on the loop.
            self._run_threaded(batch, error)
            return
        except InferenceError as error:
            self._isolate(works, error)
            return
        finished = self._clock.monotonic()
        self._profile.learn(batch.rows, finished - started)
        self._placement.follow(self._profile.recent_s)
        self.delivery.answer(works, answer, started, finished)
        self._free()

    def _run_threaded(self, batch: Batch, failed: TransientError | None = None) -> None:
        works, started = self._running, self._clock.monotonic()
        pause_s = policy.pause_s(self._profile.call_s(batch.rows) or 0.0) if len(works) > 1 else 0.0
        threadsafe, delivered = self._threadsafe, Delivered()

        def on_done(future: Future[Batch]) -> None:
            threadsafe(self._finish_threaded, works, future, started, self._clock.monotonic(), delivered)

        self._thread().submit(
            batch,
            shared_context(works),
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
            self._profile.learn(answer.rows, finished - started)
            self._placement.follow(self._profile.recent_s)
            self.delivery.answer(works, answer, started, finished)
            delivered.ok = True
        elif isinstance(error, InferenceError):
            self._isolate(works, error)
        else:
            self._end_failed(works, self.delivery.unexpected(error))

    def _free_if(self, delivered: Delivered) -> None:
        if delivered.ok:
            self._free()

    def _isolate(self, works: Sequence[Work], error: InferenceError) -> None:
        """Finds who made a shared batch fail, off the loop; the others get their answers."""
        if len(works) == 1 or isinstance(error, (NotReady, TransientError, DeadlineExceeded, Cancelled)):
            self._end_failed(works, error)
            return

        def run(group: Sequence[Work]) -> Batch:
            return self._thread().submit(assemble(group), shared_context(group)).result()

        def search() -> None:
            results: list[tuple[Sequence[Work], Batch | InferenceError]]
            try:
                results = isolate(works, run, error, budget(len(works)))
            except BaseException as unexpected:
                results = [(works, self.delivery.unexpected(unexpected))]
            self._threadsafe(self._deliver_isolated, results)

        try:
            self._loop.run_in_executor(None, search)
        except RuntimeError:  # the loop is about to end: it takes no more work for its threads
            self._end_failed(works, error)

    def _deliver_isolated(self, results: list[tuple[Sequence[Work], Batch | InferenceError]]) -> None:
        now = self._clock.monotonic()
        for works, outcome in results:
            if isinstance(outcome, InferenceError):
                self.delivery.fail(works, outcome)
            else:
                self.delivery.answer(works, outcome, now, now)
        self.delivery.flush()
        self._free()

    def _end_failed(self, works: Sequence[Work], error: InferenceError) -> None:
        self.delivery.fail(works, error)
        self.delivery.flush()
        self._free()

    def _free(self) -> None:
        """The replica is free: take the next batch on the next tick, after the loop has read its sockets."""
        self._busy, self._running = False, ()
        if self._waiting:
            if not self._scheduled:
                self._scheduled = True
                self._loop.call_soon(self._dispatch)
        else:
            self._settle()

    def _settle(self) -> None:
        if self._idle is not None and not self.pending:
            self._idle.set()
            self._idle = None

    def _sweep(self) -> None:
        """Ends requests whose time is up, also those that the model still has: nobody waits past a limit."""
        self._sweeper = None
        now, later = self._clock.monotonic(), False
        for work in [*self._waiting, *self._running]:
            if work.deadline is None or work.ended:
                continue
            if now >= work.deadline:
                self.delivery.fail([work], self._expired())
            else:
                later = True
        self._waiting.forget_ended()
        self._settle()
        self.delivery.flush()
        if later:
            self._sweeper = self._loop.call_later(_SWEEP_S, self._sweep)

    def _threadsafe(self, call: Callable[..., None], *args: object) -> None:
        """Runs `call` on the loop; a loop that has closed has nobody waiting on it."""
        try:
            self._loop.call_soon_threadsafe(call, *args)
        except RuntimeError:
            if not self._loop.is_closed():
                raise

    def _expired(self) -> DeadlineExceeded:
        return DeadlineExceeded("the time limit of the request passed", where=self._name)

    def _overloaded(self, work: Work) -> Overloaded:
        return Overloaded(
            "the queue is full",
            where=self._name,
            expected=f"at most {self._settings.max_queue_size} rows waiting",
            got=f"{self._waiting.rows} waiting and {work.rows} more",
            fix="try again later",
        )
