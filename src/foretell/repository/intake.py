"""How one version gets into the catalogue: opened, loaded and warmed up in a thread, and only then let in."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Protocol

from foretell.backends.opened import Opened
from foretell.catalog import Away, Known, LiveCatalog, Served
from foretell.config import ModelSettings
from foretell.engine.recorder import Recorder
from foretell.errors import DeadlineExceeded, InferenceError, InvalidModel, ModelNotFound, NotReady
from foretell.observe.loads import Loads, Outcome
from foretell.observe.stats import Stats
from foretell.repository.aside import Aside
from foretell.repository.handover import hand_over, wait_for_replicas
from foretell.repository.plan import Key, Look, Planned
from foretell.repository.retirement import Retirement
from foretell.repository.stamp import Stamp
from foretell.repository.turns import ShortTurns
from foretell.saying import Say


class ChangedMeanwhile(InvalidModel):
    """What was loaded is not what was looked at, or only half of it."""


class Sources(Protocol):
    """Where models come from. Called in threads."""

    def look(self, name: str | None = None) -> Look:
        """What there is now; of one model only, where a name is given. Never raises."""
        ...

    def settings(self, planned: Planned) -> ModelSettings: ...

    def open(self, planned: Planned, settings: ModelSettings) -> Opened:
        """Nothing is loaded yet."""
        ...

    def load(self, planned: Planned, settings: ModelSettings, opened: Opened, recorder: Recorder | None) -> Served:
        """Loaded and warmed up. `recorder`: who has counted for the version that this one replaces."""
        ...


class Intake:
    """Takes versions into `catalog` and out of it, on the server's loop; one is loaded at a time.

    `say` gets a line for people about each.
    """

    def __init__(self, catalog: LiveCatalog, sources: Sources, retirement: Retirement, say: Say) -> None:
        self._catalog, self._sources, self._retirement, self._say = catalog, sources, retirement, say
        self.loads = Loads()
        self.loading: set[Key] = set()
        self.failures: dict[Key, InferenceError] = {}
        """Why a version was not loaded when that was tried last."""
        self.stamps: dict[Key, Stamp] = {}
        """What lay there when a version was loaded last, or tried last."""
        self.scanned: set[Key] = set()
        """Versions that were found in a folder, and so can be gone from there."""
        self.stopping = asyncio.Event()
        self.place: Callable[[Key], AbstractAsyncContextManager[None]] = lambda key: contextlib.nullcontext()
        """Where memory has room for some versions only: has what is loaded inside wait for a place there."""
        self.holds_up_s: float | None = None
        """So long a load holds up the next one; None: until it has ended."""
        self._one_at_a_time = asyncio.Lock()
        self._turns = ShortTurns()
        self._threads: dict[Key, Aside[Served | None]] = {}

    def note(self, planned: Planned) -> None:
        """Remembers from what a version was loaded."""
        key = planned.name or "", planned.version
        self.stamps[key] = planned.stamp
        if planned.scanned:
            self.scanned.add(key)

    def forget(self, known: set[Key], name: str | None = None) -> None:
        """Of what is not `known`, nothing needs to be remembered; where a name is given, of that model only."""
        gone = {*self.failures, *self.stamps, *self.scanned} - known
        for key in [key for key in gone if name in (None, key[0])]:
            self.failures.pop(key, None)
            self.stamps.pop(key, None)
            self.scanned.discard(key)

    @property
    def stuck(self) -> list[Aside[Served | None]]:
        """Loads that were given up, and have not ended."""
        return [aside for aside in self._threads.values() if aside.given_up and not aside.is_over]

    def known(self, key: Key) -> Known | None:
        """What is served, whether it is in memory or not."""
        try:
            found = self._catalog.find(*key)
        except ModelNotFound:
            return None
        return found if found.version == key[1] else None

    def serving(self, key: Key) -> Served | None:
        found = self.known(key)
        return found if isinstance(found, Served) else None

    def put_away(self, planned: Planned) -> None:
        """Serves a version that will be loaded by the first request for it. Raises `InvalidSetting`."""
        key = planned.name or "", planned.version
        known, settings = self.known(key), self._sources.settings(planned)
        self._catalog.put_away(Away(*key, settings, Stats() if known is None else known.recorder))
        self.note(planned)
        self.failures.pop(key, None)

    async def take_in(
        self,
        planned: Planned,
        *,
        only_changed: bool,
        look_again: Callable[[], Awaitable[Planned]] | None = None,
    ) -> None:
        """Loads a version; the one that serves until then is retired. With `only_changed`, nothing happens where file
        and settings are those that serve. `look_again`: for one that comes and goes, of which people are told only
        where it fails; what lies there when its turn has come. Raises `InferenceError`, and all is as it was."""
        key = planned.name or "", planned.version
        began = time.monotonic()
        self.loading.add(key)
        try:
            if key in self._threads and not self._threads[key].is_over:
                raise NotReady("an earlier load of it has not ended", where=f"model {key[0]!r}", fix="try again later")
            await self._retirement.ended(key)  # there are never more than the one that serves, and the next
            async with self._turn(), self.place(key):
                began = time.monotonic()
                planned = planned if look_again is None else await look_again()
                old = self.serving(key)
                served = await self._loaded(key, planned, old, only_changed)
                if served is not None:
                    self._let_in(key, served)
        except InferenceError as error:
            if not error.retryable:
                self.note(planned)
            self.loads.ended("failed", time.monotonic() - began)
            self.failures[key] = error
            self.tell_failed(key, error)
            raise
        finally:
            self.loading.discard(key)
        self.note(planned)
        self.failures.pop(key, None)
        outcome: Outcome = "unchanged" if served is None else "loaded" if old is None else "reloaded"
        took_s = time.monotonic() - began
        self.loads.ended(outcome, took_s)
        line = f"{key[0]} version {key[1]} {outcome} in {took_s:.2f} s"
        if look_again is None:
            self._say(line, event=f"model_{outcome}", model=key[0], version=key[1], duration_s=round(took_s, 3))

    def tell_failed(self, key: Key, error: InferenceError) -> None:
        """Tells people why a version cannot be loaded; without a version none of the model, without a name nothing."""
        name, version = key
        which = f"{name} version {version}" if version else name
        line = f"{which} could not be loaded: {error}" if which else str(error)
        self._say(line, event="model_failed", level="error", model=name, version=version)

    def take_out(self, key: Key) -> None:
        (gone,) = self._catalog.remove(*key)
        self.loads.unloaded()
        self.stamps.pop(key, None)
        self._say(f"{key[0]} version {key[1]} unloaded", event="model_unloaded", model=key[0], version=key[1])
        if isinstance(gone, Served):
            self._retirement.begin(gone)

    async def over(self) -> None:
        """Returns when no thread loads any more."""
        for aside in list(self._threads.values()):
            await aside.over()

    async def _loaded(self, key: Key, planned: Planned, old: Served | None, only_changed: bool) -> Served | None:
        """Loads in a thread; None where there is nothing new."""
        if self.stopping.is_set():
            raise NotReady("the server is shutting down", fix="try again elsewhere")
        settings = self._sources.settings(planned)
        known = self.known(key)
        recorder = None if known is None else known.recorder
        work = partial(_load, self._sources, planned, settings, old, recorder, only_changed)
        with self._turns.short():
            return await self._waited(key, Aside(work, f"load-{key[0]}", _close), settings.load_timeout_s)

    @contextlib.asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        """One is loaded at a time, but for those that take long where `holds_up_s` says so."""
        await self._one_at_a_time.acquire()
        timer: asyncio.TimerHandle | None = None
        held = True

        def release() -> None:
            nonlocal held
            if held:
                held = False
                self._one_at_a_time.release()

        if self.holds_up_s is not None:
            timer = asyncio.get_running_loop().call_later(self.holds_up_s, release)
        try:
            yield
        finally:
            release()
            if timer is not None:
                timer.cancel()

    async def _waited(self, key: Key, aside: Aside[Served | None], limit_s: float) -> Served | None:
        self._threads[key] = aside
        try:
            return await aside.result(limit_s, self.stopping)
        except DeadlineExceeded as error:
            fix = "give it more with load_timeout_s"
            raise DeadlineExceeded(error.what, where=f"model {key[0]!r}", fix=fix) from None
        finally:
            if not aside.given_up:
                del self._threads[key]

    def _let_in(self, key: Key, served: Served) -> None:
        old = self.serving(key)  # it may have gone from memory meanwhile
        try:
            if old is None:
                self._catalog.put(served)
            else:
                self._catalog.swap(old, served)
        except InferenceError:
            Aside(served.engine.close, "close")
            raise
        if old is not None:
            self._retirement.begin(old)


def _load(
    sources: Sources,
    planned: Planned,
    settings: ModelSettings,
    old: Served | None,
    recorder: Recorder | None,
    only_changed: bool,
) -> Served | None:
    opened = sources.open(planned, settings)
    if only_changed and old is not None and _same(opened, settings, old):
        if opened.model.apart:  # it has been loaded already
            opened.model.close()
        return None
    served = sources.load(planned, settings, opened, recorder)
    try:
        _check_same(sources, planned, (served.name, served.version))
        if old is not None:
            hand_over(old.engine, served.engine)
        wait_for_replicas(served.engine)
    except InferenceError:
        served.engine.close()
        raise
    return served


def _same(opened: Opened, settings: ModelSettings, as_that: Served) -> bool:
    return opened.digest == as_that.opened.digest != "" and settings == as_that.engine.settings


def _check_same(sources: Sources, planned: Planned, key: Key) -> None:
    """Raises `ChangedMeanwhile`."""
    now = sources.look(planned.name).found.get(key)
    if now is None or not set(planned.stamp) <= set(now.stamp):
        fix = "write it beside, and rename it into place"
        raise ChangedMeanwhile("it was changed while it was loaded", where=planned.source, fix=fix)


def _close(served: Served | None) -> None:
    if served is not None:
        served.engine.close()
