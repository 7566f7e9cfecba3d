"""`foretell serve`."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from foretell.catalog import LiveCatalog
from foretell.cli.flags import BatchingFlags, CallFlags, ModelFlags, ServerFlags, given, layers
from foretell.cli.loading import loader_of
from foretell.config import ServerSettings, environment, resolve, toml_layer
from foretell.errors import InferenceError
from foretell.repository.loader import Loader
from foretell.repository.settings import PROJECT_FILE
from foretell.repository.watching import Watcher
from foretell.serve.application import Application
from foretell.serve.loop import run_on_loop
from foretell.serve.tokens import ENVIRONMENT

_GC_THRESHOLD = 50_000
_LAST_LOAD_S = 5.0
"""A model that is still being loaded when all else has ended may go on for so long."""


def serve(
    *models: Annotated[str, Parameter(name="MODEL")],
    model: ModelFlags = ModelFlags(),
    calls: CallFlags = CallFlags(),
    batching: BatchingFlags = BatchingFlags(),
    server: ServerFlags = ServerFlags(),
) -> int:
    """Serve models over HTTP (Open Inference Protocol, as KServe and Triton speak it).

    Parameters
    ----------
    models
        A model file, "module:Class", a folder REPO of NAME/VERSION/model.onnx, or REPO/NAME; NAME=MODEL for
        another name. Repeat for more.
    """
    settings = resolve(
        ServerSettings,
        [*layers(server), *environment(ServerSettings, os.environ), toml_layer(Path(PROJECT_FILE), "server")],
    ).settings
    flags = {**model.given(), **given(calls), **given(batching)}
    loader = loader_of(models, flags, _say, settings.drain_timeout_s)
    catalog = loader.catalog
    try:
        return run_on_loop(_serve(loader, settings, os.environ.get(ENVIRONMENT)))
    finally:
        for name in catalog.names():
            for version in catalog.versions(name):
                catalog.resolve(name, version).engine.close()


async def _serve(loader: Loader, settings: ServerSettings, token: str | None) -> int:
    application = Application(loader.catalog, settings, loader, token=token)
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    await application.start()
    watcher = Watcher(loader, settings.watch_interval_s if settings.watch else None)
    loop.add_signal_handler(signal.SIGHUP, _reload, application, watcher)
    watching = loop.create_task(watcher.run())
    _announce(application, loader.catalog)
    _spare_the_collector()
    await stopping.wait()
    _say("stopping: answering what was accepted")
    watcher.close()
    loader.close()
    await application.stop()
    await loader.ended(_LAST_LOAD_S)
    await watching
    return 0


def _reload(application: Application, watcher: Watcher) -> None:
    """Has everything looked at again that was read from files: tokens, certificate, models."""
    watcher.ask()
    try:
        read = application.reload()
    except InferenceError as error:
        _say(f"not read again: {error}")
        return
    if read:
        _say(f"read again: {' and '.join(read)}")


def _announce(application: Application, catalog: LiveCatalog) -> None:
    listener = application.server.listener
    host, base = listener.address[0], listener.url
    for name in catalog.names():
        for version in catalog.versions(name):
            served = catalog.resolve(name, version)
            rows, tensors = served.spec.batch is not None, served.spec.inputs or ()
            inputs = ", ".join(f"{t.name} {t.describe(rows=rows)}" for t in tensors) or "inputs not known yet"
            _say(f"{name} version {version} ({served.opened.framework}): {inputs}")
    for line in application.guard.lines(host, encrypted=application.settings.tls_cert is not None):
        _say(line)
    curl = f"curl {base}"
    if listener.address[1] == 0:
        curl = f"curl --unix-socket {host} http://localhost"
    _say(f"serving on {base}   try: foretell inspect MODEL, or {curl}/v2/models/{catalog.names()[0]}")


def _spare_the_collector() -> None:
    """What is loaded by now stays: the garbage collector need not look at it again, nor after every few requests."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_GC_THRESHOLD)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
