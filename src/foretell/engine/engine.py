"""The engine: one model, one identity, and every way a row can reach it."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import threading
import time
import weakref
from collections.abc import Callable
from functools import partial

from foretell.clock import Clock, SystemClock
from foretell.columns import Batch
from foretell.config import ModelSettings
from foretell.engine import policy
from foretell.engine.awaited import AwaitedWork, running_loop
from foretell.engine.batcher import Batcher
from foretell.engine.cache import PredictionCache, make_cache
from foretell.engine.cached_work import submit_cached
from foretell.engine.check import check_lengths
from foretell.engine.delivery import row_failure
from foretell.engine.direct import Direct
from foretell.engine.executors import JOIN_S
from foretell.engine.identity import identity_of
from foretell.engine.invariant import check_calls
from foretell.engine.member import Member
from foretell.engine.opening import check_devices, check_replicas, keep_known, loaded
from foretell.engine.padded_calls import padded_inputs
from foretell.engine.pool import Open, Pool
from foretell.engine.profile import Profile
from foretell.engine.profile_file import ProfileFile
from foretell.engine.recorder import NoRecorder, Recorder
from foretell.engine.replica import Prepared
from foretell.engine.streams import Streams, check_answers, check_streaming
from foretell.engine.upkeep import Upkeep
from foretell.engine.warm_up import warm_up
from foretell.engine.work import Groups, Work, fields_of
from foretell.errors import InferenceError, NotReady, said
from foretell.model import Context, Model
from foretell.saying import Say
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
        again: Open | None = None,
        apart: Open | None = None,
        profile_file: ProfileFile | None = None,
        say: Say | None = None,
    ) -> None:
        self.settings, self.name = settings, name
        self.recorder: Recorder = recorder or NoRecorder()
        self.clock: Clock = clock or SystemClock()
        self.profile = Profile()
        engine = weakref.proxy(self)  # whoever lets the engine go lets its model go with it, not a collection later
        self.groups = Groups(pad=lambda: padded_inputs(engine.spec))
        self._model, self._where = model, f"model {name!r}"
        self._version, self._digest, self._lock = version, digest, threading.Lock()
        self.pool = Pool(settings, self.clock, self._where, name)
        on_loop = model.native and settings.call_timeout_s is None and len(settings.devices) == 1
        self.placement = policy.Placement(on_loop, settings.executor, settings.inline_limit_ms / 1e3)
        self._again, self._apart, self._say = again, apart, say
        self.upkeep: Upkeep | None = None
        self._profile_file = profile_file
        self._batchers: dict[asyncio.AbstractEventLoop, Batcher] = {}
        self._direct: Direct | None = None
        self.streams: Streams | None = None  # of a model that streams, once it is loaded
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
        return self.pool.ready and not self._closed

    @property
    def identity(self) -> Identity:
        """Valid after `load`."""
        if self._identity is None:
            identity = identity_of(self._model, self.settings, self.name, self._version, self._digest)
            if self._direct is None:
                return identity
            self._identity = identity
        return self._identity

    @property
    def cached_rows(self) -> int:
        return len(self._cache) if self._cache else 0

    @property
    def batchers(self) -> list[Batcher]:
        return list(self._batchers.values())

    @property
    def waiting_rows(self) -> int:
        return sum(each.waiting_rows for each in (*self.batchers, self.streams) if each is not None)

    def load(self) -> Engine:
        """Loads and warms up the model. Raises what the model raises, as an `InferenceError`."""
        try:
            check_devices(self._model, self.settings.devices, self._where)
            self._model.load(self.settings.devices[0])
            check_calls(self._model, self.settings, self._where)
            check_replicas(self.settings, self._model, self._again is not None, self._where)
            check_streaming(self._model, self.settings, self._where)
            if self.settings.cache_size:
                self._cache = make_cache(self.settings, self.spec, self.clock, self._where)
        except (Exception, SystemExit) as error:  # a model ends its loading, not who loads it
            self._closed = True
            self._model.close()
            if isinstance(error, InferenceError):
                raise
            raise NotReady(f"loading failed: {said(error)}", where=self._where) from error
        me = weakref.proxy(self)  # a circle would keep the model until a collection
        self._direct = Direct(
            self.pool, lambda: me.spec, self._cache, lambda: me.identity, self.settings, self.recorder, self.clock,
            self._where,
        )  # fmt: skip
        first = self.pool.make(self._model, self.settings.devices[0])
        self.pool.add(first)
        if self.spec.streams:
            self.streams = Streams(self.pool, self.settings, self.recorder, self.clock, self._where)
        try:
            if self._profile_file is not None:
                self._profile_file.follow(self.profile, self.identity, self.clock)
            self._learn(warm_up(first.replica, self.settings, self._where))
        except InferenceError:
            self.close()
            raise
        self.placement.follow(self.profile.recent_s)
        self._keep_up()
        return self

    def _learn(self, call_s: float | None) -> None:
        if call_s is not None and self._model.native:
            self.profile.learn(1, call_s)

    def _keep_up(self) -> None:
        """Starts looking after the replicas, where there is something to look after."""
        settings, again = self.settings, self._again
        here = self.spec.stateful or self.spec.concurrent or self.spec.streams or self._model.native
        apart = None if here or settings.executor != "auto" else self._apart
        several = settings.most_replicas > 1
        if again is None or not (several or self._model.apart or apart is not None or settings.call_timeout_s):
            return
        self.upkeep = Upkeep(self.pool, settings, self._open, again, apart, lambda: self.waiting_rows, self._say)
        self.upkeep.start()

    def _open(self, again: Open, generation: int, device: str) -> Member:
        """A further replica, ready to take batches. Raises `InferenceError`."""
        model = loaded(again, device, self._where)
        member = self.pool.make(model, device, generation)
        try:
            warm_up(member.replica, self.settings, self._where)
        except InferenceError:
            member.close(time.monotonic() + JOIN_S)
            raise
        known = self._model
        keep_known(model, known)
        if model.apart is not known.apart or all(other.replica.model is not known for other in self.pool.members):
            self._model = model  # what is learned of the model, is learned where its calls are from now on
        return member

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
        check_answers(self._model, self.recorder, self._where)
        ctx = self.limited(ctx or Context(device=self.settings.device))
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
        check_answers(self._model, self.recorder, self._where)
        return self._answers().run(batch, self.limited(ctx or Context(device=self.settings.device)), apart)

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
        return self._answers().join(answers)

    def batcher(self, loop: asyncio.AbstractEventLoop) -> Batcher:
        """The batcher of `loop`, made at first use. Raises `NotReady` before `load` and after `close`."""
        batcher = self._batchers.get(loop)
        if batcher is None:
            with self._lock:
                for known in [known for known in self._batchers if known.is_closed()]:
                    del self._batchers[known]
                batcher = self._batchers[loop] = Batcher(
                    self._loaded(), self.placement, self.profile, self.settings, self.recorder, self.clock, loop,
                    self._where,
                )  # fmt: skip
        return batcher

    async def drain(self) -> None:
        """Returns when every request accepted on this loop has ended."""
        batcher = self._batchers.get(asyncio.get_running_loop())
        if batcher is not None:
            await batcher.drain()
        if self.streams is not None:
            await self.streams.drain()

    def close(self) -> None:
        """Fails what waits, finishes what runs, and gives back the model's resources. Harmless when repeated."""
        if self._closed:
            return
        self._closed = True
        for loop, batcher in list(self._batchers.items()):
            if running_loop() is loop:
                batcher.close()
                continue
            # A loop that does not run now may run again, one that has closed has nobody waiting on it.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(batcher.close)
        if self._direct is None:
            self._model.close()
            return
        if self.streams is not None:
            self.streams.close()
        self.pool.close()
        if self.upkeep is not None:
            self.upkeep.close()
        if self._profile_file is not None:
            self._profile_file.close()
        # They hold the engine: without them, it and its model go with the last who has it, not a collection later.
        self._direct = self.upkeep = self.pool.on_losing = self.pool.on_lost = None

    def _submit_cached(self, batcher: Batcher, work: Work) -> None:
        if self._cache is None or not work.rows or work.group.context.sequence is not None:
            batcher.submit(work)
        else:
            submit_cached(self._cache, work, self.spec, self.identity, batcher.submit, self.recorder, self.clock)

    def limited(self, ctx: Context) -> Context:
        """With the model's own time limit, unless the caller has a nearer one."""
        if self.settings.timeout_s is None:
            return ctx
        limit = self.clock.monotonic() + self.settings.timeout_s
        return dataclasses.replace(ctx, deadline=limit if ctx.deadline is None else min(limit, ctx.deadline))

    def _loaded(self) -> Pool:
        self._answers()
        return self.pool

    def _answers(self) -> Direct:
        if self._closed:
            raise NotReady("the model is closed", where=self._where)
        if self._direct is None:
            raise NotReady("the model is not loaded", where=self._where)
        return self._direct
