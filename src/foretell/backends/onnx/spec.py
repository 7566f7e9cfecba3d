"""The inputs and outputs that ONNX Runtime tells of a model."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from foretell.backends.row_axis import Declared
from foretell.errors import InvalidModel
from foretell.types import DataType

_TENSORS = {
    "tensor(bool)": DataType.BOOL,
    "tensor(uint8)": DataType.UINT8,
    "tensor(uint16)": DataType.UINT16,
    "tensor(uint32)": DataType.UINT32,
    "tensor(uint64)": DataType.UINT64,
    "tensor(int8)": DataType.INT8,
    "tensor(int16)": DataType.INT16,
    "tensor(int32)": DataType.INT32,
    "tensor(int64)": DataType.INT64,
    "tensor(float16)": DataType.FP16,
    "tensor(float)": DataType.FP32,
    "tensor(double)": DataType.FP64,
    "tensor(bfloat16)": DataType.BF16,
    "tensor(string)": DataType.BYTES,
}
_MAPS = ("seq(map(int64,tensor(float)))", "seq(map(string,tensor(float)))")


def declared_inputs(nodes: Iterable[Any], shaped: Collection[str], where: str) -> tuple[Declared, ...]:
    """Raises `InvalidModel` for an input that is no tensor."""
    found = tuple(_declared(node, shaped, f"{where}, input {node.name!r}", "inputs") for node in nodes)
    if not found:
        raise InvalidModel("a model without inputs has nothing to answer", where=where, fix="export it with an input")
    for declared in found:
        if declared.form != "tensor":
            fix = "export the model with tensors as inputs"
            raise InvalidModel(
                "a sequence as input cannot be served", where=f"{where}, input {declared.name!r}", fix=fix
            )
    return found


def declared_outputs(nodes: Iterable[Any], shaped: Collection[str], where: str) -> tuple[Declared, ...]:
    """Raises `InvalidModel` for an output that is neither a tensor nor a sequence of tensors or of scores."""
    found = tuple(_declared(node, shaped, f"{where}, output {node.name!r}", "outputs") for node in nodes)
    if any(d.form != "tensor" for d in found) and any(d.datatype is DataType.BF16 for d in found):
        raise InvalidModel("sequences and BF16 outputs in one model cannot be served", where=where)
    return found


def _declared(node: Any, shaped: Collection[str], where: str, side: str) -> Declared:
    kind = str(node.type)
    if kind in _TENSORS:
        # Where the file tells no shape, the runtime says [], as it does for a scalar.
        unknown = not node.shape and node.name not in shaped
        dims = tuple(size if not isinstance(size, int) or size >= 0 else None for size in node.shape)
        return Declared(node.name, _TENSORS[kind], None if unknown else dims)
    if kind in _MAPS:
        return Declared(node.name, DataType.FP32, None, "maps")
    inner = kind.removeprefix("seq(").removesuffix(")")
    if kind.startswith("seq(") and inner in _TENSORS:
        return Declared(node.name, _TENSORS[inner], None, "sequence")
    expected = "tensors of numbers, booleans or strings"
    if side == "outputs":
        expected += ", or sequences of them or of class scores"
    fix = f"export the model with tensors as {side}"
    raise InvalidModel("its type cannot be served", where=where, expected=expected, got=kind, fix=fix)
