"""One loaded model and how a batch passes through its three stages."""

from __future__ import annotations

import contextlib
import random
import threading
from collections.abc import Callable, Generator, Mapping
from contextlib import AbstractContextManager
from functools import partial

import numpy as np

from foretell.clock import Clock
from foretell.columns import Batch, Index, spread
from foretell.config import ModelSettings
from foretell.engine.answers import check_answer, joined
from foretell.engine.calls import CallsUnderWay
from foretell.engine.check import check_batch
from foretell.engine.invariant import calls_of
from foretell.engine.retry import RetryPolicy, with_retries
from foretell.engine.steps import steps
from foretell.engine.turns import Turns
from foretell.errors import (
    Cancelled,
    DeadlineExceeded,
    InferenceError,
    ModelError,
    OutOfMemory,
    RowError,
    TransientError,
    raise_as,
    rows_failed,
    said,
)
from foretell.model import Context, Done, Model, Outcome

Stage = Callable[[Batch, Context], Batch]


class Replica:
    """Runs batches through a model: one call at a time unless `spec.concurrent`, never more rows than allowed."""

    def __init__(self, model: Model, settings: ModelSettings, clock: Clock, where: str) -> None:
        self.model = model
        self.settings = settings
        self._max_rows = settings.max_batch_size
        self._retry = RetryPolicy(settings.retries, settings.retry_delay_s, settings.retry_max_delay_s)
        self.clock = clock
        self._where = where
        self._rng = random.Random()
        # One that may be taken again: a model may ask the predictor that runs it.
        self._lock: AbstractContextManager[object] = Turns() if model.spec.streams else threading.RLock()
        self._calls = CallsUnderWay(where)
        kind = type(model)
        self._before = model.preprocess if model.prepares else None
        self._calls_of = calls_of(model, settings, clock, where)
        self._within = model.predict if self._calls_of is None else self._calls_of.predict
        self._after = None if kind.postprocess is Model.postprocess else model.postprocess

    def run(self, batch: Batch, ctx: Context, *, retry: bool = True) -> Batch:
        """All rows of `batch`, in order, failed ones in `errors`. Raises an `InferenceError` if the batch fails whole.

        With `retry` False a `TransientError` passes at once, for callers that must not wait.
        """
        if batch.rows > self._max_rows and self.model.spec.mergeable:
            pieces = [batch.slice(at, at + self._max_rows) for at in range(0, batch.rows, self._max_rows)]
            return joined([self.run(piece, ctx, retry=retry) for piece in pieces], self._where)
        if self._before is None and self._after is None:
            checked = check_batch(batch, self.model.spec)
            if not checked.errors:
                answer = self._attempt(checked, ctx, retry) if retry else self._predict(checked, ctx)
                return answer if not answer.errors else Prepared(answer, answer.rows).answer()
            return self.finish(Prepared(checked, batch.rows, self), ctx, retry=retry)
        return self.finish(self.prepare(batch, ctx), ctx, retry=retry)

    def begin(self, batch: Batch, ctx: Context, done: Done) -> bool:
        """`Model.begin` of a checked batch, `done` with a checked answer or an `InferenceError`. False where only `run`
        can make this call, or tell what is wrong with it."""
        spec = self.model.spec
        if batch.rows > self._max_rows or self._calls_of is not None:
            return False
        try:
            checked = check_batch(batch, spec)
        except InferenceError:
            return False
        return not checked.errors and self.model.begin(checked, ctx, partial(self._ended, checked.rows, done))

    def prepare(self, batch: Batch, ctx: Context) -> Prepared:
        """Checks and host work ahead of the model; may run while another batch is in it."""
        prepared = Prepared(check_batch(batch, self.model.spec), batch.rows, self)
        if self._before is not None and prepared.goes_on:
            prepared.advance(self._call("preprocess", self._before, prepared.batch, ctx))
        return prepared

    def finish(self, prepared: Prepared, ctx: Context, *, retry: bool = True) -> Batch:
        if prepared.goes_on:
            prepared.advance(self._attempt(prepared.batch, ctx, retry))
        if self._after is not None and prepared.goes_on:
            prepared.advance(self._call("postprocess", self._after, prepared.batch, ctx))
        return prepared.answer()

    def stream(self, batch: Batch, ctx: Context, step: AbstractContextManager[object]) -> Generator[Batch]:
        """What the model answers in pieces. Each step waits for its turn, unless `spec.concurrent`.

        `step` stands around whatever the model does, and around no wait for it. Raises an `InferenceError` in the place
        of the next piece, and before the first one where a row does not fit.
        """
        with step:
            prepared = self.prepare(batch, ctx)
        if prepared.failures:
            raise rows_failed(prepared.failures)
        turn = contextlib.nullcontext() if self.model.spec.concurrent else self._lock
        self._calls.begin()
        try:
            with contextlib.closing(steps(self.model, prepared.batch, ctx, turn, step, self._error_of)) as items:
                for item in items:
                    piece = item
                    check_answer(piece, getattr(piece, "rows", 0), "stream", self._where)
                    if self._after is not None and not piece.errors:
                        with step:
                            piece = self._call("postprocess", self._after, piece, ctx)
                    if piece.errors:
                        raise rows_failed(piece.errors)
                    yield piece
        finally:
            self._calls.end()

    def close(self, patience_s: float) -> None:
        """Gives back the model's resources once the calls under way have ended.

        After `patience_s` the model is left as it is: closing native code under a call could end the process. A process
        of its own is ended then.
        """
        if not self._calls.close(patience_s):
            if not self.model.apart:
                return
            self.model.give_up()
        self.model.close()

    def warm_up(self, batch: Batch) -> float:
        """Seconds of a call of `batch`, after one that pays for first use."""
        ctx = Context()
        self.run(batch, ctx, retry=False)
        started = self.clock.monotonic()
        self.run(batch, ctx, retry=False)
        return self.clock.monotonic() - started

    def _attempt(self, batch: Batch, ctx: Context, retry: bool) -> Batch:
        if not retry or not self._retry.retries:
            return self._predict(batch, ctx)
        return with_retries(partial(self._predict, batch, ctx), self._retry, self.clock, self._rng, ctx.deadline)

    def _predict(self, batch: Batch, ctx: Context) -> Batch:
        if self.model.spec.concurrent:
            return self._predict_now(batch, ctx)
        with self._lock:
            return self._predict_now(batch, ctx)

    def _predict_now(self, batch: Batch, ctx: Context) -> Batch:
        if ctx.deadline is not None and self.clock.monotonic() >= ctx.deadline:
            raise DeadlineExceeded("the time limit passed before the model was free", where=self._where)
        if ctx.cancelled():
            raise Cancelled("nobody waits for this answer any more", where=self._where)
        return self._call("predict", self._within, batch, ctx)

    def _call(self, name: str, stage: Stage, batch: Batch, ctx: Context) -> Batch:
        self._calls.begin()
        try:
            answer = stage(batch, ctx)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # also SystemExit and the like: a model ends its call, not who runs it
            raise_as(self._error_of(name, error), error)
        finally:
            self._calls.end()
        check_answer(answer, batch.rows, name, self._where)
        return answer

    def _ended(self, rows: int, done: Done, outcome: Outcome, took_s: float) -> None:
        if isinstance(outcome, BaseException):
            outcome = self._error_of("predict", outcome)
        elif outcome is not None:
            try:
                check_answer(outcome, rows, "predict", self._where)
            except InferenceError as error:
                outcome = error
            else:
                outcome = outcome if not outcome.errors else Prepared(outcome, outcome.rows).answer()
        done(outcome, took_s)

    def _error_of(self, name: str, error: BaseException) -> InferenceError:
        """What is told of an exception of the stage `name`."""
        transient = isinstance(error, self.model.transient)
        if isinstance(error, InferenceError):
            again = transient and not isinstance(error, TransientError)
            return TransientError(str(error), where=self._where) if again else error
        kind = TransientError if transient else OutOfMemory if isinstance(error, MemoryError) else ModelError
        return kind(f"{name} failed: {said(error)}", where=self._where)


