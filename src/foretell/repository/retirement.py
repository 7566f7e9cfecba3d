"""The end of versions that no longer answer new requests: they finish what they have accepted, and are closed."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator

from foretell.catalog import Served
from foretell.errors import InferenceError
from foretell.repository.aside import Aside
from foretell.repository.plan import Key

_CLOSE_S = 15.0
"""An engine that has not closed by then waits for a call that may never end; its thread is left alone with it."""


class Retirement:
    """Takes versions that have left the catalogue. `patience_s`: how long each may go on with what it has accepted."""

    def __init__(self, patience_s: float) -> None:
        self._patience_s = patience_s
        self._ending: dict[asyncio.Task[None], Key] = {}

    def __contains__(self, key: Key) -> bool:
        return key in self._ending.values()

    def __iter__(self) -> Iterator[Key]:
        return iter(set(self._ending.values()))

    @property
    def under_way(self) -> set[asyncio.Task[None]]:
        """The ends that are not yet there: each is of a version that is still in memory."""
        return set(self._ending)

    def begin(self, served: Served, patience_s: float | None = None) -> asyncio.Task[None]:
        """To be called when no new request can reach it. `patience_s`: for this one. The task is done when it is
        closed."""
        task = asyncio.get_running_loop().create_task(
            self._end(served, self._patience_s if patience_s is None else patience_s)
        )
        self._ending[task] = served.name, served.version
        task.add_done_callback(self._ending.pop)
        return task

    async def ended(self, *keys: Key, limit_s: float | None = None) -> None:
        """Returns when all of these have ended, or after `limit_s`."""
        waiting = [task for task, key in self._ending.items() if key in keys]
        if waiting:
            await asyncio.wait(waiting, timeout=limit_s)

    async def _end(self, served: Served, patience_s: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience_s):
                await served.engine.drain()
        with contextlib.suppress(InferenceError):
            await Aside(served.engine.close, "close").result(_CLOSE_S)
