"""Weights in a file, and the class of the user's that they belong to."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import torch

from foretell.backends.python.source import Found, find
from foretell.backends.torch.model import invalid
from foretell.backends.torch.module import runnable_of
from foretell.backends.torch.runnable import Runnable
from foretell.errors import InvalidModel

_SHOWN = 3
_NO_ARGUMENTS = "name a function of yours that makes it with the arguments it needs"
_INSIDE = ("state_dict", "model_state_dict", "model_state", "model", "net", "network", "weights")
"""Where a checkpoint of a training has the weights, beside its optimizer and its epoch."""
_BEFORE = ("module.", "_orig_mod.", "model.", "net.")
"""What training on several devices, torch.compile and a class around the module put before each name."""


def class_of(reference: str) -> Found:
    """Raises `InvalidModel` where that is no module of PyTorch, or nothing that makes one."""
    found = find(reference)
    if not callable(found.value):
        expected, got = "a class or function that makes a torch.nn.Module", type(found.value).__name__
        raise InvalidModel("model_class is none", where=reference, expected=expected, got=got)
    return found


def with_weights(path: Path, found: Found) -> Runnable:
    """An instance of the class, with the weights of the file. Raises `InvalidModel` where they do not fit."""
    try:
        module = found.value()  # type: ignore[operator]
    except (Exception, SystemExit) as error:
        text = f"instantiating {found.name} failed with {type(error).__name__}: {error}"
        raise InvalidModel(text, where=str(path), fix=_NO_ARGUMENTS) from error
    if not isinstance(module, torch.nn.Module):
        expected, got = "a torch.nn.Module", type(module).__name__
        raise InvalidModel(f"{found.name} made none", where=str(path), expected=expected, got=got)
    try:
        state = _state(path)
    except pickle.UnpicklingError as error:
        fix = "save module.state_dict(), or export it with torch.export"
        raise InvalidModel(
            "it holds more than weights, which cannot be read safely", where=str(path), fix=fix
        ) from error
    except Exception as error:
        raise invalid(error, str(path)) from error
    _load(module, _of_module(state, set(module.state_dict())), found.name, str(path))
    return runnable_of(module, found.name)


def _state(path: Path) -> dict[str, Any]:
    if path.suffix.lower() == ".safetensors":
        from safetensors.torch import load_file

        return dict(load_file(path))
    state = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(state, dict):
        raise InvalidModel("it holds no weights by name", got=type(state).__name__)
    return state


def _of_module(state: dict[str, Any], own: set[str]) -> dict[str, Any]:
    """The weights of the module, from a checkpoint of its training too. `own`: their names there."""
    if not own & set(state):
        state = next((state[name] for name in _INSIDE if isinstance(state.get(name), dict)), state)
    while state and not own & set(state):
        before = next((each for each in _BEFORE if all(str(name).startswith(each) for name in state)), None)
        if before is None:
            break
        state = {name.removeprefix(before): value for name, value in state.items()}
    return state


def _load(module: torch.nn.Module, state: dict[str, Any], name: str, where: str) -> None:
    own = module.state_dict()
    state = {**_tied(own, state), **state}
    lacks, more = sorted(set(own) - set(state)), sorted(set(state) - set(own))
    wrong = [key for key in own if key in state and getattr(state[key], "shape", None) != own[key].shape]
    if lacks or more or wrong:
        found = (("lacks", lacks), ("has beside them", more), ("differs in shape at", wrong))
        got = "; ".join(f"{kind} {_some(keys)}" for kind, keys in found if keys)
        raise InvalidModel(f"the weights do not fit {name}", where=where, got=f"a file that {got}")
    module.load_state_dict(state)


def _tied(own: dict[str, Any], state: dict[str, Any]) -> dict[str, Any]:
    """The weights that have several names in the module, of which the file has one: `safetensors` writes them once."""
    places = {key: (each.data_ptr(), each.shape, each.stride()) for key, each in own.items() if each.numel()}
    there = {places[key]: state[key] for key in places if key in state}
    return {key: there[place] for key, place in places.items() if place in there}


def whole_module(data: bytes, where: str) -> Runnable:
    """What torch.save(module) wrote, a pickle, which runs whatever it says. Raises `InvalidModel` for weights alone."""
    try:
        module = torch.load(io.BytesIO(data), map_location="cpu", weights_only=False)
    except Exception as error:
        raise invalid(error, where) from error
    if not isinstance(module, torch.nn.Module):
        fix = "name the class of its weights with --model-class module:Class"
        raise InvalidModel("it holds no module", where=where, got=type(module).__name__, fix=fix)
    return runnable_of(module, type(module).__name__)


def _some(keys: list[str]) -> str:
    return ", ".join(keys[:_SHOWN]) + (", ..." if len(keys) > _SHOWN else "")
