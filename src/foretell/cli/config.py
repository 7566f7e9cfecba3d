"""`foretell config`."""

from __future__ import annotations

import os
from dataclasses import fields
from pathlib import Path
from typing import Any

from foretell.cli.flags import ModelFlags, ServerFlags
from foretell.cli.loading import plan, settings_of
from foretell.cli.output import print_json, print_table
from foretell.config import JobSettings, Resolved, ServerSettings, environment, resolve, toml_layer
from foretell.repository.settings import PROJECT_FILE


def config(
    *models: str, model: ModelFlags = ModelFlags(), server: ServerFlags = ServerFlags(), json: bool = False
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
            [*server.layers(), *environment(ServerSettings, os.environ), toml_layer(project, "server")],
        ),
        "job": resolve(JobSettings, [*environment(JobSettings, os.environ), toml_layer(project, "job")]),
    }
    planned = plan(models)
    for one in planned:
        sections[f"model {one.name or one.source} version {one.version}"] = settings_of(one, model.given())
    if not planned:
        sections["model"] = settings_of(None, model.given())
    if json:
        print_json({name: _as_dict(resolved) for name, resolved in sections.items()})
        return
    for name, resolved in sections.items():
        values = _as_dict(resolved)
        print_table(
            ["setting", "value", "from"], [[key, str(v["value"]), v["from"]] for key, v in values.items()], f"[{name}]"
        )


def _as_dict(resolved: Resolved[Any]) -> dict[str, dict[str, Any]]:
    names = [field.name for field in fields(resolved.settings)]
    return {name: {"value": getattr(resolved.settings, name), "from": resolved.origins[name]} for name in names}
