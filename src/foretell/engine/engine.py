"""The engine: one model, one identity, and every way a row can reach it."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import dataclasses
import hashlib
import threading
import time
from collections.abc import Callable
from functools import partial

import numpy as np

from foretell.clock import Clock, SystemClock
from foretell.columns import Batch, Bytes, Column, Dense
from foretell.config import ModelSettings
from foretell.engine.apart import run_apart
from foretell.engine.batcher import Batcher, row_failure
from foretell.engine.cache import PredictionCache
from foretell.engine.cached import Lookup, run_cached
from foretell.engine.cached_work import CachedWork, lookup_work
from foretell.engine.executors import JOIN_S, ThreadExecutor
from foretell.engine.policy import Profile
from foretell.engine.recorder import NoRecorder, Recorder
from foretell.engine.replica import Prepared, Replica
from foretell.engine.work import Completed, Group, Groups, Work, fields_of
from foretell.errors import (
    DeadlineExceeded,
    InferenceError,
    InvalidInput,
    InvalidSetting,
    NotReady,
    Overloaded,
    Unavailable,
)
from foretell.model import Context, Model
from foretell.types import DataType, Identity, ModelSpec


class Engine:
    """Runs a model for every door. Safe from any thread; `submit` and `infer` belong to the thread of their loop.

    `submit` queues a request in the batcher of the running event loop; `run` answers a caller that waits, past the
    queue but through the same replica; `run_ahead` answers a sequence of batches with host work ahead of the model.
    """

    def __init__(
        self,
        model: Model,
        settings: ModelSettings,
        *,
        name: str = "model",
        version: str = "1",
        digest: str = "",
        recorder: Recorder | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.settings, self.name = settings, name
        self.recorder: Recorder = recorder or NoRecorder()
        self.clock: Clock = clock or SystemClock()
        self.profile = Profile()
        self.groups = Groups()
        self._model = model
        self._where = f"model {name!r}"
        self._version, self._digest = version, digest
        self._lock = threading.Lock()
        self._thread: ThreadExecutor | None = None
        self._batchers: dict[asyncio.AbstractEventLoop, Batcher] = {}
        self._replica: Replica | None = None
        self._closed = False
        self._cache: PredictionCache | None = None
        self._identity: Identity | None = None

    @property
    def spec(self) -> ModelSpec:
        return self._model.spec

    @property
    def model(self) -> Model:
        return self._model

    @property
    def ready(self) -> bool:
        return self._replica is not None and not self._closed

    @property
    def identity(self) -> Identity:
        """Valid after `load`."""
        if self._identity is None:
            variant = hashlib.sha256(repr(sorted(self._model.variant().items())).encode()).hexdigest()
            identity = Identity(self.name, self._version, self._digest, f"sha256:{variant}")
            if self._replica is None:
                return identity
            self._identity = identity
        return self._identity

    @property
    def cached_rows(self) -> int:
        return len(self._cache) if self._cache else 0

    @property
    def waiting_rows(self) -> int:
        return sum(batcher.waiting_rows for batcher in list(self._batchers.values()))

    def load(self) -> Engine:
        """Loads and warms up the model. Raises what the model raises, as an `InferenceError`."""
        try:
            self._check_device()
            self._model.load(self.settings.device)
            if self.settings.cache_size:
                self._cache = self._make_cache()
        except Exception as error:
            self._closed = True
            self._model.close()
            if isinstance(error, InferenceError):
                raise
            raise NotReady(f"loading failed: {type(error).__name__}: {error}", where=self._where) from error
        self._replica = Replica(self._model, self.settings, self.clock, self._where)
        if self.settings.warm_up and self._model.native:
            self._warm_up()
        return self

    def submit(self, work: Work) -> None:
        """Takes a request on the running loop's thread; it ends in exactly one `work.done` or `work.fail`."""
        try:
            take = self.submitter(asyncio.get_running_loop())
        except NotReady as error:
            work.ended = True
            self.recorder.failed(error.code)
            work.fail(error)
        else:
            take(work)

    def submitter(self, loop: asyncio.AbstractEventLoop) -> Callable[[Work], None]:
        """`submit` for the thread of `loop`, for doors that call it often."""
        batcher = self.batcher(loop)
        return batcher.submit if self._cache is None else partial(self._submit_cached, batcher)

    async def infer(self, batch: Batch, ctx: Context | None = None) -> Batch:
        """Answers `batch` through the batcher. Raises an `InferenceError`, with `rows`, if any of its rows failed.

        Cancelling it takes it out of the queue.
        """
        ctx = self._limited(ctx or Context(device=self.settings.device))
        _check_lengths(batch)
        if batch.errors:
            failure = row_failure(batch, 0, batch.rows)
            self.recorder.failed(failure.code)
            raise failure
        group = self.groups.get(fields_of(batch), ctx.params, ctx, self.spec.mergeable)
        work = _Awaited(list(batch.columns.values()), batch.rows, group, ctx.deadline)
        self.submit(work)
        try:
            return await work.future
        except asyncio.CancelledError:
            work.cancel()
            raise

    def run(self, batch: Batch, ctx: Context | None = None, *, apart: bool = False) -> Batch:
        """Answers `batch` on behalf of a caller that waits; failed rows are in `errors`.

        Raises an `InferenceError` when the batch fails whole, `DeadlineExceeded` when its time is up. With `apart`, a
        failure of the whole starts a search for the rows that made it, see `run_apart`.
        """
        ctx = self._limited(ctx or Context(device=self.settings.device))
        arrived = self.clock.monotonic()
        try:
            _check_lengths(batch)
            if self._cache is not None and len(batch.errors) < batch.rows:
                return self._run_cached(self._cache, batch, ctx, arrived, apart)
            answer = self._run(batch, ctx, apart)
        except InferenceError as error:
            self.recorder.failed(error.code)
            raise
        self._record(answer, arrived)
        return answer

    def prepare(self, batch: Batch) -> Prepared | Batch:
        """The host work of `batch` ahead of the model, for `finish`; may run in another thread, see `run_ahead`.

        Where a cache or a time limit must see the batch first, all of the work is left to `finish`.
        """
        if self._cache is not None or self.settings.timeout_s is not None:
            return batch
        return self._loaded().prepare(batch, Context(device=self.settings.device))

    def finish(self, prepared: Prepared | Batch, *, apart: bool = False) -> Batch:
        """The answer of a prepared batch; failed rows are in `errors`. Raises like `run`."""
        if isinstance(prepared, Batch):
            return self.run(prepared, apart=apart)
        started = self.clock.monotonic()
        try:
            answer = self._finish(prepared, Context(device=self.settings.device), apart)
        except InferenceError as error:
            self.recorder.failed(error.code)
            raise
        self._record(answer, started)
        return answer

    def join(self, answers: list[Batch]) -> Batch:
        """The answers of several calls as one. Raises `ModelError` where they do not go together."""
        return self._loaded().join(answers)

    def batcher(self, loop: asyncio.AbstractEventLoop) -> Batcher:
        """The batcher of `loop`, made at first use. Raises `NotReady` before `load` and after `close`."""
        batcher = self._batchers.get(loop)
        if batcher is None:
            with self._lock:
                for known in [known for known in self._batchers if known.is_closed()]:
                    del self._batchers[known]
                batcher = self._batchers[loop] = Batcher(
                    self._loaded(), self.thread, self.profile, self.settings, self.recorder, self.clock, loop,
                    self._where,
                )  # fmt: skip
        return batcher

    def thread(self) -> ThreadExecutor:
        """The replica's worker thread, started at first use."""
        with self._lock:
            if self._thread is None:
                self._thread = ThreadExecutor(self._loaded(), self.name)
            return self._thread

    async def drain(self) -> None:
        """Returns when every request accepted on this loop has ended."""
        batcher = self._batchers.get(asyncio.get_running_loop())
        if batcher is not None:
            await batcher.drain()

    def close(self) -> None:
        """Fails what waits, finishes what runs, and gives back the model's resources. Harmless when repeated."""
        if self._closed:
            return
        self._closed = True
        for loop, batcher in list(self._batchers.items()):
            if _running_loop() is loop:
                batcher.close()
                continue
            # A loop that does not run now may run again, one that has closed has nobody waiting on it.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(batcher.close)
        until = time.monotonic() + JOIN_S
        if self._thread is not None:
            self._thread.close()
        if self._replica is None:
            self._model.close()
        else:
            self._replica.close(max(0.0, until - time.monotonic()))

    def _finish(self, prepared: Prepared, ctx: Context, apart: bool) -> Batch:
        replica, ready = self._loaded(), prepared.batch
        if not (apart and ready.rows and self.spec.mergeable):
            return replica.finish(prepared, ctx)

        def run(rows: range) -> Batch:
            return replica.finish(Prepared(ready.slice(rows.start, rows.stop), len(rows)), ctx)

        prepared.advance(run_apart(ready.rows, run, replica.join))
        return prepared.answer()

    def _run(self, batch: Batch, ctx: Context, apart: bool = False) -> Batch:
        if apart and batch.rows and self.spec.mergeable:
            return run_apart(
                batch.rows, lambda rows: self._run(batch.slice(rows.start, rows.stop), ctx), self._loaded().join
            )
        replica = self._loaded()
        if ctx.deadline is None:
            return replica.run(batch, ctx)
        thread = self.thread()
        if thread.waiting >= self.settings.max_queue_size:
            what, most = "too many calls wait for the model", f"at most {self.settings.max_queue_size}"
            raise Overloaded(what, where=self._where, expected=most, fix="try again later")
        future = thread.submit(batch, ctx)
        try:
            return future.result(max(0.0, ctx.deadline - self.clock.monotonic()))
        except concurrent.futures.TimeoutError:
            if not future.cancel() and future.done():
                return future.result()
            raise DeadlineExceeded("the time limit passed", where=self._where) from None

    def _submit_cached(self, batcher: Batcher, work: Work) -> None:
        cache = self._cache
        if cache is None or not work.rows or work.group.context.sequence is not None:
            batcher.submit(work)
            return
        try:
            lookup = lookup_work(cache, work, self.spec, self.identity)
        except InvalidInput as error:
            work.ended = True
            self.recorder.failed(error.code)
            work.fail(error)
            return
        self.recorder.cache(lookup.hits, lookup.misses)
        loop = asyncio.get_running_loop()
        CachedWork(work, lookup, batcher.submit, loop, self.recorder, self.clock).start()

    def _limited(self, ctx: Context) -> Context:
        """With the model's own time limit, unless the caller has a nearer one."""
        if self.settings.timeout_s is None:
            return ctx
        limit = self.clock.monotonic() + self.settings.timeout_s
        return dataclasses.replace(ctx, deadline=limit if ctx.deadline is None else min(limit, ctx.deadline))

    def _loaded(self) -> Replica:
        if self._closed:
            raise NotReady("the model is closed", where=self._where)
        if self._replica is None:
            raise NotReady("the model is not loaded", where=self._where)
        return self._replica

    def _run_cached(self, cache: PredictionCache, batch: Batch, ctx: Context, arrived: float, apart: bool) -> Batch:
        def run(missing: Batch) -> Batch:
            started = self.clock.monotonic()
            answer = self._run(missing, ctx, apart)
            self.recorder.completed([], answer.rows, started, self.clock.monotonic())
            return answer

        self._loaded()
        prepared = Prepared(batch, batch.rows)
        lookup = Lookup(cache, prepared.batch, self.spec, self.identity, ctx)
        self.recorder.cache(lookup.hits, lookup.misses)
        prepared.advance(run_cached(lookup, run, self.clock, ctx.deadline))
        answer = prepared.answer()
        if answer.errors:
            self.recorder.failed(row_failure(answer, 0, answer.rows).code)
        else:
            self.recorder.answered([arrived], self.clock.monotonic())
        return answer

    def _record(self, answer: Batch, arrived: float) -> None:
        """A call with rows that failed counts as failed, as one through the batcher does."""
        if answer.errors:
            self.recorder.failed(row_failure(answer, 0, answer.rows).code)
        self.recorder.completed([] if answer.errors else [arrived], answer.rows, arrived, self.clock.monotonic())

    def _check_device(self) -> None:
        """A model without a `load` of its own cannot have heard of the device."""
        device = self.settings.device
        if device != "cpu" and type(self._model).load is Model.load:
            fix = "use cpu, or give the model a method load(self, device)"
            raise Unavailable("the model knows of no devices", where=self._where, expected="cpu", got=device, fix=fix)

    def _make_cache(self) -> PredictionCache:
        if self.spec.stateful or not self.spec.deterministic:
            kind = "stateful" if self.spec.stateful else "not deterministic"
            raise InvalidSetting(f"cache_size is set, but the model is {kind}", where=self._where, fix="leave it out")
        return PredictionCache(self.settings.cache_size, self.settings.cache_ttl_s, self.clock)

    def _warm_up(self) -> None:
        """Pays for first use and seeds the profile, where a row of zeros can be made from the spec."""
        sample = zeros(self.spec)
        if sample is None:
            return
        try:
            self.profile.learn(1, self._loaded().warm_up(sample))
        except InferenceError:
            # A row of zeros need not be a row that this model can answer; its first real call tells.
            return


