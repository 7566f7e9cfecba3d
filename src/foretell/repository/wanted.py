"""Requests for versions that are not in memory: they wait until theirs is there, and each is told once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from foretell.catalog import Away, LiveCatalog
from foretell.clock import Clock, SystemClock
from foretell.errors import InferenceError, NotReady, Overloaded, said
from foretell.repository.plan import Key

_FIRST_PAUSE_S = 1.0
_LONGEST_PAUSE_S = 60.0
_AGAIN_S = 1.0


class Waits(Protocol):
    """Somebody who waits for a version."""

    def there(self) -> None:
        """It is in memory, or not served any more."""

    def failed(self, error: InferenceError) -> None:
        """It cannot be loaded."""


class CannotLoad(NotReady):
    """A version that is served cannot be loaded, for `reason`."""

    def __init__(self, key: Key, reason: InferenceError, pause_s: float) -> None:
        super().__init__(f"it cannot be loaded: {reason}", where=f"model {key[0]!r} version {key[1]}")
        self.reason, self.retry_after_s = reason, pause_s


@dataclass(slots=True)
class _Failure:
    reason: InferenceError
    pause_s: float
    until: float


class _Entry:
    """Those who wait for one version, in the order in which they came."""

    __slots__ = ("task", "waiting")

    def __init__(self) -> None:
        self.waiting: dict[Waits, None] = {}
        self.task: asyncio.Task[None] | None = None


class Wanted:
    """Has versions loaded that somebody waits for, each once, in the order in which they were asked for first.

    `load`: brings one into memory. `holds`: whether it is being loaded, which nobody can stop any more. Bounded: as
    many requests wait for a version as its queue has rows. One that cannot be loaded is tried again by a request that
    comes after a pause, of 1 s at first and up to 60 s.
    """

    def __init__(
        self,
        catalog: LiveCatalog,
        load: Callable[[Key], Awaitable[None]],
        holds: Callable[[Key], bool],
        clock: Clock | None = None,
    ) -> None:
        self._catalog, self._load, self._holds = catalog, load, holds
        self._now = (clock or SystemClock()).monotonic
        self._entries: dict[Key, _Entry] = {}
        self._failures: dict[Key, _Failure] = {}

    def want(self, away: Away, waits: Waits) -> None:
        """Takes somebody in who waits. Raises `Overloaded`, and `CannotLoad` during a pause."""
        key = away.name, away.version
        failing = self.failing(key)
        if failing is not None:
            raise failing
        entry = self._entries.get(key)
        if entry is None:
            entry = self._entries[key] = _Entry()
            entry.task = asyncio.get_running_loop().create_task(self._bring(key, entry))
        most = away.settings.max_queue_size
        if len(entry.waiting) >= most:
            error = Overloaded(
                "too many requests wait for the model to be loaded",
                where=f"model {away.name!r}",
                expected=f"at most {most}",
                fix="try again later",
            )
            error.retry_after_s = _AGAIN_S
            raise error
        entry.waiting[waits] = None

    def leave(self, key: Key, waits: Waits) -> None:
        """It does not wait any more. Where nobody else does, a load that has not begun is not begun."""
        entry = self._entries.get(key)
        if entry is None or waits not in entry.waiting:
            return
        del entry.waiting[waits]
        if not entry.waiting and entry.task is not None and not self._holds(key):
            del self._entries[key]
            entry.task.cancel()

    def waiting(self, key: Key) -> int:
        entry = self._entries.get(key)
        return 0 if entry is None else len(entry.waiting)

    def failing(self, key: Key) -> CannotLoad | None:
        """Why it is not tried at the moment."""
        failure = self._failures.get(key)
        rest_s = 0.0 if failure is None else failure.until - self._now()
        return None if failure is None or rest_s <= 0 else CannotLoad(key, failure.reason, rest_s)

    def forget(self, key: Key) -> None:
        """What lies there has changed, or it was loaded: why it could not be, is past."""
        self._failures.pop(key, None)

    async def _bring(self, key: Key, entry: _Entry) -> None:
        error: InferenceError | None = None
        try:
            await self._load(key)
            self.forget(key)
        except InferenceError as failure:
            error = self._failed(key, failure)
        except Exception as failure:  # whatever it is, nobody waits for ever
            error = self._failed(key, NotReady(said(failure)))
        if self._entries.get(key) is entry:
            del self._entries[key]
        waiting, entry.waiting = entry.waiting, {}
        for waits in waiting:
            if error is None:
                waits.there()
            else:
                waits.failed(error)

    def _failed(self, key: Key, reason: InferenceError) -> CannotLoad:
        for other in [other for other in self._failures if other[0] not in self._catalog.names()]:
            del self._failures[other]
        before = self._failures.get(key)
        pause_s = _FIRST_PAUSE_S if before is None else min(2 * before.pause_s, _LONGEST_PAUSE_S)
        self._failures[key] = _Failure(reason, pause_s, self._now() + pause_s)
        return CannotLoad(key, reason, pause_s)
