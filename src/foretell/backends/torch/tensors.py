"""Between NumPy arrays and PyTorch tensors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from foretell.columns import Array
from foretell.errors import ModelError
from foretell.types import DataType

_KINDS = {
    torch.bool: DataType.BOOL,
    torch.uint8: DataType.UINT8,
    torch.uint16: DataType.UINT16,
    torch.uint32: DataType.UINT32,
    torch.uint64: DataType.UINT64,
    torch.int8: DataType.INT8,
    torch.int16: DataType.INT16,
    torch.int32: DataType.INT32,
    torch.int64: DataType.INT64,
    torch.float16: DataType.FP16,
    torch.float32: DataType.FP32,
    torch.float64: DataType.FP64,
    torch.bfloat16: DataType.FP32,
}


def datatype_of(kind: torch.dtype) -> DataType | None:
    """What travels for tensors of such a type: BF16, which NumPy does not know, as FP32. None where nothing can."""
    return _KINDS.get(kind)


def tensor_of(array: Array, kind: torch.dtype | None, floats: torch.dtype | None) -> torch.Tensor:
    """The array in memory of its own, which a model may write to.

    `kind`: what the model takes; None where nobody knows: then numbers with a fraction become `floats`, the type of the
    model's weights.
    """
    tensor = torch.from_numpy(np.array(array, order="C"))
    wanted = floats if kind is None and tensor.is_floating_point() else kind
    return tensor if wanted is None else tensor.to(wanted)


def named_tensors(answer: Any) -> dict[str, torch.Tensor]:
    """A model's answer by the names of its outputs.

    A tensor is `output`; of a dict or a class of named fields, the names are kept; those of a list or tuple are
    `output_0`, `output_1` and so on; inside each other, names are joined by "_". What is no tensor is left out.
    """
    if isinstance(answer, torch.Tensor):
        return {"output": answer}
    found = dict(_named(answer, ""))
    if not found:
        raise ModelError("it answered without a tensor", expected="a tensor, or tensors in a dict, list or tuple",
                         got=type(answer).__name__)  # fmt: skip
    return found


def _named(answer: Any, prefix: str) -> Iterator[tuple[str, torch.Tensor]]:
    if isinstance(answer, torch.Tensor):
        yield prefix, answer
        return
    for name, value in _parts(answer):
        before = f"{prefix}_" if prefix else "" if not name.isdigit() else "output_"
        yield from _named(value, f"{before}{name}")


def _parts(answer: Any) -> Sequence[tuple[str, Any]]:
    if isinstance(answer, Mapping):
        return [(str(name), value) for name, value in answer.items()]
    if isinstance(answer, tuple) and hasattr(answer, "_fields"):
        return list(zip(answer._fields, answer, strict=True))
    if isinstance(answer, (list, tuple)):
        return [(str(at), value) for at, value in enumerate(answer)]
    return []


def array_of(tensor: torch.Tensor, name: str) -> Array:
    """In memory of its own. Raises `ModelError` for numbers that have no tensor type."""
    if tensor.dtype not in _KINDS or tensor.layout is not torch.strided:
        expected = "real numbers or booleans in a dense tensor"
        got = f"{tensor.dtype}, {tensor.layout}"
        raise ModelError("the output cannot be served", where=f"output {name!r}", expected=expected, got=got)
    if tensor.dtype is torch.bfloat16:
        tensor = tensor.float()
    # A copy: what a module answers may be a buffer of its own, where it writes its next answer.
    return np.array(tensor.detach().resolve_conj().resolve_neg().cpu().numpy(), order="C")