class Prepared:
    """A batch between stages: `batch` holds the rows still alive; the failed ones wait here for the end."""

    __slots__ = ("_alive", "_errors", "batch", "replica", "total")

    @property
    def goes_on(self) -> bool:
        """Whether a further stage has something to do: rows, or an empty call whose outputs somebody wants to know."""
        return bool(self.batch.rows or not self.total)

    def __init__(self, batch: Batch, total: int, replica: Replica | None = None) -> None:
        self.replica = replica
        """Who prepared it, and must finish it."""
        self.batch = batch
        self.total = total
        self._alive: Index | None = None
        self._errors: dict[int, RowError] = {}
        self.advance(batch)

    @property
    def failures(self) -> Mapping[int, RowError]:
        """The rows that have left, as the caller counts them."""
        return self._errors

    def advance(self, batch: Batch) -> None:
        """Takes the result of a stage; rows that failed in it leave."""
        self.batch = batch
        if not batch.errors:
            return
        rows = np.arange(self.total) if self._alive is None else self._alive
        self._errors.update({int(rows[row]): error for row, error in batch.errors.items()})
        good = np.array([row for row in range(batch.rows) if row not in batch.errors], np.int64)
        self._alive = rows[good]
        self.batch = Batch(batch.columns, batch.rows).take(good)

    def answer(self) -> Batch:
        """All rows again, in their places."""
        if self._alive is None:
            return self.batch
        if not len(self._alive):
            return Batch({}, self.total, self._errors)
        columns = {name: spread(column, self._alive, self.total) for name, column in self.batch.columns.items()}
        return Batch(columns, self.total, self._errors)
