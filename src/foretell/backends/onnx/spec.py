"""From the inputs and outputs an ONNX model declares to foretell's specs: which axis holds the rows, if any does."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from foretell.config import ModelSettings
from foretell.errors import InvalidModel, InvalidSetting
from foretell.types import BatchRule, DataType, Shape, TensorSpec

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
# Names that exporters invent for a size they do not know; equal sizes get different ones.
_INVENTED = re.compile(r"^(unk__\d+|.*_dim_\d+|dyn_?\d+|\?|)$")

Dims = tuple[int | str | None, ...]


@dataclass(frozen=True, slots=True)
class Declared:
    """One input or output as the runtime tells it. `dims`: None where not even the rank is known.

    `form`: "tensor"; "maps", one map from class to score for each row, as ZipMap makes; "sequence" of tensors.
    """

    name: str
    datatype: DataType
    dims: Dims | None
    form: Literal["tensor", "maps", "sequence"] = "tensor"

    @property
    def head(self) -> int | str | None:
        return self.dims[0] if self.dims else None


@dataclass(frozen=True, slots=True)
class Rule:
    """Where the rows are. `proven`: the declarations say so without doubt; else a call has to show it."""

    batch: BatchRule
    proven: bool = True


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


def declared_rule(inputs: Sequence[Declared], outputs: Sequence[Declared]) -> Rule:
    """What the declarations say of the axis of rows."""
    if not inputs or not all(declared.dims for declared in inputs):
        return Rule(None)
    heads = {_size(declared.head) for declared in inputs}
    if any(declared.dims == () for declared in outputs):
        return Rule(None)
    fixed = {head for head in heads if isinstance(head, int)}
    if not fixed:
        if len(heads - {None}) > 1:
            return Rule(None)
        name = next(iter(heads - {None}), None)
        return Rule("any", all(_follows(output, name) for output in outputs))
    ranks = [len(declared.dims or ()) for declared in inputs]
    count = min(fixed)
    enough = max(ranks) >= 2 if count == 1 else min(ranks) >= 2
    if heads != {count} or count < 1 or not enough:
        return Rule(None)
    sizes = {_size(output.head) for output in outputs if output.dims}
    if any(isinstance(size, int) and size != count for size in sizes):
        return Rule(None)
    return Rule(count, all(output.form == "maps" or output.head == count for output in outputs))


def settle_rule(settings: ModelSettings, rule: Rule, inputs: Sequence[Declared], where: str) -> Rule:
    """The rule, or what the settings say instead. Raises `InvalidSetting` where the file makes that impossible."""
    wanted = settings.batch
    if wanted is None:
        return rule
    if wanted == "none":
        return Rule(None)
    for declared in inputs:
        head = declared.head
        if declared.dims == () or (isinstance(head, int) and head != wanted):
            got = f"batch = {wanted!r}"
            expected = "'none'" if declared.dims == () else f"{head} or 'none'"
            what = f"input {declared.name!r} has " + (f"{head} rows" if declared.dims else "no axis of rows")
            raise InvalidSetting(what, where=where, expected=expected, got=got)
    return Rule(wanted)


def row_shape(declared: Declared, batch: BatchRule) -> Shape | None:
    """The shape of one row; a free size is None."""
    if declared.dims is None:
        return None
    dims = declared.dims if batch is None else declared.dims[1:]
    return tuple(size if isinstance(size, int) else None for size in dims)


def input_spec(declared: Declared, batch: BatchRule) -> TensorSpec:
    return TensorSpec(declared.name, declared.datatype, row_shape(declared, batch))


def output_spec(declared: Declared, batch: BatchRule, seen: Sequence[tuple[int, ...]]) -> TensorSpec:
    """`seen`: shapes of a row in real answers, which overrule what was declared."""
    shape = row_shape(declared, batch)
    if declared.form != "tensor":
        shape = seen[0] if seen and declared.form == "maps" and batch is not None else None
    for actual in seen:
        if shape is not None:
            shape = _agreed(shape, actual)
    return TensorSpec(declared.name, declared.datatype, shape)


def _agreed(shape: Shape, actual: tuple[int, ...]) -> Shape | None:
    if len(shape) != len(actual):
        return None
    return tuple(size if size == seen else None for size, seen in zip(shape, actual, strict=True))


def _size(head: int | str | None) -> int | str | None:
    return None if isinstance(head, str) and _INVENTED.match(head) else head


def _follows(output: Declared, name: int | str | None) -> bool:
    """Whether the output's first axis is declared to be the inputs' axis of rows, called `name`."""
    if output.form == "maps":
        return True
    return output.form == "tensor" and bool(output.dims) and _size(output.head) in (name, None)


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
