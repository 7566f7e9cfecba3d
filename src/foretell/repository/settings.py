"""The settings of one model, from every place that may give them."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from foretell.config import JobSettings, Layer, ModelSettings, Resolved, check_layer, environment, resolve, toml_layer
from foretell.errors import InvalidSetting, UnsafeModel, nearest

MODEL_FILE = "model.toml"
PROJECT_FILE = "foretell.toml"
_OF_A_MODEL = {field.name for field in dataclasses.fields(ModelSettings)}
OF_A_JOB = frozenset(field.name for field in dataclasses.fields(JobSettings))

# A model must not vouch for itself: whoever could plant the artefact could plant the file beside it, and its code. Nor
# may it name folders to write to.
_NOT_BESIDE_A_MODEL = ("allow_pickle", "cache_dir", "model_class", "trust")


def model_layers(folders: Iterable[Path]) -> tuple[Layer, ...]:
    """What `model.toml` says in each of `folders`, nearest to the artefact first; folders without one are left out.

    Raises `InvalidSetting` for a file that is not TOML, an unknown key or a value that cannot be, and `UnsafeModel`
    for the keys that let an artefact run code or choose where to write: these are for the person who starts foretell.
    """
    layers = tuple(toml_layer(folder / MODEL_FILE) for folder in folders if os.path.lexists(folder / MODEL_FILE))
    for layer in layers:
        for key in _NOT_BESIDE_A_MODEL:
            if key in layer.values:
                raise UnsafeModel(
                    f"{key} cannot be set beside the model it would trust",
                    where=layer.origin,
                    fix=f"set it by flag, by FORETELL_{key.upper()} or in {PROJECT_FILE}",
                )
        check_layer(ModelSettings, layer)
    return layers


def model_settings(
    flags: Mapping[str, Any], environ: Mapping[str, str], beside: Iterable[Layer], folder: Path
) -> Resolved[ModelSettings]:
    """Settings and their origins: flag, then `FORETELL_*`, `model.toml` (`beside`), `foretell.toml`, default.

    `flags` are by the name of the setting, only those that were given; `folder` is where `foretell.toml` may be.
    Raises `InvalidSetting`.
    """
    given = [Layer(f"--{key.replace('_', '-')}", {key: value}) for key, value in flags.items()]
    project = toml_layer(folder / PROJECT_FILE, "model")
    return resolve(ModelSettings, [*given, *environment(ModelSettings, environ), *beside, project])


def library_settings(
    options: Mapping[str, Any], of_a_job: frozenset[str] = OF_A_JOB
) -> tuple[ModelSettings, JobSettings]:
    """Those of a call of the library, by name; None is as good as not given. `of_a_job`: the settings of jobs that
    mean something there. Raises `InvalidSetting`."""
    for key in options:
        if key not in _OF_A_MODEL | of_a_job:
            raise InvalidSetting(f"unknown option {key!r}", fix=nearest(key, _OF_A_MODEL | of_a_job))
    given = {key: value for key, value in options.items() if value is not None}
    model, job = ({key: value for key, value in given.items() if key in names} for names in (_OF_A_MODEL, of_a_job))
    return (
        resolve(ModelSettings, [Layer("options", model)]).settings,
        resolve(JobSettings, [Layer("options", job)]).settings,
    )
