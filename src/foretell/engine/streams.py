"""The streams of one model: who has a place, who waits for one, and how each comes to its end."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from copy import copy
from dataclasses import dataclass
from typing import Any

from foretell.clock import Clock
from foretell.config import ModelSettings
from foretell.engine import policy
from foretell.engine.member import Member
from foretell.engine.pool import Pool
from foretell.engine.recorder import Recorder
from foretell.engine.refusals import Refusals
from foretell.engine.step_limit import Step, StepLimit
from foretell.engine.stream_call import StreamCall, expired
from foretell.errors import (
    InferenceError,
    InvalidInput,
    InvalidSetting,
    ModelError,
    Overloaded,
    ReplicaLost,
    said,
)
from foretell.model import Model

Call = StreamCall[Any]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a stream runs, and the step of it that the model has."""

    member: Member
    step: Step


class Streams:
    """Gives each stream a place on a replica and a thread for as long as it lasts; `max_streams` on each replica.

    Those without a place wait, up to `max_queue_size` rows. A replica that takes longer than `call_timeout_s` for one
    step is lost, and with it all its streams. Safe from any thread. A stream ends in one `finish`.
    """

    def __init__(self, pool: Pool, settings: ModelSettings, recorder: Recorder, clock: Clock, where: str) -> None:
        self._pool, self._settings, self._recorder, self._clock = pool, settings, recorder, clock
        self._where = where
        self._refusals = Refusals(where, settings.max_queue_size)
        self._lock = threading.Lock()
        self._waiting: deque[Call] = deque()
        self._running: dict[Call, Place] = {}
        limit_s = settings.call_timeout_s
        self._limit = None if limit_s is None else StepLimit(limit_s, self._exceeded)
        self._closed = False
        self._idle: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []
        pool.watch(self._members_changed)

    @property
    def running(self) -> int:
        """Streams that have a place; one that was ended keeps it until the model lets go."""
        return len(self._running)

    @property
    def waiting_rows(self) -> int:
        return sum([call.rows for call in list(self._waiting) if not call.ended])

    def begin(self, call: Call) -> None:
        """Takes a stream in. Raises `Overloaded` and `NotReady`."""
        try:
            self._admit(call)
        except InferenceError as error:
            self._recorder.failed(error.code)
            raise
        self._dispatch()

    def _admit(self, call: Call) -> None:
        with self._lock:
            if self._closed:
                raise self._refusals.shutting_down()
            if self._pool.hopeless:
                raise self._pool.not_ready()
            self._forget_ended()
            waiting = self.waiting_rows
            if not policy.admits(waiting, call.rows, self._settings.max_queue_size):
                raise copy(self._refusals.queue_full(waiting, call.rows, None))
            call.on_end = self._ended
            self._waiting.append(call)

    async def drain(self) -> None:
        """Returns when every accepted stream has ended and the model has let go of it."""
        while self._waiting or self._running:
            event = asyncio.Event()
            with self._lock:
                self._idle.append((asyncio.get_running_loop(), event))
            self._settle()
            await event.wait()

    def close(self) -> None:
        """Ends all streams with a retryable error; the model lets go of those it has between two items."""
        with self._lock:
            self._closed = True
            calls = [*self._waiting, *self._running]
            self._waiting.clear()
        self._pool.unwatch(self._members_changed)
        if self._limit is not None:
            self._limit.close()
        for call in calls:
            call.finish(self._refusals.shutting_down())
        self._settle()

    def _dispatch(self) -> None:
        """Gives places to those who wait."""
        while True:
            with self._lock:
                self._forget_ended()
                member = self._pool.acquire(self._full()) if self._waiting else None
                if member is None:
                    break
                call = self._waiting.popleft()
                place = self._running[call] = Place(member, Step())
            name = f"foretell-stream-{member.number}"
            try:
                if self._limit is not None:
                    self._limit.add(place.step)
                threading.Thread(target=self._run, args=(call, place), name=name, daemon=True).start()
            except RuntimeError:  # the machine has no further thread to give
                call.finish(Overloaded("there are too many threads", where=self._where, fix="try again later"))
                self._release(call)
        self._settle()

    def _full(self) -> set[Member]:
        """The replicas without a free place. The lock must be held."""
        counts: dict[Member, int] = {}
        for place in self._running.values():
            counts[place.member] = counts.get(place.member, 0) + 1
        return {member for member, count in counts.items() if count >= self._settings.max_streams}

    def _run(self, call: Call, place: Place) -> None:
        """A stream's own thread."""
        try:
            call.finish(self._outcome(call, place.member, place.step))
        finally:
            self._release(call)
            self._dispatch()

    def _outcome(self, call: Call, member: Member, step: Step) -> InferenceError | None:
        call.started = self._clock.monotonic()
        if call.deadline is not None and call.started >= call.deadline:
            return expired()
        if call.ended:
            return None
        try:
            with contextlib.closing(member.replica.stream(call.batch, member.here(call.context), step)) as items:
                for number, item in enumerate(items):
                    if not number:
                        self._recorder.first_item(call.arrived, self._clock.monotonic())
                    if not call.put(item):
                        break
        except InferenceError as error:
            if isinstance(error, ReplicaLost):
                self._pool.lose(member)
            return error
        except BaseException as error:  # a thread of ours has nobody above it who could tell
            return ModelError(said(error), where=self._where)
        return None

    def _release(self, call: Call) -> None:
        """Harmless when repeated: a stream that was given up may still come to its end."""
        with self._lock:
            place = self._running.pop(call, None)
        if place is not None:
            if self._limit is not None:
                self._limit.remove(place.step)
            self._pool.release(place.member)

    def _exceeded(self, step: Step) -> None:
        """The model hangs: its replica is replaced, and who waits is told. In this order: who tries again at once must
        not come to the replica that hangs."""
        with self._lock:
            hangs = [(call, place) for call, place in self._running.items() if place.step is step]
        for call, place in hangs:
            self._pool.lose(place.member, "hung")
            call.finish(self._lost(place))

    def _lost(self, place: Place) -> ReplicaLost:
        what = "the replica of the stream was lost"
        if place.step.exceeded:
            what = f"a step of the stream took longer than {self._settings.call_timeout_s:g} s"
        return ReplicaLost(what, where=self._where, fix="try again")

    def _ended(self, call: Call) -> None:
        """Counts it, once."""
        if call.error is None:
            self._recorder.streamed(call.arrived, self._clock.monotonic(), call.items, call.item_rows)
        else:
            self._recorder.streamed(None, self._clock.monotonic(), call.items, call.item_rows)
            self._recorder.failed(call.error.code)
        if call.started is None:
            self._dispatch()

    def _forget_ended(self) -> None:
        """The lock must be held."""
        if any(call.ended for call in self._waiting):
            self._waiting = deque(call for call in self._waiting if not call.ended)

    def _members_changed(self) -> None:
        with self._lock:
            places = list(self._running.items())
        # Their turn might never come. A process that ends tells its streams itself, and why.
        for call, place in [(call, place) for call, place in places if place.member.lost and not place.member.apart]:
            call.finish(self._lost(place))
            self._release(call)
        for call in list(self._waiting) if self._pool.hopeless else ():
            call.finish(self._pool.not_ready())
        self._dispatch()

    def _settle(self) -> None:
        """Wakes who waits for the end of all."""
        if self._waiting or self._running:
            return
        with self._lock:
            idle, self._idle = self._idle, []
        for loop, event in idle:
            with contextlib.suppress(RuntimeError):  # a loop that has closed has nobody waiting on it
                loop.call_soon_threadsafe(event.set)


def streams_of(streams: Streams | None, where: str) -> Streams:
    """Raises `InvalidInput` for a model that does not stream."""
    if streams is None:
        raise InvalidInput("the model does not stream its answers", where=where, fix="ask for the whole answer")
    return streams


def check_streaming(model: Model, settings: ModelSettings, where: str) -> None:
    """Raises `InvalidSetting` for a setting that would do nothing for a model that only streams."""
    if not model.only_streams:
        return
    for name, given in (("cache_size", settings.cache_size), ("slo_ms", settings.slo_ms)):
        if given:
            fix = f"leave {name} out"
            raise InvalidSetting(f"{name} would do nothing: the model only streams", where=where, fix=fix)


def check_answers(model: Model, recorder: Recorder, where: str) -> None:
    """Raises `InvalidInput` for who asks a model that only streams for a whole answer."""
    if model.only_streams:
        recorder.failed(InvalidInput.code)
        raise InvalidInput("the model streams its answers", where=where, expected="a request for a stream")
