"""From what the command line names to a catalogue of loaded models."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from foretell.backends import open_model
from foretell.backends.artefact_file import SUFFIXES, find_artefact
from foretell.backends.opened import refuse_idle_permissions
from foretell.backends.python.source import is_reference
from foretell.catalog import Served, StaticCatalog, check_name
from foretell.cli.flags import JobFlags, layers
from foretell.config import JobSettings, Layer, ModelSettings, Resolved, environment, resolve, toml_layer, usable_cores
from foretell.engine.engine import Engine
from foretell.engine.profile_file import ProfileFile
from foretell.errors import InferenceError, InvalidModel, InvalidSetting
from foretell.model import Model
from foretell.observe.stats import Stats
from foretell.repository.folder import Found, holds_versions, scan, scan_model
from foretell.repository.settings import PROJECT_FILE, model_layers, model_settings

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


def plan(sources: Sequence[str], *, newest: bool = False) -> list[Planned]:
    """What to load: a file, "module:Class", REPO, REPO/NAME, or NAME= before any of these but REPO.

    The versions of a model stand in their order, the newest last; with `newest`, of REPO/NAME that one alone.
    """
    planned: list[Planned] = []
    for source in sources:
        named = _NAMED.fullmatch(source)
        name = check_name(named[1]) if named is not None and not Path(source).exists() else None
        meant = source if name is None or named is None else named[2]
        path = Path(meant)
        if holds_versions(path, SUFFIXES):
            versions = scan_model(path, SUFFIXES)
            planned += [_found(each, name) for each in (versions[-1:] if newest else versions)]
        elif name is None and _is_repository(path):
            planned += [_found(each) for each in scan(path, SUFFIXES)]
        else:
            planned.append(Planned(name, "1", meant, _beside(path)))
    return planned


def _found(found: Found, name: str | None = None) -> Planned:
    return Planned(name or found.name, found.version, str(found.path), found.layers, found.notes)


def settings_of(planned: Planned | None, flags: Mapping[str, Any]) -> Resolved[ModelSettings]:
    """The settings of a model: flag, environment, model.toml, foretell.toml, default."""
    return model_settings(flags, os.environ, planned.layers if planned else (), Path())


def job_settings(flags: JobFlags) -> Resolved[JobSettings]:
    """The settings of a job: flag, environment, foretell.toml, default."""
    return resolve(
        JobSettings,
        [*layers(flags), *environment(JobSettings, os.environ), toml_layer(Path(PROJECT_FILE), "job")],
    )


def load(planned: Planned, flags: Mapping[str, Any]) -> Served:
    """Opens and loads one model."""
    settings = settings_of(planned, flags).settings
    for_each = replace(settings, threads=threads_of_each(settings))

    def again() -> Model:
        return open_model(planned.source, for_each).model

    opened = open_model(planned.source, for_each)
    name = planned.name or check_name(opened.name)
    engine = Engine(
        opened.model,
        settings,
        name=name,
        version=planned.version,
        digest=opened.digest,
        recorder=Stats(),
        again=again,
        profile_file=ProfileFile(cache_folder() / "profiles", f"{settings.device} {for_each.threads} {usable_cores()}"),
    ).load()
    return Served(name, planned.version, engine, opened)


def threads_of_each(settings: ModelSettings) -> int:
    """Threads inside one call of one of several replicas, which share the cores."""
    most = settings.max_replicas or settings.replicas
    return max(1, usable_cores() // most) if not settings.threads and most > 1 else settings.threads


def cache_folder() -> Path:
    """Where foretell keeps what it can learn again (XDG Base Directory Specification)."""
    given = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(given) if given.startswith("/") else Path.home() / ".cache") / "foretell"


def load_all(sources: Sequence[str], flags: Mapping[str, Any], *, newest: bool = False) -> StaticCatalog:
    """A catalogue of everything named; with `newest`, of REPO/NAME only the newest version.

    If one fails, those loaded before are closed again.
    """
    loaded: list[Served] = []
    try:
        for planned in plan(sources, newest=newest):
            for note in planned.notes:
                print(f"foretell: note: {note}", file=sys.stderr)
            loaded.append(load(planned, flags))
        refuse_idle_permissions(flags, [served.opened for served in loaded])
        if not loaded:
            raise InvalidSetting("there is nothing to serve", expected="a MODEL, NAME=MODEL or a folder of models")
        return StaticCatalog(loaded)
    except InferenceError:
        for served in loaded:
            served.engine.close()
        raise


def check_there(planned: Planned) -> None:
    """Raises `InvalidModel` where there is no such file; of "module:name", only a .py file is looked for."""
    if not is_reference(planned.source) or Path(planned.source).exists():
        find_artefact(Path(planned.source))
        return
    file = Path(planned.source.rpartition(":")[0])
    if file.suffix == ".py" and not file.is_file():
        raise InvalidModel("there is no such file", where=str(file))


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
