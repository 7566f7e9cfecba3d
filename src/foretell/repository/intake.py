"""How one version gets into the catalogue: opened, loaded and warmed up in a thread, and only then let in."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import Protocol

from foretell.backends.opened import Opened
from foretell.catalog import LiveCatalog, Served
from foretell.config import ModelSettings
from foretell.engine.recorder import Recorder
from foretell.errors import DeadlineExceeded, InferenceError, InvalidModel, ModelNotFound, NotReady
from foretell.observe.loads import Loads, Outcome
from foretell.repository.aside import Aside
from foretell.repository.handover import hand_over, wait_for_replicas
from foretell.repository.plan import Key, Look, Planned
from foretell.repository.retirement import Retirement
from foretell.repository.stamp import Stamp
from foretell.repository.turns import short_turns
from foretell.saying import Say


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
        self._one_at_a_time = asyncio.Lock()
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

    def serving(self, key: Key) -> Served | None:
        try:
            found = self._catalog.resolve(*key)
        except ModelNotFound:
            return None
        return found if found.version == key[1] else None

    async def take_in(self, planned: Planned, *, only_changed: bool) -> None:
        """Loads a version; the one that serves until then is retired. With `only_changed`, nothing happens where file
        and settings are those that serve. Raises `InferenceError`, and all is as it was."""
        key = planned.name or "", planned.version
        began = time.monotonic()
        self.loading.add(key)
        try:
            old = self.serving(key)
            served = await self._loaded(key, planned, old, only_changed)
            if served is not None:
                self._let_in(old, served)
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
        self._say(line, event=f"model_{outcome}", model=key[0], version=key[1], duration_s=round(took_s, 3))

    def tell_failed(self, key: Key, error: InferenceError) -> None:
        """Tells people why a version cannot be loaded; without a version none of the model, without a name nothing."""
        name, version = key
        which = f"{name} version {version}" if version else name
        line = f"{which} could not be loaded: {error}" if which else str(error)
        self._say(line, event="model_failed", level="error", model=name, version=version)

    def take_out(self, key: Key) -> None:
        (served,) = self._catalog.remove(*key)
        self.loads.unloaded()
        self.stamps.pop(key, None)
        self._say(f"{key[0]} version {key[1]} unloaded", event="model_unloaded", model=key[0], version=key[1])
        self._retirement.begin(served)

    async def over(self) -> None:
        """Returns when no thread loads any more."""
        for aside in list(self._threads.values()):
            await aside.over()

    async def _loaded(self, key: Key, planned: Planned, old: Served | None, only_changed: bool) -> Served | None:
        """Loads in a thread; None where there is nothing new."""
        if key in self._threads and not self._threads[key].is_over:
            raise NotReady("an earlier load of it has not ended", where=f"model {key[0]!r}", fix="try again later")
        await self._retirement.ended(key)  # there are never more than the one that serves, and the next
        async with self._one_at_a_time:
            if self.stopping.is_set():
                raise NotReady("the server is shutting down", fix="try again elsewhere")
            settings = self._sources.settings(planned)
            work = partial(_load, self._sources, planned, settings, old, only_changed)
            with short_turns():
                return await self._waited(key, Aside(work, f"load-{key[0]}", _close), settings.load_timeout_s)

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

    def _let_in(self, old: Served | None, served: Served) -> None:
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
    sources: Sources, planned: Planned, settings: ModelSettings, old: Served | None, only_changed: bool
) -> Served | None:
    opened = sources.open(planned, settings)
    if only_changed and old is not None and _same(opened, settings, old):
        if opened.model.apart:  # it has been loaded already
            opened.model.close()
        return None
    served = sources.load(planned, settings, opened, None if old is None else old.engine.recorder)
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
    """Raises `InvalidModel` where what was loaded is not what was looked at, or only half of it."""
    now = sources.look(planned.name).found.get(key)
    if now is None or not set(planned.stamp) <= set(now.stamp):
        fix = "write it beside, and rename it into place"
        raise InvalidModel("it was changed while it was loaded", where=planned.source, fix=fix)


def _close(served: Served | None) -> None:
    if served is not None:
        served.engine.close()
