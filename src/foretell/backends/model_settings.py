"""The settings that mean the same for every model without a native runtime, each honoured or refused."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from foretell.config import ModelSettings
from foretell.errors import InvalidSetting, Unavailable
from foretell.types import ModelSpec

_SPECIAL = ("runtime", "compile", "model_class", "task")
"""Settings that belong to few kinds of model."""


def refuse_tuning(settings: ModelSettings, kind: str, *, takes: Collection[str] = ()) -> None:
    """Refuses each setting that such a model cannot honour, but those that it `takes`.

    Raises `Unavailable` for a precision or pass, `InvalidSetting` for threads and for what belongs to other kinds.
    """
    if settings.precision is not None and "precision" not in takes:
        fix = "leave precision unset"
        raise Unavailable(f"{kind} computes in the precision it was made with", got=settings.precision, fix=fix)
    if settings.optimizations and "optimizations" not in takes:
        got = ", ".join(settings.optimizations)
        raise Unavailable(f"there are no optimisations for {kind}", got=got, fix="leave optimizations unset")
    if settings.threads and "threads" not in takes:
        fix = "leave threads at 0, and limit them in the model itself or by OMP_NUM_THREADS"
        raise InvalidSetting(f"{kind} decides about its threads itself", got=f"threads = {settings.threads}", fix=fix)
    for name in _SPECIAL:
        value = getattr(settings, name)
        if value and name not in takes:
            raise InvalidSetting(f"{name} means nothing for {kind}", got=f"{name} = {value}", fix="leave it out")


def with_settings(spec: ModelSpec, settings: ModelSettings) -> ModelSpec:
    """`spec` with the axis of rows and the padding that the settings name."""
    if settings.batch is not None:
        spec = spec.with_changes(batch=None if settings.batch == "none" else settings.batch)
    if settings.pad is None:
        return spec
    for name in settings.pad:
        if spec.inputs is not None and spec.input(name) is None:
            known = ", ".join(each.name for each in spec.inputs)
            raise InvalidSetting(f"pad names the input {name!r}, which the model lacks", expected=known)
    return spec.with_changes(pad=dict(settings.pad))


def pad_text(pad: Mapping[str, float]) -> str:
    """As the identity of a model has it."""
    return ",".join(f"{name}={value}" for name, value in sorted(pad.items()))
