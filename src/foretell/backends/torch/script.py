"""TorchScript modules, which tell the names of their inputs and nothing of their shapes."""

from __future__ import annotations

from collections.abc import Iterator
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
            fix = "save a module around it, whose forward takes a tensor for each input"
            raise InvalidModel("its forward takes more than tensors", where=where, expected=expected, got=got, fix=fix)
    if not needed:
        raise InvalidModel("a model without inputs has nothing to answer", where=where)
    inputs = tuple(TensorSpec(each.name.partition(".")[0]) for each in needed)
    kinds = (None,) * len(inputs)
    return Runnable(module, module.forward, ModelSpec(inputs=inputs), kinds, frozen=tuple(_constants(module)))


def _constants(module: Any) -> Iterator[torch.Tensor]:
    """The tensors in its code, where `torch.jit.freeze` has put its weights."""
    for node in module.graph.findAllNodes("prim::Constant"):
        if isinstance(node.output().type(), torch.TensorType) and node.hasAttribute("value"):
            yield node.t("value")
