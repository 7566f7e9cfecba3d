"""From what the command line names to a catalogue of loaded models."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from foretell.backends import open_model
from foretell.backends.artefact_file import SUFFIXES
from foretell.catalog import Served, StaticCatalog, check_name
from foretell.config import Layer, ModelSettings, Resolved
from foretell.engine.engine import Engine
from foretell.errors import InferenceError, InvalidModel, InvalidSetting
from foretell.observe.stats import Stats
from foretell.repository.folder import scan
from foretell.repository.settings import model_layers, model_settings

_NAMED = re.compile(r"([^=/\\:]+)=(.+)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Planned:
    """A model that the command line means. `layers`: what stands beside it."""

    name: str | None
    version: str
    source: str
    layers: tuple[Layer, ...]
    notes: tuple[str, ...] = ()
    """What the person who starts it may want to know."""


def plan(sources: Sequence[str]) -> list[Planned]:
    """What to load: a file, a folder of models, "module:Class", or NAME= before any of these but a folder of models."""
    planned: list[Planned] = []
    for source in sources:
        named = _NAMED.fullmatch(source)
        if named is not None and not Path(source).exists():
            planned.append(Planned(check_name(named[1]), "1", named[2], _beside(Path(named[2]))))
        elif _is_repository(Path(source)):
            planned += [
                Planned(found.name, found.version, str(found.path), found.layers, found.notes)
                for found in scan(Path(source), SUFFIXES)
            ]
        else:
            planned.append(Planned(None, "1", source, _beside(Path(source))))
    return planned


def settings_of(planned: Planned | None, flags: Mapping[str, Any]) -> Resolved[ModelSettings]:
    """The settings of a model: flag, environment, model.toml, foretell.toml, default."""
    return model_settings(flags, os.environ, planned.layers if planned else (), Path())


def load(planned: Planned, flags: Mapping[str, Any]) -> Served:
    """Opens and loads one model."""
    settings = settings_of(planned, flags).settings
    opened = open_model(planned.source, settings)
    name = planned.name or check_name(opened.name)
    engine = Engine(
        opened.model, settings, name=name, version=planned.version, digest=opened.digest, recorder=Stats()
    ).load()
    return Served(name, planned.version, engine, opened)


def load_all(sources: Sequence[str], flags: Mapping[str, Any]) -> StaticCatalog:
    """A catalogue of everything named. If one fails, those loaded before are closed again."""
    loaded: list[Served] = []
    try:
        for planned in plan(sources):
            for note in planned.notes:
                print(f"foretell: note: {note}", file=sys.stderr)
            loaded.append(load(planned, flags))
        if not loaded:
            raise InvalidSetting("there is nothing to serve", expected="a MODEL, NAME=MODEL or a folder of models")
        return StaticCatalog(loaded)
    except InferenceError:
        for served in loaded:
            served.engine.close()
        raise


def _is_repository(path: Path) -> bool:
    """A folder that does not itself hold an artefact."""
    if not path.is_dir():
        return False
    try:
        return not any(entry.is_file() and entry.suffix.lower() in SUFFIXES for entry in path.iterdir())
    except OSError as error:
        raise InvalidModel(f"the folder cannot be read: {error.strerror}", where=str(path)) from error


def _beside(path: Path) -> tuple[Layer, ...]:
    folder = path if path.is_dir() else path.parent
    return model_layers([folder])
