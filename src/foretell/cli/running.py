"""One process that serves, from loading its models to its orderly end."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

from foretell.catalog import LiveCatalog
from foretell.cli.collector import Collector
from foretell.cli.greeting import serving_on
from foretell.cli.loading import loader_of
from foretell.cli.notes import STOPPING, counted, leaving
from foretell.cli.telling import Teller
from foretell.config import ServerSettings
from foretell.errors import InferenceError
from foretell.observe.process import rss_bytes
from foretell.repository.loader import Loader
from foretell.repository.watching import Watcher
from foretell.serve.application import Application
from foretell.serve.descriptors import room_for
from foretell.serve.loop import run_on_loop
from foretell.serve.prediction_log import prediction_file
from foretell.serve.tokens import ENVIRONMENT
from foretell.workers.division import divided

_LAST_LOAD_S = 5.0
"""A model that is still being loaded when all else has ended may go on for so long."""


class Place(Protocol):
    """Where the process stands: alone, or among others that share its port."""

    workers: int
    tells: bool
    """Whether people see what is noticed while the models load."""
    signals: tuple[signal.Signals, ...]
    """Which of them end it."""

    tell: Teller
    """Says something about this process."""

    @property
    def worker(self) -> int | None:
        """Which of several it is."""

    def stops(self) -> None:
        """Tells people that it stops."""

    async def enter(self, application: Application, loader: Loader, lines: list[str], stopping: asyncio.Event) -> bool:
        """Lets clients in, and tells people `lines`; False where it is to end before."""

    async def leave(self) -> None:
        """All that was accepted is answered."""


class Alone:
    """The only process."""

    workers, worker, tells = 1, None, True
    signals: tuple[signal.Signals, ...] = (signal.SIGTERM, signal.SIGINT)

    def __init__(self, tell: Teller) -> None:
        self.tell = tell

    def stops(self) -> None:
        self.tell(STOPPING, event="stopping")

    async def enter(self, application: Application, loader: Loader, lines: list[str], stopping: asyncio.Event) -> bool:
        await application.start()
        self.tell.start((*lines, *serving_on(application)))
        return True

    async def leave(self) -> None:
        """Nobody waits for it."""


def run(models: Sequence[str], flags: Mapping[str, Any], settings: ServerSettings, place: Place) -> int:
    """Serves `models`, with `flags` of theirs, until it is told to stop. Returns the exit code."""
    asked = _hang_ups()
    loader = loader_of(
        models, flags, place.tell, settings, workers=place.workers, tells=place.tells
    )  # fmt: skip
    catalog = loader.catalog
    try:
        return run_on_loop(_serve(loader, divided(settings, place.workers), place, asked))
    finally:
        for served in catalog.loaded():
            served.engine.close()


def _hang_ups() -> list[int]:
    """Where SIGHUPs from now on are noted: what asks a server to look again shall not end one that is still loading."""
    asked: list[int] = []
    if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:
        signal.signal(signal.SIGHUP, lambda number, _: asked.append(number))
    return asked


async def _serve(loader: Loader, settings: ServerSettings, place: Place, asked: Sequence[int]) -> int:
    """`asked`: signals to look again that came already."""
    lines, room = _about(loader.catalog), room_for(settings.max_connections)
    if room < settings.max_connections:
        what = f"warning: {room} clients at a time, not {settings.max_connections} as max_connections says"
        lines.append(f"{what}: the system gives this process no more open files (ulimit -n)")
        settings = replace(settings, max_connections=room)
    if settings.prediction_log is not None:
        settings = replace(settings, prediction_log=prediction_file(settings.prediction_log, place.worker))
    application = Application(loader.catalog, settings, loader, token=os.environ.get(ENVIRONMENT))
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    place.tell.watch(loop)
    for number in place.signals:
        loop.add_signal_handler(number, stopping.set)
    watcher = Watcher(loader, settings.watch_interval_s if settings.watch else None)
    # Before anybody is told that it serves: what comes in between would be lost, or end it.
    loop.add_signal_handler(signal.SIGHUP, _reload, application, watcher, place)
    if asked:
        loop.call_soon(_reload, application, watcher, place)
    if not await place.enter(application, loader, lines, stopping):
        await place.leave()
        return 0
    watching = loop.create_task(watcher.run())
    loads = loader.intake.loads
    collector = Collector(rss_bytes, lambda: loads.outcomes["reloaded"] + loads.unloads + loader.evictions)
    collector.start(loop)
    await stopping.wait()
    if settings.drain_delay_s:
        stopping.clear()
        place.tell(leaving(settings.drain_delay_s), event="leaving")
        await application.server.linger(stopping)
    collector.stop()
    place.stops()
    watcher.close()
    loader.close()
    await application.stop()
    await loader.ended(_LAST_LOAD_S)
    await watching
    await place.leave()
    return 0


def _reload(application: Application, watcher: Watcher, place: Place) -> None:
    """Has everything looked at again that was read from files: tokens, certificate, models."""
    watcher.ask()
    try:
        read = application.reload()
    except InferenceError as error:
        place.tell(f"not read again: {error}", event="reload_failed", level="error")
        return
    if read:
        place.tell(f"read again: {' and '.join(read)}", event="reloaded", read=read)


def _about(catalog: LiveCatalog) -> list[str]:
    """A line for each version of each model."""
    lines = []
    for served in catalog.loaded():
        rows, tensors = served.spec.batch is not None, served.spec.inputs or ()
        inputs = ", ".join(f"{t.name} {t.describe(rows=rows)}" for t in tensors) or "inputs not known yet"
        lines.append(f"{served.name} version {served.version} ({served.opened.framework}): {inputs}")
    away = len(catalog.known()) - len(lines)
    return [*lines, f"{counted(away, 'more model')}, loaded when asked for"] if away else lines
