"""Room for some of the versions that are served: who is in memory, and who makes place for whom.

A place is taken before a version is loaded, and given back when it is closed. So there are never more in memory than
there are places, not even for a moment.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator, Callable
from typing import Any

from foretell.catalog import Away, LiveCatalog, Served
from foretell.clock import Clock, SystemClock
from foretell.config import ServerSettings
from foretell.engine.engine import Engine
from foretell.engine.work import Work
from foretell.errors import NotReady
from foretell.observe.prometheus import escape, head
from foretell.repository.eviction import Resident, choose
from foretell.repository.intake import Intake
from foretell.repository.plan import Key
from foretell.repository.retirement import Retirement

_HOLDS_UP_S = 2.0
_SHORTEST_LOOK_S = 0.01

Submit = Callable[[Work], None]


class _Stay:
    """How long a version has been in memory, and when it was asked last."""

    __slots__ = ("load_s", "since", "used")

    def __init__(self, since: float, load_s: float) -> None:
        self.since, self.load_s, self.used = since, load_s, since


class Room:
    """At most `max_loaded_models` versions of `catalog` are in memory; those that nobody has asked for `idle_unload_s`
    leave, and so do others where their place is needed. What they had accepted they answer first.

    Belongs to the server's loop.
    """

    def __init__(
        self,
        catalog: LiveCatalog,
        intake: Intake,
        retirement: Retirement,
        settings: ServerSettings,
        clock: Clock | None = None,
    ) -> None:
        self._catalog, self._intake, self._retirement, self._settings = catalog, intake, retirement, settings
        self._most, self._idle_s = settings.max_loaded_models, settings.idle_unload_s
        self._now = (clock or SystemClock()).monotonic
        self._stays: dict[Key, _Stay] = {}
        self._holders: set[Key] = set()
        """Versions that have a place and are not in the catalogue yet."""
        self._queue = asyncio.Lock()
        self._changed = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self.left = {"room": 0, "idle": 0}
        """How many versions have left memory, by why."""
        catalog.subscribe(self._changed.set)
        intake.place = self.place
        intake.holds_up_s = _HOLDS_UP_S

    def start(self) -> None:
        """Begins to look for what nobody asks any more."""
        for served in self._catalog.loaded():
            self._stay((served.name, served.version))
        if self._idle_s is not None and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._idle_s, self._look_for_idle)

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def noting(self, key: Key, submit: Submit) -> Submit:
        """The same, and it is known when a version in memory was asked last."""
        stay, now = self._stay(key), self._now

        def noted(work: Work) -> None:
            stay.used = now()
            submit(work)

        return noted

    def note(self, key: Key) -> None:
        """A version in memory was asked."""
        self._stay(key).used = self._now()

    def holds(self, key: Key) -> bool:
        """Whether it has a place to be loaded in."""
        return key in self._holders

    @contextlib.asynccontextmanager
    async def place(self, key: Key) -> AsyncIterator[None]:
        """A place for a version that is loaded, in turns. Raises `NotReady` when the server stops."""
        async with self._queue:
            while not self._has_place():
                await self._make_place(key)
            self._holders.add(key)
        began = self._now()
        try:
            yield
            now = self._now()
            self._stays[key] = _Stay(now, now - began)
        finally:
            self._holders.discard(key)
            self._changed.set()

    def _has_place(self) -> bool:
        """What a load that was given up still takes counts, too, but for the last place: else nobody would have one."""
        if self._intake.stopping.is_set():
            raise NotReady("the server is shutting down", fix="try again elsewhere")
        if self._most is None:
            return True
        taken = len(self._catalog.loaded()) + len(self._holders) + len(self._retirement.under_way)
        return taken + min(len(self._intake.stuck), self._most - 1) < self._most

    async def _make_place(self, key: Key) -> None:
        """Has one leave, or waits until one can, or something else has made place."""
        loaded = {(one.name, one.version): one for one in self._catalog.loaded()}
        free = {other: one for other, one in loaded.items() if other != key and other not in self._holders}
        leaving = self._retirement.under_way
        if not free and not leaving and not self._holders:
            free = loaded  # its own older self: there is one place only
        choice = choose(
            [self._resident(other, one) for other, one in free.items()], self._now(), one_leaves=bool(leaving)
        )
        if choice.key is None:
            busy = [one.engine for one in free.values() if _busy(one.engine)]
            await self._until_something_ends(busy, choice.again_at)
            return
        was_busy = _busy(free[choice.key].engine)
        ending = self._evict(free[choice.key], "room")
        if not was_busy:
            await asyncio.wait([ending])

    async def _until_something_ends(self, busy: list[Engine], again_at: float) -> None:
        """A version has answered all it had, one has been closed, a load has ended, or the server stops; or it is
        `again_at`."""
        self._changed.clear()
        events = [self._changed.wait(), self._intake.stopping.wait()]
        waits = [asyncio.ensure_future(each) for each in (*events, *(engine.drain() for engine in busy))]
        waits += [asyncio.ensure_future(aside.over()) for aside in self._intake.stuck]
        limit_s = None if again_at == math.inf else max(0.0, again_at - self._now())
        try:
            each: list[asyncio.Future[Any]] = [*waits, *self._retirement.under_way]
            await asyncio.wait(each, timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    def _evict(self, served: Served, why: str) -> asyncio.Task[None]:
        """It may go on with what it has accepted for as long as any of that may take."""
        self._stays.pop((served.name, served.version), None)
        self.left[why] += 1
        self._catalog.put_away(Away.of(served))
        settings = self._settings
        streams = served.engine.streams
        patience_s = settings.request_timeout_s if streams is None else settings.stream_timeout_s
        return self._retirement.begin(served, patience_s)

    def _look_for_idle(self) -> None:
        idle_s, now = self._idle_s or math.inf, self._now()
        next_s = idle_s
        for served in self._catalog.loaded():
            key = served.name, served.version
            stay = self._stay(key)
            if _busy(served.engine):
                stay.used = now
            rest_s = stay.used + idle_s - now
            if rest_s > 0 or self.holds(key):
                next_s = min(next_s, max(rest_s, _SHORTEST_LOOK_S))
            else:
                self._evict(served, "idle")
        self._timer = asyncio.get_running_loop().call_later(max(next_s, _SHORTEST_LOOK_S), self._look_for_idle)

    def _stay(self, key: Key) -> _Stay:
        stay = self._stays.get(key)
        if stay is None:
            stay = self._stays[key] = _Stay(self._now(), 0.0)
        return stay

    def _resident(self, key: Key, served: Served) -> Resident:
        stay, engine = self._stay(key), served.engine
        streams = engine.streams is not None and engine.streams.running > 0
        return Resident(key, stay.used, stay.since, stay.load_s, _busy(engine), streams)

    def exposition(self) -> str:
        """The lines of Prometheus' text format."""
        lines = head("model_in_memory", "Processes that have the model in memory.", "gauge")
        for one in self._catalog.known():
            labels = f'model="{escape(one.name)}",version="{escape(one.version)}"'
            lines.append(f"foretell_model_in_memory{{{labels}}} {int(isinstance(one, Served))}")
        lines += head("model_evictions_total", "Versions of models that have left memory, and why.", "counter")
        lines += [f'foretell_model_evictions_total{{reason="{why}"}} {count}' for why, count in self.left.items()]
        return "\n".join(lines) + "\n"


def _busy(engine: Engine) -> bool:
    """Whether it has requests that have not ended."""
    streams = engine.streams
    busy = streams is not None and (streams.running > 0 or streams.waiting_rows > 0)
    return busy or any(batcher.pending for batcher in engine.batchers)
