"""What a user's object says of itself in attributes beside its methods."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from foretell.errors import InvalidModel
from foretell.types import ModelSpec, TensorSpec

_FLAGS = ("row_wise", "deterministic", "concurrent")


@dataclass(frozen=True, slots=True)
class Declared:
    """`labels` is by output, or a plain tuple that still has to find its output."""

    spec: ModelSpec
    labels: tuple[str, ...] | None
    transient: tuple[type[Exception], ...]


def read_declared(target: object, where: str) -> Declared:
    """Reads `spec`, `inputs`, `outputs`, `pad`, `labels`, `row_wise`, `deterministic`, `concurrent` and `transient`.

    Raises `InvalidModel` for one of them that is of another kind.
    """
    spec = _attribute(target, "spec")
    if spec is None:
        spec = ModelSpec()
    elif not isinstance(spec, ModelSpec):
        raise _wrong("spec", spec, "a foretell.ModelSpec", where)
    changes: dict[str, Any] = {}
    for name in ("inputs", "outputs"):
        tensors = _attribute(target, name)
        if tensors is not None:
            changes[name] = _tensors(tensors, name, where)
    pad = _attribute(target, "pad")
    if pad is not None:
        changes["pad"] = _numbers(pad, where)
    for name in _FLAGS:
        flag = _attribute(target, name)
        if flag is not None and not isinstance(flag, bool):
            raise _wrong(name, flag, "True or False", where)
        if flag is not None:
            changes[name] = flag
    labels = _attribute(target, "labels")
    if isinstance(labels, Mapping):
        changes["labels"] = {str(name): _names(each, where) for name, each in labels.items()}
        labels = None
    listed = None if labels is None else _names(labels, where)
    return Declared(spec.with_changes(**changes), listed, read_transient(target, where))


def read_transient(target: object, where: str) -> tuple[type[Exception], ...]:
    kinds = _attribute(target, "transient")
    if kinds is None:
        return ()
    kinds = (kinds,) if isinstance(kinds, type) else kinds
    if not isinstance(kinds, (tuple, list)) or not all(isinstance(k, type) and issubclass(k, Exception) for k in kinds):
        raise _wrong("transient", kinds, "a tuple of exception classes", where)
    return tuple(kinds)


def _attribute(target: object, name: str) -> Any:
    """The attribute, unless it is a method, which means something else."""
    value = getattr(target, name, None)
    return None if callable(value) and not isinstance(value, type) else value


def _tensors(value: Any, name: str, where: str) -> tuple[TensorSpec, ...]:
    if not isinstance(value, (tuple, list)) or not all(isinstance(each, TensorSpec) for each in value):
        raise _wrong(name, value, "a tuple of foretell.TensorSpec", where)
    return tuple(value)


def _numbers(value: Any, where: str) -> dict[str, float]:
    numbers = isinstance(value, Mapping) and all(isinstance(each, (int, float)) for each in value.values())
    if not numbers:
        raise _wrong("pad", value, "a dict with a number for each input", where)
    return {str(name): float(number) for name, number in value.items()}


def _names(value: Any, where: str) -> tuple[str, ...]:
    if not isinstance(value, (tuple, list, np.ndarray)):
        raise _wrong("labels", value, "a list of class names, or a dict of them by output", where)
    return tuple(str(name) for name in value)


def _wrong(name: str, value: object, expected: str, where: str) -> InvalidModel:
    return InvalidModel(f"its attribute {name!r} is wrong", where=where, expected=expected, got=repr(value)[:80])
