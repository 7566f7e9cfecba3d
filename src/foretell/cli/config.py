"""`foretell config`."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any

from foretell.cli.flag import Flag
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
from foretell.cli.meant import check_there, job_settings, settings_of
from foretell.cli.output import print_json, print_table
from foretell.config import Resolved, ServerSettings, environment, resolve, toml_layer
from foretell.cores import usable_cores
from foretell.repository.plan import plan
from foretell.repository.settings import PROJECT_FILE
from foretell.workers.division import in_each

_ABOUT = {"server": "of foretell serve", "job": "of foretell predict, score and stream", "model": "of any model"}


def config(
    *models: Annotated[str, Flag(("MODEL",))],
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
    workers = sections["server"].settings.workers
    flags = {**model.given(), **given(calls), **given(batching)}
    planned = plan(models)
    for one in planned:
        check_there(one)
        sections[f"model {one.name or one.source} version {one.version}"] = settings_of(one, flags)
    if not planned:
        sections["model"] = settings_of(None, flags)
    if json:
        print_json({name: _finite(_as_dict(resolved, workers)) for name, resolved in sections.items()})
        return
    for name, resolved in sections.items():
        rows = [[key, _for_people(each, workers), each["from"]] for key, each in _as_dict(resolved, workers).items()]
        title = f"[{name}] {_ABOUT[name]}" if name in _ABOUT else f"[{name}]"
        print_table(["setting", "value", "from"], rows, title)


def _as_dict(resolved: Resolved[Any], workers: int) -> dict[str, dict[str, Any]]:
    """By setting: value, origin, and what it comes to in each worker where that is something else."""
    told: dict[str, dict[str, Any]] = {}
    for name in [field.name for field in fields(resolved.settings)]:
        value = getattr(resolved.settings, name)
        each = in_each(name, value, workers, usable_cores())
        told[name] = {"value": value, "from": resolved.origins[name]}
        if each is not None:
            told[name]["in_each_worker"] = each
    return told


def _finite(value: Any) -> Any:
    """With texts such as "inf", which every place of settings understands, where JSON has no number but null."""
    if isinstance(value, Mapping):
        return {name: _finite(each) for name, each in value.items()}
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _for_people(setting: Mapping[str, Any], workers: int) -> str:
    each, value = setting.get("in_each_worker"), shown(setting["value"])
    if each is None:
        return value
    in_each_of_them = f"{shown(each)} in each of {workers} workers"
    return in_each_of_them if each == setting["value"] else f"{value} ({in_each_of_them})"
