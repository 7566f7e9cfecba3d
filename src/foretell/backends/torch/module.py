"""Modules that are there as Python objects: what their code and their attributes tell."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Mapping
from copy import deepcopy
from inspect import Parameter, signature
from typing import Any

import torch

from foretell.backends.python.declared import read_declared
from foretell.backends.python.example import example_batch
from foretell.backends.python.signature import read_signature
from foretell.backends.torch.model import TorchModel
from foretell.backends.torch.program import runnable_of as runnable_of_program
from foretell.backends.torch.runnable import Runnable
from foretell.backends.torch.script import runnable_of as runnable_of_script
from foretell.config import ModelSettings
from foretell.errors import InvalidModel, InvalidSetting
from foretell.types import ModelSpec, TensorSpec
from foretell.warning_filters import within

_BY_NAME = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)


def live_model(value: Any, settings: ModelSettings, where: str, example: object = None) -> TorchModel:
    """A `torch.nn.Module`, ScriptModule or ExportedProgram that somebody has in memory.

    A module is put into evaluation mode, and for a call again where somebody goes on with its training; where it is to
    compute in other numbers or elsewhere, a copy of it is. Raises as `TorchModel`, and `InvalidModel` for one whose
    forward takes no data.
    """
    if settings.model_class is not None:
        raise InvalidSetting("model_class is for weights in a file", where=where, got="a model that is there already")
    changes = settings.precision is not None or settings.devices != ("cpu",)
    if isinstance(value, torch.export.ExportedProgram):
        return TorchModel(lambda: runnable_of_program(value, where), where, settings)
    if isinstance(value, torch.jit.ScriptModule):
        return TorchModel(lambda: runnable_of_script(_copied(value) if changes else value, where), where, settings)
    return TorchModel(lambda: runnable_of(deepcopy(value) if changes else value, where, example), where, settings)


def _copied(module: torch.jit.ScriptModule) -> torch.jit.ScriptModule:
    """What was saved and read: `deepcopy` asks its tensors for gradients that they do not have, with a warning."""
    with within(warnings.catch_warnings(action="ignore")):  # that TorchScript is deprecated is for whoever made it
        saved = io.BytesIO()
        torch.jit.save(module, saved)
        saved.seek(0)
        return torch.jit.load(saved)


def runnable_of(module: torch.nn.Module, where: str, example: object = None) -> Runnable:
    """The module in evaluation mode. Its inputs are the parameters of its forward that have no default, unless its
    attribute `inputs` says otherwise; `example`, rows of them, tells their types, and may name others that have one."""
    module.eval()
    declared = read_declared(module, where)
    told = read_signature(module.forward, f"{where}.forward")
    if told.whole is not None:
        what, got = "its forward takes all inputs in one", f"{told.parameters[0].name} of {told.whole.name.lower()}"
        fix = "give it a parameter for each, or serve a Python class that calls it"
        raise InvalidModel(what, where=where, expected="tensors as inputs", got=got, fix=fix)
    inputs = declared.spec.inputs or told.specs()
    batch = None
    call: Callable[..., Any] = module
    if example is not None:
        if declared.spec.inputs is None and (more := _named_beside(example, module, inputs)):
            inputs, call = more, _by_name(module, [each.name for each in more])
        inputs, batch = example_batch(example, inputs, told)
    spec: ModelSpec = declared.spec.with_changes(inputs=inputs)
    return Runnable(module, call, spec, (None,) * len(inputs or ()), labels=declared.labels, example=batch,
                    live=True)  # fmt: skip


def _named_beside(
    example: object, module: torch.nn.Module, inputs: tuple[TensorSpec, ...] | None
) -> tuple[TensorSpec, ...] | None:
    """The inputs where `example` names parameters beside those that have to be given."""
    names = example if isinstance(example, Mapping) else getattr(example, "columns", ())
    given = {str(name) for name in names}
    if inputs is None or not given > {each.name for each in inputs}:
        return None
    known = [name for name, each in signature(module.forward).parameters.items() if each.kind in _BY_NAME]
    return tuple(TensorSpec(name) for name in known if name in given) if given <= set(known) else None


def _by_name(module: torch.nn.Module, names: list[str]) -> Callable[..., Any]:
    return lambda *tensors: module(**dict(zip(names, tensors, strict=True)))
