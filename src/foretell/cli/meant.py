"""What the command line means: which model, with which settings. Imports nothing of what runs one."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from foretell.backends.artefact_file import find_artefact
from foretell.backends.python.source import is_reference
from foretell.cli.flags import JobFlags, ScoreFlags, StreamFlags, layers
from foretell.config import JobSettings, ModelSettings, Resolved, environment, resolve, toml_layer
from foretell.errors import InvalidModel, InvalidSetting
from foretell.repository.plan import Planned, plan
from foretell.repository.settings import PROJECT_FILE, model_settings


def settings_of(planned: Planned | None, flags: Mapping[str, Any]) -> Resolved[ModelSettings]:
    """The settings of a model: flag, environment, model.toml, foretell.toml, default."""
    found = model_settings(flags, os.environ, planned.layers if planned else (), Path())
    if found.settings.cache_dir is not None:
        return found
    return replace(found, settings=replace(found.settings, cache_dir=str(cache_folder())))


def cache_folder() -> Path:
    """Where foretell keeps what it can learn again (XDG Base Directory Specification)."""
    given = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(given) if given.startswith("/") else Path.home() / ".cache") / "foretell"


def job_settings(flags: JobFlags | ScoreFlags | StreamFlags) -> Resolved[JobSettings]:
    """The settings of a job: flag, environment, foretell.toml, default."""
    return resolve(
        JobSettings,
        [*layers(flags), *environment(JobSettings, os.environ), toml_layer(Path(PROJECT_FILE), "job")],
    )


def only(source: str) -> Planned:
    """The one model that is meant, in its newest version."""
    planned = plan([source])
    names = list(dict.fromkeys(one.name for one in planned))
    if len(names) > 1:
        paths = " or ".join(str(Path(source) / str(name)) for name in names[:5])
        raise InvalidSetting(f"{source} holds {len(names)} models", expected="one", fix=f"name it: {paths}")
    return planned[-1]


def check_there(planned: Planned) -> None:
    """Raises `InvalidModel` where there is no such file; of "module:name", only a .py file is looked for."""
    if not is_reference(planned.source) or Path(planned.source).exists():
        find_artefact(Path(planned.source))
        return
    file = Path(planned.source.rpartition(":")[0])
    if file.suffix == ".py" and not file.is_file():
        raise InvalidModel("there is no such file", where=str(file))
