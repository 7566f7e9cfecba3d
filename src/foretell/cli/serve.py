"""`foretell serve`."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

from foretell.cli.flag import Flag
from foretell.cli.flags import BatchingFlags, CallFlags, ModelFlags, ServerFlags, given, layers
from foretell.cli.telling import Teller
from foretell.config import ServerSettings, environment, resolve, toml_layer
from foretell.errors import InferenceError
from foretell.repository.settings import PROJECT_FILE


def serve(
    *models: Annotated[str, Flag(("MODEL",))],
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
    tell = Teller(settings.log_format)
    tell.take_over()
    flags = {**model.given(), **given(calls), **given(batching)}
    if settings.workers > 1:  # this process then loads no model, and needs nothing of what does
        from foretell.cli.supervise import supervise

        return _told(tell, lambda: supervise(models, flags, settings, tell))
    gc.disable()  # what is imported stays: there is nothing to collect
    from foretell.cli.running import Alone, run

    gc.enable()
    return _told(tell, lambda: run(models, flags, settings, Alone(tell)))


def _told(tell: Teller, serves: Callable[[], int]) -> int:
    """The exit code of a server that tells its end in its own form; as a line for people, it is told by `app`."""
    try:
        return serves()
    except InferenceError as error:
        if not tell.json:
            raise
        return tell.failed(error)
    finally:
        tell.end()
