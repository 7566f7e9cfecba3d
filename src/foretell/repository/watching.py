"""Sees what has changed where models come from, and has it loaded: at each call, or by itself every so often."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Collection, Iterable, Mapping

from foretell.errors import InferenceError
from foretell.repository.folder import Problem
from foretell.repository.loader import Loader
from foretell.repository.plan import Key, Look, Planned
from foretell.repository.stamp import Stamp


class Watcher:
    """Keeps `loader` up with its sources. `interval_s`: how often it looks by itself; None: only when `ask`ed.

    By itself it takes what two looks in a row have found alike, so that a file which is being written is left alone.
    """

    def __init__(self, loader: Loader, interval_s: float | None) -> None:
        self._loader, self._interval_s = loader, interval_s
        self._seen: dict[Key, Stamp | None] = {}
        self._wrong: dict[Key, str] = {}
        """What the last look has found wrong, and what of it has been said."""
        self._said: dict[Key, str] = {}
        self._wake = asyncio.Event()
        self._closed = False

    def ask(self) -> None:
        """Looks as soon as it can, and takes what it finds."""
        self._wake.set()

    def close(self) -> None:
        self._closed = True
        self._wake.set()

    async def run(self) -> None:
        """Until `close`."""
        while not self._closed:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._interval_s):
                    await self._wake.wait()
            asked = self._wake.is_set()
            self._wake.clear()
            if not self._closed:
                with contextlib.suppress(InferenceError):  # too much to do at the moment: there will be another look
                    await self.look(patient=not asked)

    async def look(self, *, patient: bool) -> None:
        """Has loaded what is new or changed, and drops what is gone. With `patient`, only what the last look has found
        alike. What cannot be loaded is said and kept by the loader. Raises `NotReady`, `Overloaded`."""
        loader, intake = self._loader, self._loader.intake
        look = await loader.look()
        self._tell(look.problems, patient=patient)
        serving = loader.serving()
        changed = changes(look, intake.stamps)
        gone = missing(look, serving & intake.scanned)
        now: dict[Key, Stamp | None] = {**{key: one.stamp for key, one in changed.items()}, **dict.fromkeys(gone)}
        before, self._seen = self._seen, now
        for key, stamp in now.items():
            if patient and (key not in before or before[key] != stamp):
                continue
            if key in changed:
                with contextlib.suppress(InferenceError):
                    await loader.refresh(changed[key])
            else:
                await loader.drop(key)
        intake.forget(look.found.keys() | serving)

    def _tell(self, problems: Iterable[Problem], *, patient: bool) -> None:
        """Says what is wrong with what lies there: to who has asked, and else once, when two looks have found it."""
        before, self._wrong = self._wrong, {(one.name, one.version): str(one.error) for one in problems}
        said, self._said = self._said, {}
        for one in problems:
            key, text = (one.name, one.version), str(one.error)
            if not patient or (said.get(key) != text and before.get(key) == text):
                self._loader.intake.tell_failed(key, one.error)
                self._said[key] = text
            elif key in said:
                self._said[key] = said[key]


def changes(look: Look, stamps: Mapping[Key, Stamp]) -> dict[Key, Planned]:
    """What is not as it was when it was loaded, or tried, last."""
    return {key: planned for key, planned in look.found.items() if stamps.get(key) != planned.stamp}


def missing(look: Look, keys: Collection[Key]) -> list[Key]:
    """Those of `keys` that are gone; where something is wrong instead, what serves serves on."""
    wrong = {(problem.name, problem.version) for problem in look.problems}
    return [key for key in keys if key not in look.found and not wrong & {key, (key[0], ""), ("", "")}]
