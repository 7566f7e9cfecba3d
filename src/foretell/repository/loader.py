"""Models that come and go while the server serves.

A version is opened, loaded and warmed up in a thread of its own, and only then takes its place in the catalogue. The
one whose place it took answers what it has accepted, and is closed. All else happens on the server's loop, as do the
changes of the catalogue: between the moment in which a door finds an engine and that in which it gives it a request,
there is none for a change.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Literal
from weakref import WeakValueDictionary

from foretell.catalog import Away, LiveCatalog, Served
from foretell.clock import Clock
from foretell.config import ServerSettings
from foretell.errors import InferenceError, InvalidModel, InvalidSetting, ModelNotFound, NotReady, Overloaded
from foretell.model_names import check_name
from foretell.repository.aside import Aside
from foretell.repository.intake import ChangedMeanwhile, Intake, Sources
from foretell.repository.plan import Key, Look, Planned
from foretell.repository.retirement import Retirement
from foretell.repository.room import Room
from foretell.repository.wanted import Wanted
from foretell.saying import Say

_SHOWN = 128
_TRIES = 3


class LoadFailed(InferenceError):
    """Versions of a model could not be loaded; what served before serves on. `reasons`: by version."""

    code = "load_failed"

    def __init__(self, name: str, reasons: dict[str, InferenceError]) -> None:
        shown = "; ".join(f"version {version}: {reason}" for version, reason in reasons.items())
        super().__init__(f"failed to load {name!r}, {shown}")
        self.name, self.reasons = name, reasons


@dataclass(frozen=True, slots=True)
class State:
    """How a version stands. `version` is empty for a model that nobody has loaded."""

    name: str
    version: str
    state: Literal["READY", "UNAVAILABLE", "LOADING", "UNLOADING"]
    reason: InferenceError | None = None


class Loader:
    """Loads, replaces and unloads the versions of a `LiveCatalog`.

    `say` gets a line for people about each. `patience_s`: how long a version that was replaced may go on with what it
    has accepted. Calls about one model follow each other; `most_waiting` may wait in all, more raise `Overloaded`.
    `room`: of a server that has room for some of its models, or lets idle ones go, see `keep_room`.
    """

    room: Room | None = None
    wanted: Wanted | None = None

    def __init__(
        self,
        catalog: LiveCatalog,
        sources: Sources,
        say: Say,
        *,
        patience_s: float,
        most_waiting: int = 16,
    ) -> None:
        self.catalog, self._sources = catalog, sources
        self.retirement = Retirement(patience_s)
        self.intake = Intake(catalog, sources, self.retirement, say)
        self.held: set[str] = set()
        """Models that somebody has unloaded: they come back only when asked for by name."""
        self._most_waiting, self._waiting = most_waiting, 0
        self._closed = False
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def keep_room(self, settings: ServerSettings, clock: Clock | None = None) -> None:
        """From now on versions go from memory and come back as the settings of the server have it."""
        if settings.max_loaded_models is None and settings.idle_unload_s is None:
            return
        self.room = Room(self.catalog, self.intake, self.retirement, settings, clock)
        self.wanted = Wanted(self.catalog, self._fetch, self.room.holds, clock)

    async def look(self, name: str | None = None) -> Look:
        """What the sources have now. Raises `NotReady` after `close`, `Overloaded`."""
        with self._place():
            return await self._look(name)

    async def load(self, name: str) -> None:
        """Loads every version that the sources have of `name`, whether it serves already or not; those that are gone
        from there leave. Returns when the new ones answer.

        Raises `ModelNotFound`, `LoadFailed` after which what served before serves on, `Overloaded`, `NotReady`.
        """
        _check(name)
        async with self._turn(name):
            look = await self._look(name)
            if not look.found and not look.problems:
                raise _unknown(name)
            self.held.discard(name)
            self.intake.forget(look.found.keys() | self.serving(), name)
            reasons = {problem.version or "1": problem.error for problem in look.problems}
            for planned in look.found.values():
                if self.wanted is not None:
                    self.wanted.forget((name, planned.version))
                try:
                    await self.intake.take_in(planned, only_changed=False)
                except InferenceError as error:
                    reasons[planned.version] = error
            if reasons:
                raise LoadFailed(name, reasons)
            for key in [key for key in self.serving() & self.intake.scanned if key[0] == name]:
                if key not in look.found:
                    self.intake.take_out(key)

    async def unload(self, name: str) -> None:
        """Takes every version of `name` out; returns when what they had accepted is answered and they are closed.

        Harmless when repeated. Raises `ModelNotFound` for a name that never served.
        """
        _check(name)
        async with self._turn(name):
            if name in self.catalog.names():
                self.held.add(name)
                for version in self.catalog.versions(name):
                    self.intake.take_out((name, version))
            elif name not in self.held:
                raise _unknown(name)
            await self.retirement.ended(*[key for key in self.retirement if key[0] == name])

    async def refresh(self, planned: Planned) -> None:
        """Loads a version, unless file and settings are those that serve. What is not in memory is loaded by its next
        request, and so is a model that is new where there is room for some only. Raises as `load`."""
        async with self._turn(planned.name or ""):
            key = planned.name or "", planned.version
            if planned.name in self.held:
                return
            if self.wanted is not None:
                self.wanted.forget(key)
                if isinstance(self.intake.known(key), Away) or planned.name not in self.catalog.names():
                    self.intake.put_away(planned)
                    return
            await self.intake.take_in(planned, only_changed=True)

    async def _fetch(self, key: Key) -> None:
        """Loads a version that is served and not in memory; one that is there meanwhile, or gone, is left as it is.
        Raises `InferenceError`."""
        async with self._lock(key[0]):
            if not isinstance(self.intake.known(key), Away):
                return
            for _ in range(_TRIES):
                planned, again = await self._planned(key), partial(self._planned, key)
                with contextlib.suppress(ChangedMeanwhile):
                    await self.intake.take_in(planned, only_changed=False, look_again=again)
                    return
            raise self.intake.failures[key]

    async def _planned(self, key: Key) -> Planned:
        """What lies there of a version. Raises `InvalidModel`, and what is wrong with it."""
        look = await self._look(key[0])
        if key in look.found:
            return look.found[key]
        wrong = [problem.error for problem in look.problems if problem.version in ("", key[1])]
        raise wrong[0] if wrong else InvalidModel("its files are gone", where=f"model {key[0]!r}")

    async def drop(self, key: Key) -> None:
        """Takes a version out, if it is there."""
        async with self._turn(key[0]):
            if self.intake.known(key) is not None:
                self.intake.take_out(key)

    def serving(self) -> set[Key]:
        return {(name, version) for name in self.catalog.names() for version in self.catalog.versions(name)}

    def answers(self, away: Away) -> bool:
        """Whether a request for it would be answered, as far as anybody knows."""
        return self.wanted is not None and self.wanted.failing((away.name, away.version)) is None

    @property
    def evictions(self) -> int:
        """How many versions have gone from memory and are served all the same."""
        return 0 if self.room is None else sum(self.room.left.values())

    def is_loading(self, name: str, version: str | None = None) -> bool:
        """Whether a version of `name`, or this one, may be there soon."""
        return any(key[0] == name and version in (None, "", key[1]) for key in self.intake.loading)

    def states(self, look: Look) -> list[State]:
        """Every version that `look` found, that serves or that is about to; and what is wrong with others."""
        wrong = {(problem.name, problem.version): problem.error for problem in look.problems if problem.name}
        failed = {**self.intake.failures, **wrong}
        keys = {*look.found, *self.serving(), *self.intake.loading, *self.retirement, *failed}
        in_order = sorted(keys, key=lambda key: (key[0], len(key[1]), key[1]))
        return list(dict.fromkeys(self._state(key, failed) for key in in_order))

    def _state(self, key: Key, failed: Mapping[Key, InferenceError]) -> State:
        """With the reason why the last attempt to load it failed, also where what was there before serves on."""
        known, reason = self.intake.known(key), failed.get(key)
        if isinstance(known, Served):
            return State(*key, "READY" if known.engine.ready else "UNAVAILABLE", reason)
        if key in self.intake.loading:
            return State(*key, "LOADING")
        if known is not None:
            return State(
                *key, "READY" if self.answers(known) else "UNAVAILABLE", reason or NotReady("a request has it loaded")
            )
        if key in self.retirement:
            return State(*key, "UNLOADING")
        if key[0] in self.held:
            return State(*key, "UNAVAILABLE", NotReady("unloaded"))
        if reason is None and key[0] not in self.catalog.names():
            return State(key[0], "", "UNAVAILABLE")
        return State(*key, "UNAVAILABLE", reason or NotReady("not loaded"))

    def close(self) -> None:
        """Takes no more calls, and tells who waits for one to try elsewhere. Requests that wait for their model still
        get it."""
        self._closed = True
        if self.room is None:
            self.intake.stopping.set()

    async def ended(self, limit_s: float) -> None:
        """After `close`: returns when no thread loads or closes a model any more, or after `limit_s`."""
        self.intake.stopping.set()
        if self.room is not None:
            self.room.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                await self.intake.over()
                await self.retirement.ended(*self.retirement)

    async def _look(self, name: str | None) -> Look:
        return await Aside(partial(self._sources.look, name), "look").result(stopping=self.intake.stopping)

    @contextlib.contextmanager
    def _place(self) -> Iterator[None]:
        self._check_open()
        if self._waiting >= self._most_waiting:
            what = "too many calls about models are waiting"
            raise Overloaded(what, expected=f"at most {self._most_waiting}", fix="try again later")
        self._waiting += 1
        try:
            yield
        finally:
            self._waiting -= 1

    @contextlib.asynccontextmanager
    async def _turn(self, name: str) -> AsyncIterator[None]:
        """Calls about one model follow each other."""
        with self._place():
            async with self._lock(name):
                self._check_open()
                yield

    def _lock(self, name: str) -> asyncio.Lock:
        lock = self._turns.get(name)
        if lock is None:
            lock = self._turns[name] = asyncio.Lock()
        return lock

    def _check_open(self) -> None:
        if self._closed:
            raise NotReady("the server is shutting down", fix="try again elsewhere")


def _check(name: str) -> None:
    """What cannot be the name of a model is looked for nowhere."""
    try:
        check_name(name)
    except InvalidSetting:
        raise _unknown(name) from None


def _unknown(name: str) -> ModelNotFound:
    return ModelNotFound(f"Request for unknown model: {name[:_SHOWN]!r} is not found")