def zeros(spec: ModelSpec) -> Batch | None:
    """One row of zeros, or None where the spec leaves a type or a size open."""
    columns: dict[str, Column] = {}
    for tensor in spec.inputs or ():
        if tensor.datatype is None or tensor.width is None or tensor.shape is None:
            return None
        shape = tuple(size or 0 for size in tensor.shape)
        if tensor.datatype is DataType.BYTES:
            columns[tensor.name] = Bytes.of([b""] * tensor.width, shape)
        else:
            columns[tensor.name] = Dense(np.zeros((1, *shape), tensor.datatype.numpy))
    return Batch(columns, 1) if columns else None


def _check_lengths(batch: Batch) -> None:
    """Raises `InvalidInput` for columns of another length than the batch, which would shift the rows beside them."""
    for name, column in batch.columns.items():
        if isinstance(column, Dense) and not column.data.ndim:
            raise InvalidInput("a single value is no column", where=f"input {name!r}", expected="an axis of rows")
        if len(column) != batch.rows:
            where = f"input {name!r}"
            raise InvalidInput("wrong number of rows", where=where, expected=batch.rows, got=len(column))


class _Awaited(Work):
    """A request whose caller awaits a future."""

    __slots__ = ("future",)

    def __init__(self, parts: list[Column], rows: int, group: Group, deadline: float | None) -> None:
        super().__init__(list(parts), rows, group, deadline)
        self.future: asyncio.Future[Batch] = asyncio.get_running_loop().create_future()

    def done(self, completed: Completed, start: int) -> None:
        if not self.future.done():
            self.future.set_result(completed.batch.slice(start, start + self.rows))

    def fail(self, error: InferenceError) -> None:
        if not self.future.done():
            self.future.set_exception(error)


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
