"""Where the rows of a model are, as the declared shapes of its tensors say."""

from __future__ import annotations

from collections.abc import Sequence

from foretell.types import BatchRule, DataType, Shape, TensorSpec

Dims = tuple[int | None, ...] | None
"""A whole shape, a free size None; None where not even the rank is known."""


def rule_of(inputs: Sequence[Dims], outputs: Sequence[Dims]) -> BatchRule:
    """In the first axis, if that of all inputs is free, or of one size and not their only one; else nowhere."""
    if any(not dims for dims in inputs) or any(dims == () for dims in outputs):
        return None
    heads = {dims[0] for dims in inputs if dims}
    if heads == {None}:
        return "any"
    size = heads.pop() if len(heads) == 1 else None
    same = all(dims is None or dims[0] in (None, size) for dims in outputs)
    return size if size and same and all(len(dims or ()) > 1 for dims in inputs) else None


def tensor_of(name: str, datatype: DataType, dims: Dims, batch: BatchRule) -> TensorSpec:
    """The spec of one row."""
    shape: Shape | None = None if dims is None else dims if batch is None else dims[1:]
    return TensorSpec(name, datatype, shape)
