"""`foretell serve --workers N`: the process that has the port, and starts those that serve on it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from foretell.cli.notes import STOPPING, leaving
from foretell.cli.telling import Teller
from foretell.clock import SystemClock
from foretell.config import ServerSettings
from foretell.errors import Unavailable
from foretell.repository.settings import model_settings
from foretell.serve.listen import Listener, listen, reserve
from foretell.serve.loop import run_on_loop
from foretell.serve.tls import context_of
from foretell.workers.child import Plan
from foretell.workers.supervisor import Supervisor

_WORKER = "import sys; sys.path[:] = sys.argv[1].splitlines(); from foretell.cli.worker import main; sys.exit(main())"
"""Looks for modules where this process does: neither in its working folder nor anywhere else on top."""
_BEYOND_DRAINING_S = 10.0
"""How much longer than for its clients a worker has to close its models."""


def supervise(models: Sequence[str], flags: Mapping[str, Any], settings: ServerSettings, tell: Teller) -> int:
    """Serves until it is told to stop. Returns the exit code."""
    if os.name != "posix":
        raise Unavailable("several workers need a system where processes can share a port", fix="use --workers 1")
    model_settings(flags, os.environ, (), Path())  # what is wrong with them is wrong before any worker has started
    context_of(settings)
    return run_on_loop(_supervise(models, flags, settings, tell))


async def _supervise(models: Sequence[str], flags: Mapping[str, Any], settings: ServerSettings, tell: Teller) -> int:
    sockets = reserve(settings)
    listener = Listener(settings, sockets)
    supervisor = Supervisor(_plan(models, flags, settings, [each.fileno() for each in sockets]), SystemClock(), tell)
    stopping, loop = asyncio.Event(), asyncio.get_running_loop()
    tell.watch(loop)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    loop.add_signal_handler(signal.SIGHUP, supervisor.pass_on, signal.SIGHUP)
    try:
        lines = await _unless(stopping, supervisor.start())
        if lines is not None:
            listen(sockets, settings)
            supervisor.open()
            tell.start(lines)
            await stopping.wait()
            await _linger(supervisor, settings.drain_delay_s, stopping, tell)
        tell(STOPPING, event="stopping")
    finally:
        listener.close()  # so that no client comes to wait at a door that the workers have left
        in_order = await supervisor.stop()
    return 0 if in_order else 1


async def _linger(supervisor: Supervisor, delay_s: float, stopping: asyncio.Event, tell: Teller) -> None:
    """Has the workers say for `delay_s`, or until it is told again to stop, that they are not ready; they serve on."""
    if not delay_s:
        return
    stopping.clear()
    tell(leaving(delay_s), event="leaving")
    supervisor.announce_end()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(delay_s):
            await stopping.wait()


async def _unless(stopping: asyncio.Event, starting: Coroutine[Any, Any, list[str]]) -> list[str] | None:
    """What `starting` gives; None where it was told to stop before."""
    started, stopped = asyncio.ensure_future(starting), asyncio.ensure_future(stopping.wait())
    await asyncio.wait((started, stopped), return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    if started.done():
        return started.result()
    started.cancel()
    await asyncio.wait((started,))
    return None


def _plan(models: Sequence[str], flags: Mapping[str, Any], settings: ServerSettings, sockets: list[int]) -> Plan:
    if not sys.executable:
        raise Unavailable("a worker needs a Python program, and this one is part of another program")
    path = "\n".join(os.path.abspath(place) for place in sys.path)
    settings = replace(settings, drain_delay_s=0.0)  # the supervisor waits for all
    return Plan(
        workers=settings.workers,
        command=[sys.executable, *["-O"] * sys.flags.optimize, "-c", _WORKER, path],
        environment=os.environ,
        arguments={"models": models, "flags": flags, "settings": asdict(settings)},
        sockets=sockets,
        end_within_s=settings.drain_timeout_s + _BEYOND_DRAINING_S,
    )
