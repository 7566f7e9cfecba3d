"""What all kinds of PyTorch model come down to: a function over tensors, and what is known of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from foretell.backends.torch.tensors import named_tensors
from foretell.columns import Batch
from foretell.types import ModelSpec


@contextmanager
def evaluating(module: torch.nn.Module) -> Iterator[None]:
    """The module in evaluation mode; afterwards each of its parts is in its own again."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, mode in modes:
            part.training = mode


@dataclass(slots=True)
class Runnable:
    """`module` holds the weights; `call` takes a tensor for each of `spec.inputs`, in their order.

    `kinds`: the type that each input is cast to; None where nobody knows. `named`: an answer by the names of the
    outputs. `least_rows`: of a call; fewer are filled up. `labels`: class names, for the output that has one value for
    each. `example`: rows to answer once, which tell the outputs. `live`: somebody has `module`, and may go on with its
    training. `frozen`: weights that stand in its code.
    """

    module: torch.nn.Module
    call: Callable[..., Any]
    spec: ModelSpec
    kinds: tuple[torch.dtype | None, ...]
    named: Callable[[Any], dict[str, torch.Tensor]] = named_tensors
    least_rows: int = 1
    labels: tuple[str, ...] | None = None
    example: Batch | None = None
    live: bool = False
    frozen: tuple[torch.Tensor, ...] = ()

    def weights(self) -> list[torch.Tensor]:
        """Those that training has changed, and those that it could have."""
        return [*self.module.parameters(), *self.frozen]
