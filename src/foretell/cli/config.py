"""`foretell config`."""

from __future__ import annotations

import os
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from foretell.cli.flags import (
    BatchingFlags,
    CallFlags,
    JobFlags,
    ModelFlags,
    ServerFlags,
    given,
    layers,
    shown,
)
from foretell.cli.loading import check_there, job_settings, settings_of
from foretell.cli.output import print_json, print_table
from foretell.config import Resolved, ServerSettings, environment, resolve, toml_layer
from foretell.repository.plan import plan
from foretell.repository.settings import PROJECT_FILE

_ABOUT = {"server": "of foretell serve", "job": "of foretell predict", "model": "of any model"}


def config(
    *models: Annotated[str, Parameter(name="MODEL")],
    json: bool = False,
    model: ModelFlags = ModelFlags(),
    calls: CallFlags = CallFlags(),
    batching: BatchingFlags = BatchingFlags(),
    server: ServerFlags = ServerFlags(),
    job: JobFlags = JobFlags(),
) -> None:
    """Show every setting, its value and where it came from.

    Parameters
    ----------
    models
        As for `foretell serve`; without one, the settings that any model would get.
    json
        Print JSON.
    """
    project = Path(PROJECT_FILE)
    sections: dict[str, Resolved[Any]] = {
        "server": resolve(
            ServerSettings,
            [*layers(server), *environment(ServerSettings, os.environ), toml_layer(project, "server")],
        ),
        "job": job_settings(job),
    }
    flags = {**model.given(), **given(calls), **given(batching)}
    planned = plan(models)
    for one in planned:
        check_there(one)
        sections[f"model {one.name or one.source} version {one.version}"] = settings_of(one, flags)
    if not planned:
        sections["model"] = settings_of(None, flags)
    if json:
        print_json({name: _as_dict(resolved) for name, resolved in sections.items()})
        return
    for name, resolved in sections.items():
        rows = [[key, shown(each["value"]), each["from"]] for key, each in _as_dict(resolved).items()]
        title = f"[{name}] {_ABOUT[name]}" if name in _ABOUT else f"[{name}]"
        print_table(["setting", "value", "from"], rows, title)


def _as_dict(resolved: Resolved[Any]) -> dict[str, dict[str, Any]]:
    names = [field.name for field in fields(resolved.settings)]
    return {name: {"value": getattr(resolved.settings, name), "from": resolved.origins[name]} for name in names}
