"""TorchScript modules, which tell the names of their inputs and nothing of their shapes."""

from __future__ import annotations

from typing import Any

import torch

from foretell.backends.torch.runnable import Runnable
from foretell.errors import InvalidModel
from foretell.types import ModelSpec, TensorSpec


def runnable_of(module: Any, where: str) -> Runnable:
    """Raises `InvalidModel` for one that needs anything but tensors."""
    module.eval()
    if not hasattr(module, "forward"):
        raise InvalidModel("it has no forward, or several", where=where, fix="save a module with one forward")
    arguments = module.forward.schema.arguments[1:]  # the first one is the module, whatever it is called
    needed = [each for each in arguments if not each.has_default_value()]
    for each in needed:
        if not isinstance(each.type, torch.TensorType):
            expected, got = "tensors as inputs", f"{each.name}: {each.type}"
            raise InvalidModel("its forward takes more than tensors", where=where, expected=expected, got=got)
    if not needed:
        raise InvalidModel("a model without inputs has nothing to answer", where=where)
    inputs = tuple(TensorSpec(each.name.partition(".")[0]) for each in needed)
    return Runnable(module, module.forward, ModelSpec(inputs=inputs), (None,) * len(inputs))
