"""The engine: one model, one identity, and every way a row can reach it."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import hashlib
import threading
import time
from collections.abc import Callable
from functools import partial

from foretell.clock import Clock, SystemClock
from foretell.columns import Batch
from foretell.config import ModelSettings
from foretell.engine.awaited import AwaitedWork
from foretell.engine.batcher import Batcher
from foretell.engine.cache import PredictionCache
from foretell.engine.cached_work import CachedWork, lookup_work
from foretell.engine.check import check_lengths
from foretell.engine.delivery import row_failure
from foretell.engine.direct import Direct
from foretell.engine.executors import JOIN_S, ThreadExecutor
from foretell.engine.policy import Profile
from foretell.engine.recorder import NoRecorder, Recorder
from foretell.engine.replica import Prepared, Replica
from foretell.engine.warm_up import warm_up, zeros
from foretell.engine.work import Groups, Work, fields_of
from foretell.errors import InferenceError, InvalidInput, InvalidSetting, NotReady, Unavailable
from foretell.model import Context, Model
from foretell.types import Identity, ModelSpec


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
        self._direct: Direct | None = None
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
        except (Exception, SystemExit) as error:  # a model ends its loading, not who loads it
            self._closed = True
            self._model.close()
            if isinstance(error, InferenceError):
                raise
            raise NotReady(f"loading failed: {type(error).__name__}: {error}", where=self._where) from error
        self._replica = Replica(self._model, self.settings, self.clock, self._where)
        self._direct = Direct(
            self._replica, self.thread, self._cache, lambda: self.identity, self.settings, self.recorder, self.clock,
            self._where,
        )  # fmt: skip
        try:
            self._warm_up(self._replica)
        except InferenceError:
            self.close()
            raise
        return self

    def _warm_up(self, replica: Replica) -> None:
        """As the setting says; what is unknown of the inputs is an error only to who asked for it."""
        wanted, native = self.settings.warm_up, self._model.native
        if not (native if wanted is None else wanted):
            return
        sample = zeros(self.spec)
        if sample is None and wanted:
            what = "warm_up needs inputs of known type and shape"
            raise Unavailable(what, where=self._where, fix="tell them (type hints, example), or leave warm_up out")
        if sample is not None and (seconds := warm_up(replica, sample)) is not None and native:
            self.profile.learn(1, seconds)

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
        check_lengths(batch)
        if batch.errors:
            failure = row_failure(batch, 0, batch.rows)
            self.recorder.failed(failure.code)
            raise failure
        group = self.groups.get(fields_of(batch), ctx.params, ctx, self.spec.mergeable)
        work = AwaitedWork(batch, group, ctx.deadline)
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
        return self._answers().run(batch, self._limited(ctx or Context(device=self.settings.device)), apart)

    def prepare(self, batch: Batch) -> Prepared | Batch:
        """The host work of `batch` ahead of the model, for `finish`; may run in another thread, see `run_ahead`.

        Where a cache or a time limit must see the batch first, all of the work is left to `finish`.
        """
        return self._answers().prepare(batch, Context(device=self.settings.device))

    def finish(self, prepared: Prepared | Batch, *, apart: bool = False) -> Batch:
        """The answer of a prepared batch; failed rows are in `errors`. Raises like `run`."""
        if isinstance(prepared, Batch):
            return self.run(prepared, apart=apart)
        return self._answers().finish(prepared, Context(device=self.settings.device), apart)

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

    def _answers(self) -> Direct:
        self._loaded()
        if self._direct is None:
            raise NotReady("the model is not loaded", where=self._where)
        return self._direct

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


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
