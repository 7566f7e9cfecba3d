"""Whether rows depend on each other in a module that does not tell its inputs: calls as its weights suggest.

A recurrent network that takes time first, as PyTorch's own do unless they are told otherwise, has steps where others
have rows: calls of two callers, merged, would be one sequence.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import torch

from foretell.backends.array_probe import Call, probed
from foretell.types import DataType, ModelSpec, Shape

_STEPS, _PIXELS, _MOST_TRIED = 7, 32, 4


def depends_on_rows(weights: Iterable[torch.Tensor], spec: ModelSpec, call: Call) -> bool:
    """Of a single input whose type and shape are not known; False where no guess is one that the module takes."""
    inputs = spec.inputs or ()
    if len(inputs) != 1 or (inputs[0].datatype is not None and inputs[0].shape is not None):
        return False
    for datatype, shape in _guesses(weights):
        told = probed(spec.with_changes(inputs=(replace(inputs[0], datatype=datatype, shape=shape),)), call)
        if told.outputs is not None:
            return told.batch == "any" and not told.row_wise
    return False


def _guesses(weights: Iterable[torch.Tensor]) -> Iterator[tuple[DataType, Shape]]:
    """Rows as the first weights would take them, those with more axes first: many layers take fewer, too."""
    first = [each for each in weights if each.ndim > 1][:_MOST_TRIED]
    for weight in first:
        axes = (_PIXELS,) * (weight.ndim - 2)
        yield DataType.FP32, (_STEPS, weight.shape[1]) if not axes else (weight.shape[1], *axes)
    yield DataType.INT64, (_STEPS,)
    for weight in first:
        yield DataType.FP32, (weight.shape[1],)
