"""The options of `Predictor`: every name is known, acts, and holds one value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from foretell.config import JobSettings, Layer, ModelSettings, resolve
from foretell.engine.ahead import MOST_ROWS
from foretell.errors import InvalidSetting, nearest

_ALIASES = {"optimize_model": "optimize"}
_OWN = {"optimize", "batch_size", "num_workers", "example", "name", "version"}
_MODEL = {field.name for field in fields(ModelSettings)} - {"max_batch_size", "inline_limit_ms"}


@dataclass(frozen=True, slots=True)
class Options:
    """What a `Predictor` was asked for. `optimize` None: the runtime's own passes, nobody asked."""

    model: ModelSettings
    job: JobSettings
    optimize: bool | None
    example: Any
    name: str | None
    version: str


def read_options(config: Mapping[str, Any] | None, given: Mapping[str, Any]) -> Options:
    """Options from `config` and keywords together. Raises `InvalidSetting`: unknown, given twice, or out of range."""
    if config is not None and not isinstance(config, Mapping):
        raise InvalidSetting("config is no mapping", expected="a dict of options", got=type(config).__name__)
    values = _merged(config or {}, given)
    optimize = values.pop("optimize", None)
    if optimize is not None and not isinstance(optimize, bool):
        raise InvalidSetting("optimize is neither on nor off", expected="True or False", got=repr(optimize))
    if optimize is False:
        if values.get("optimizations"):
            raise InvalidSetting("optimize=False and optimizations contradict each other", fix="leave one out")
        values["optimizations"] = ()
    if optimize and "optimizations" in values and not values["optimizations"]:
        raise InvalidSetting("optimize=True and no optimizations contradict each other", fix="leave one out")
    own = {key: values.pop(key, None) for key in ("example", "name", "version")}
    for key in ("name", "version"):
        if own[key] is not None and (not isinstance(own[key], (str, int)) or own[key] == ""):
            raise InvalidSetting(f"{key} is no name", expected="text", got=repr(own[key]))
    job: dict[str, Any] = {key: values.pop(key) for key in ("batch_size", "num_workers") if key in values}
    job_settings = resolve(JobSettings, [Layer("options", dict(job))]).settings
    values["max_batch_size"] = job_settings.batch_size or MOST_ROWS
    if isinstance(values.get("optimizations"), (list, set, frozenset)):
        values["optimizations"] = tuple(values["optimizations"])
    settings = resolve(ModelSettings, [Layer("options", values)]).settings
    _check_places(settings, values)
    name, version = own["name"], own["version"]
    return Options(
        settings,
        job_settings,
        optimize,
        own["example"],
        None if name is None else str(name),
        "1" if version is None else str(version),
    )


def _check_places(settings: ModelSettings, values: Mapping[str, Any]) -> None:
    """Raises `InvalidSetting` for what decides nothing where calls run on the threads of their callers."""
    if settings.executor in ("inline", "thread"):
        what, expected = "a predictor's calls run on the threads that make them", "executor = 'process', or none"
        raise InvalidSetting(what, expected=expected, got=f"executor = {settings.executor!r}", fix="leave it out")
    if "load_timeout_s" in values and settings.executor != "process":
        fix = "leave it out, or give executor = 'process'"
        raise InvalidSetting("load_timeout_s would do nothing without a process of its own", fix=fix)


def _merged(config: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    known = _OWN | _MODEL | set(_ALIASES)
    for origin, values in (("config", config), ("options", given)):
        for key, value in values.items():
            if key not in known:
                raise InvalidSetting(f"unknown option {key!r}", where=origin, fix=nearest(str(key), known))
            if value is None:
                continue
            name = _ALIASES.get(key, key)
            if name in merged and not _same(merged[name], value):
                raise InvalidSetting(f"{key} is given twice", got=f"{merged[name]!r} and {value!r}")
            merged[name] = value.item() if isinstance(value, np.generic) else value
    return merged


def _same(one: Any, other: Any) -> bool:
    try:
        return bool(one == other)
    except ValueError:  # arrays, which are not equal as a whole
        return one is other


def whole(name: str, value: Any, least: int) -> int | None:
    """A number of rows or threads, None for none. Raises `InvalidSetting`."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        expected = f"a whole number, {least} or more"
        raise InvalidSetting(f"{name} is out of range", expected=expected, got=repr(value))
    return int(value)
