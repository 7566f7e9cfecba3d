"""From a recipe to a loaded model, in the child process: as an engine does it, with the same errors."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from dataclasses import dataclass

from foretell.backends import Opened, open_model
from foretell.clock import SystemClock
from foretell.config import ModelSettings
from foretell.engine.invariant import check_calls
from foretell.engine.replica import Replica
from foretell.engine.warm_up import warm_up
from foretell.errors import InferenceError, NotReady, Unavailable, said
from foretell.model import Model
from foretell.remote.recipe import Recipe


@dataclass(frozen=True, slots=True)
class Loaded:
    opened: Opened
    replica: Replica
    where: str


def load(recipe: Recipe, *, retries: int = 0, device: str | None = None) -> Loaded:
    """Raises an `InferenceError` for whatever goes wrong; the model is closed then.

    `retries`: further tries of a call after an error that the model marks transient; 0 where the asking side decides.
    `device`: another one than that of the recipe.
    """
    where = f"model {recipe.name!r}"
    settings = dataclasses.replace(recipe.model_settings(), retries=retries)
    if device is not None:
        settings = dataclasses.replace(settings, device=device)
    try:
        os.chdir(recipe.folder)
        opened = open_model(recipe.opened(), settings)
    except InferenceError:
        raise
    except (Exception, SystemExit) as error:
        raise _failed(error, where) from error
    try:
        return Loaded(opened, loaded_replica(opened.model, settings, where), where)
    except (Exception, SystemExit) as error:
        with contextlib.suppress(Exception):  # what ended the loading is what counts
            opened.model.close()
        if isinstance(error, InferenceError):
            raise
        raise _failed(error, where) from error


def loaded_replica(model: Model, settings: ModelSettings, where: str) -> Replica:
    """Loads and warms up a model. Raises what it raises."""
    if settings.device != "cpu" and type(model).load is Model.load:
        fix, got = "use cpu, or give the model a method load(self, device)", settings.device
        raise Unavailable("the model knows of no devices", where=where, expected="cpu", got=got, fix=fix)
    model.load(settings.device)
    check_calls(model, settings, where)
    replica = Replica(model, settings, SystemClock(), where)
    warm_up(replica, settings, where)
    return replica


def _failed(error: BaseException, where: str) -> NotReady:
    return NotReady(f"loading failed: {said(error)}", where=where)
