"""The engine's half for callers that wait: no queue, the same replica, the same cache."""

from __future__ import annotations

import concurrent.futures
import contextlib
import random
from collections.abc import Callable, Iterator
from functools import partial

from foretell.clock import Clock
from foretell.columns import Batch
from foretell.config import ModelSettings
from foretell.engine.answers import joined
from foretell.engine.apart import run_apart
from foretell.engine.cache import PredictionCache
from foretell.engine.cached import Lookup, run_cached
from foretell.engine.check import check_lengths
from foretell.engine.delivery import row_failure
from foretell.engine.member import Member
from foretell.engine.pool import Pool
from foretell.engine.recorder import Recorder
from foretell.engine.replica import Prepared
from foretell.engine.retry import RetryPolicy, with_retries
from foretell.errors import DeadlineExceeded, InferenceError, Overloaded, ReplicaLost
from foretell.model import Context
from foretell.types import Identity, ModelSpec


class Direct:
    """Answers one call on the caller's thread; where there is a time limit, on the replica's thread."""

    def __init__(
        self,
        pool: Pool,
        spec: Callable[[], ModelSpec],
        cache: PredictionCache | None,
        identity: Callable[[], Identity],
        settings: ModelSettings,
        recorder: Recorder,
        clock: Clock,
        where: str,
    ) -> None:
        self._pool, self._spec, self._cache, self._identity = pool, spec, cache, identity
        self._settings, self._recorder, self._clock, self._where = settings, recorder, clock, where
        self._retry = RetryPolicy(settings.retries, settings.retry_delay_s, settings.retry_max_delay_s)
        self._rng = random.Random()

    def run(self, batch: Batch, ctx: Context, apart: bool) -> Batch:
        """Raises an `InferenceError` when the batch fails whole; see `Engine.run`."""
        arrived = self._clock.monotonic()
        try:
            check_lengths(batch)
            if self._cache is not None and len(batch.errors) < batch.rows:
                return self._run_cached(self._cache, batch, ctx, arrived, apart)
            answer = self._run(batch, ctx, apart)
        except InferenceError as error:
            self._recorder.failed(error.code)
            raise
        self._record(answer, arrived)
        return answer

    def prepare(self, batch: Batch, ctx: Context) -> Prepared | Batch:
        """The host work ahead of the model, except where a cache or a time limit must see the batch first."""
        if self._cache is not None or self._settings.timeout_s is not None:
            return batch
        with self._held() as member:
            return member.replica.prepare(batch, member.here(ctx))

    def join(self, answers: list[Batch]) -> Batch:
        return joined(answers, self._where)

    def finish(self, prepared: Prepared, ctx: Context, apart: bool) -> Batch:
        started = self._clock.monotonic()
        try:
            answer = self._finish(prepared, ctx, apart)
        except InferenceError as error:
            self._recorder.failed(error.code)
            raise
        self._record(answer, started)
        return answer

    def _finish(self, prepared: Prepared, ctx: Context, apart: bool) -> Batch:
        with self._held() as member:
            replica, ready, ctx = prepared.replica or member.replica, prepared.batch, member.here(ctx)
            if not (apart and ready.rows and self._spec().mergeable):
                return replica.finish(prepared, ctx)

            def run(rows: range) -> Batch:
                return replica.finish(Prepared(ready.slice(rows.start, rows.stop), len(rows)), ctx)

            prepared.advance(run_apart(ready.rows, run, self.join))
            return prepared.answer()

    def _run(self, batch: Batch, ctx: Context, apart: bool) -> Batch:
        if not (apart and batch.rows and self._spec().mergeable):
            return self._call(batch, ctx)
        return run_apart(batch.rows, lambda rows: self._call(batch.slice(rows.start, rows.stop), ctx), self.join)

    def _call(self, batch: Batch, ctx: Context) -> Batch:
        with self._held() as member:
            ctx = member.here(ctx)
            if ctx.deadline is None:
                return member.replica.run(batch, ctx)
            call = partial(self._call_until, ctx.deadline, member, batch, ctx)
            return with_retries(call, self._retry, self._clock, self._rng, ctx.deadline)

    def _call_until(self, deadline: float, member: Member, batch: Batch, ctx: Context) -> Batch:
        thread, most = member.thread, self._settings.max_queue_size
        if thread.waiting >= most:
            what = "too many calls wait for the model"
            raise Overloaded(what, where=self._where, expected=f"at most {most}", fix="try again later")
        future = thread.submit(batch, ctx)
        try:
            return future.result(max(0.0, deadline - self._clock.monotonic()))
        except concurrent.futures.TimeoutError:
            if not future.cancel() and future.done():
                return future.result()
            raise DeadlineExceeded("the time limit passed", where=self._where) from None

    @contextlib.contextmanager
    def _held(self) -> Iterator[Member]:
        """A replica for one call. One that is lost in it leaves the pool."""
        member = self._pool.pick()
        try:
            yield member
        except ReplicaLost:
            self._pool.lose(member)
            raise
        finally:
            self._pool.release(member)

    def _run_cached(self, cache: PredictionCache, batch: Batch, ctx: Context, arrived: float, apart: bool) -> Batch:
        def run(missing: Batch) -> Batch:
            started = self._clock.monotonic()
            answer = self._run(missing, ctx, apart)
            self._recorder.completed([], answer.rows, started, self._clock.monotonic())
            return answer

        prepared = Prepared(batch, batch.rows)
        lookup = Lookup(cache, prepared.batch, self._spec(), self._identity(), ctx)
        self._recorder.cache(lookup.hits, lookup.misses)
        prepared.advance(run_cached(lookup, run, self._clock, ctx.deadline))
        answer = prepared.answer()
        if answer.errors:
            self._recorder.failed(row_failure(answer, 0, answer.rows).code)
        else:
            self._recorder.answered([arrived], self._clock.monotonic())
        return answer

    def _record(self, answer: Batch, arrived: float) -> None:
        """A call with rows that failed counts as failed, as one through the batcher does."""
        if answer.errors:
            self._recorder.failed(row_failure(answer, 0, answer.rows).code)
        self._recorder.completed([] if answer.errors else [arrived], answer.rows, arrived, self._clock.monotonic())
