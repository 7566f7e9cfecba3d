"""A request of the batcher that the cache answers in part or in whole."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial

from foretell.clock import Clock
from foretell.columns import Batch
from foretell.engine.cache import LeaderFailed, PredictionCache
from foretell.engine.cached import Lookup
from foretell.engine.delivery import row_failure
from foretell.engine.recorder import Recorder
from foretell.engine.run import Run
from foretell.engine.work import Completed, Work, assemble
from foretell.errors import DeadlineExceeded, InferenceError, InvalidInput
from foretell.types import Identity, ModelSpec


class CachedWork(Work):
    """The rows of `original` that the cache lacks, on their way through the batcher. Records the end of `original`."""

    __slots__ = ("_clock", "_lookup", "_loop", "_original", "_ran", "_recorder", "_remaining", "_submit", "_timer")

    takes_errors = True

    def __init__(
        self,
        original: Work,
        lookup: Lookup,
        submit: Callable[[Work], None],
        loop: asyncio.AbstractEventLoop,
        recorder: Recorder,
        clock: Clock,
    ) -> None:
        missing = lookup.missing
        parts = list(missing.columns.values()) if missing else []
        super().__init__(parts, missing.rows if missing else 0, original.group, original.deadline)
        original.arrived = self.arrived = original.arrived or clock.monotonic()
        self._original, self._lookup, self._submit, self._loop = original, lookup, submit, loop
        self._recorder, self._clock = recorder, clock
        self._ran: Run | None = None
        """The call that computed the rows that were missing."""
        self._remaining = len(lookup.waits) + (1 if missing is not None else 0)
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        if not self._remaining:
            self._finish()
            return
        if self._lookup.waits and self.deadline is not None:
            # The batcher ends in time what waits in its queue, not what waits for somebody else's call.
            left_s = self.deadline - self._clock.monotonic()
            self._timer = self._loop.call_later(max(0.0, left_s), self._expire)
        for at, future in self._lookup.waits.items():
            future.add_done_callback(partial(self._soon, at))
        if self._lookup.missing is not None:
            self._original.child = self
            self._submit(self)

    def done(self, completed: Completed, start: int) -> None:
        self._lookup.computed(completed.batch.slice(start, start + self.rows))
        self._ran = completed.run
        self._step()

    def fail(self, error: InferenceError) -> None:
        """The batcher has recorded it."""
        self._lookup.failed(error)
        self._end(error)

    def alone(self, at: int, answer: Batch) -> None:
        self._lookup.alone(at, answer)
        self._step()

    def alone_failed(self, error: InferenceError) -> None:
        self._end(error)

    def _soon(self, at: int, future: Future[Batch]) -> None:
        # A loop that has closed has nobody waiting on it.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._arrived, at, future)

    def _arrived(self, at: int, future: Future[Batch]) -> None:
        error = future.exception()
        if self._original.ended:
            return
        if error is None:
            self._lookup.arrived(at, future.result())
            self._step()
        elif isinstance(error, LeaderFailed):
            self._submit(_Alone(self, at, self._lookup.piece(at)))
        else:
            self._record_and_end(error if isinstance(error, InferenceError) else InferenceError(str(error)))

    def _step(self) -> None:
        self._remaining -= 1
        if not self._remaining:
            self._finish()

    def _finish(self) -> None:
        original = self._original
        if original.ended:
            return
        try:
            answer = self._lookup.answer()
        except InferenceError as error:
            self._record_and_end(error)
            return
        if answer.errors:
            self._record_and_end(row_failure(answer, 0, answer.rows))
            return
        ran = self._ran
        self._stop(original)
        self._recorder.answered([original.arrived], self._clock.monotonic())
        original.done(Completed(answer, ran, self._lookup.hits), 0)

    def _expire(self) -> None:
        self._record_and_end(DeadlineExceeded("the time limit of the request passed"))

    def _record_and_end(self, error: InferenceError) -> None:
        if not self._original.ended:
            self._recorder.failed(error.code)
            self._end(error)

    def _end(self, error: InferenceError) -> None:
        if not self._original.ended:
            self._stop(self._original)
            self._original.fail(error)

    def _stop(self, original: Work) -> None:
        original.ended = True
        original.child = self._ran = None  # they hold this as well, and the garbage collector is not free
        if self._timer is not None:
            self._timer.cancel()


class _Alone(Work):
    """One unit that somebody else should have computed, computed by who still waits for it."""

    __slots__ = ("_at", "_owner")

    takes_errors = True

    def __init__(self, owner: CachedWork, at: int, piece: Batch) -> None:
        super().__init__(list(piece.columns.values()), piece.rows, owner.group, owner.deadline)
        self._owner, self._at = owner, at

    def done(self, completed: Completed, start: int) -> None:
        self._owner.alone(self._at, completed.batch.slice(start, start + self.rows))

    def fail(self, error: InferenceError) -> None:
        self._owner.alone_failed(error)


def submit_cached(
    cache: PredictionCache,
    work: Work,
    spec: ModelSpec,
    identity: Identity,
    submit: Callable[[Work], None],
    recorder: Recorder,
    clock: Clock,
) -> None:
    """Answers from `cache` what it knows of a request, and hands the rest to `submit`."""
    try:
        lookup = lookup_work(cache, work, spec, identity)
    except InvalidInput as error:
        work.ended = True
        recorder.failed(error.code)
        work.fail(error)
        return
    recorder.cache(lookup.hits, lookup.misses)
    CachedWork(work, lookup, submit, asyncio.get_running_loop(), recorder, clock).start()


def lookup_work(cache: PredictionCache, work: Work, spec: ModelSpec, identity: Identity) -> Lookup:
    """Raises `InvalidInput` where the request's values do not fit."""
    try:
        batch = assemble([work])
    except (ValueError, TypeError) as error:
        raise InvalidInput(str(error)) from error
    return Lookup(cache, batch, spec, identity, work.group.context)
