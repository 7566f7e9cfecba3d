"""A model on OpenVINO."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from foretell.backends.array_model import ArrayModel, Arrays
from foretell.backends.artefact_bytes import file_stamp
from foretell.backends.crowd import MOST_BYTES, Crowd
from foretell.backends.declared_spec import settled_spec
from foretell.backends.onnx_format.labels import labels_for
from foretell.backends.openvino.errors import clean, runtime_version
from foretell.backends.openvino.range32 import out_of_range
from foretell.backends.row_axis import Declared, Dims, differing_sizes
from foretell.backends.text_rows import answer_others
from foretell.columns import Batch
from foretell.config import ModelSettings
from foretell.errors import InferenceError, InvalidInput, InvalidModel, ModelError, NotReady
from foretell.model import Context
from foretell.types import DataType

if TYPE_CHECKING:
    from foretell.backends.openvino.runtime import Calls

_TYPES = {
    "boolean": DataType.BOOL, "u8": DataType.UINT8, "u16": DataType.UINT16, "u32": DataType.UINT32,
    "u64": DataType.UINT64, "i8": DataType.INT8, "i16": DataType.INT16, "i32": DataType.INT32, "i64": DataType.INT64,
    "f16": DataType.FP16, "f32": DataType.FP32, "f64": DataType.FP64, "bf16": DataType.BF16,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Told:
    """What the files of a model say. `dims`: shapes of inputs and outputs with the names of sizes; `inputs`, `outputs`:
    names in order; `names`: lists of class names; each empty where the files do not tell."""

    frontend: Literal["ir", "onnx"]
    files: tuple[Path, ...]
    dims: Mapping[str, Dims] = field(default_factory=dict)
    inputs: Sequence[str] = ()
    outputs: Sequence[str] = ()
    names: Sequence[tuple[str, ...]] = ()
    mixes_rows: bool = False
    deterministic: bool = True


_MANY = 4096
"""More rows in a call are as good as any number."""


class OpenVinoModel(ArrayModel):
    """Runs an IR or an ONNX file; any number of threads may call `predict` at once.

    `told`: what its files said; they must not change before `load`. `precision`: "fp32", "bf16", "fp16", or of a
    graph that somebody quantized "int8".
    """

    def __init__(self, path: Path, told: Told, settings: ModelSettings, precision: str) -> None:
        super().__init__(path.stem, settings)
        self._path, self._told, self._precision = path, told, precision
        self._stamps = [file_stamp(file) for file in told.files]
        self._inputs: tuple[Declared, ...] = ()
        self._calls: Crowd[Calls] | None = None

    def load(self, device: str) -> None:
        """Raises `InvalidModel` for what the runtime does not take, `InvalidSetting` as `settled_spec` does."""
        from foretell.backends.openvino.runtime import calls_of, class_names, read_graph

        where, told = str(self._path), self._told
        if [file_stamp(file) for file in told.files] != self._stamps:
            raise InvalidModel("the file changed since it was opened", where=where, fix="open it again")
        graph = read_graph(self._path, told.frontend)
        if len(told.inputs) != len(graph.inputs):  # old files list weights among them
            told = replace(told, inputs=())
        self._inputs = tuple(_declared(port, "input", at, told, where) for at, port in enumerate(graph.inputs))
        declared = [_declared(port, "output", at, told, where) for at, port in enumerate(graph.outputs)]
        outputs = _told_apart(declared)
        if not self._inputs:
            raise InvalidModel("a model without inputs has nothing to answer", where=where)
        if (rows := _baked_in(graph, outputs)) is not None:
            self._inputs, outputs = _with_rows(self._inputs, rows), _with_rows(outputs, rows)
        ports = (_kinds(self._inputs), _kinds(outputs))
        again = sum(file.stat().st_size for file in told.files) <= MOST_BYTES
        self._calls = calls_of(graph, self._settings, self._precision, ports, where, again=again)
        self.calls_at_once = self._calls.calls_at_once
        spec = settled_spec(
            self._inputs, outputs, self._settings, lambda feeds: list(self._call(feeds).values()), where,
            mixes_rows=told.mixes_rows, deterministic=told.deterministic,
        )  # fmt: skip
        labels = labels_for(spec.outputs or (), [*told.names, *class_names(graph)])
        self._loaded(spec.with_changes(labels=labels or None))

    def predict(self, batch: Batch, ctx: Context) -> Batch:
        """As `ArrayModel` does. A row with a whole number of more than 32 bits fails alone: OpenVINO would cut it."""
        answer = super().predict
        return answer_others(batch, out_of_range(batch, self.spec.inputs or ()), lambda rest: answer(rest, ctx))

    def _call(self, feeds: Arrays) -> Arrays:
        calls = self._calls
        if calls is None:
            raise NotReady("the model is closed", where=self._where)
        runtime = calls.enter()
        try:
            return runtime(feeds)
        except RuntimeError as error:
            if differing := differing_sizes(self._inputs, feeds):
                name, got = differing
                what = f"the sizes named {name!r} differ"
                raise InvalidInput(what, where=self._where, expected="one size", got=got) from error
            raise
        finally:
            calls.leave()

    def _raised(self, error: Exception) -> InferenceError:
        return ModelError(f"OpenVINO failed: {clean(str(error))}", where=self._where)

    def _unload(self) -> None:
        self._calls = None

    def _variant(self) -> Mapping[str, str]:
        """The number of threads does not decide the numbers."""
        return {"runtime": "openvino", "version": runtime_version(), "precision": self._precision, "device": "cpu"}


def _baked_in(graph: Any, outputs: Sequence[Declared]) -> int | None:
    """The number of rows that every node was exported for, though the file says any number, or None.

    OpenVINO gives that many for any other number, too, without a word.
    """
    shapes = [port.get_partial_shape() for port in graph.outputs]
    if any(shape.rank.is_dynamic or not len(shape) for shape in shapes):
        return None
    heads = {shape[0].get_length() if shape[0].is_static else None for shape in shapes}
    free = all(each.dims and not isinstance(each.head, int) for each in outputs)
    return heads.pop() if len(heads) == 1 and free else None


def _with_rows(declared: Sequence[Declared], rows: int) -> tuple[Declared, ...]:
    return tuple(replace(each, dims=(rows, *each.dims[1:])) if each.dims else each for each in declared)


def _kinds(declared: Sequence[Declared]) -> list[tuple[str, DataType]]:
    return [(each.name, each.datatype) for each in declared]


def _declared(port: Any, side: str, at: int, told: Told, where: str) -> Declared:
    """Raises `InvalidModel` for what holds no numbers."""
    name = _name(port, side, at, told)
    kind = port.get_element_type().get_type_name()
    datatype = _TYPES.get(kind)
    if datatype is None:
        what, expected = "its type cannot be served by OpenVINO", "numbers or booleans"
        fix = "run it on onnxruntime" if told.frontend == "onnx" else "convert it with tensors of numbers"
        raise InvalidModel(what, where=f"{where}, {side} {name!r}", expected=expected, got=kind, fix=fix)
    shape = port.get_partial_shape()
    dims = _dims(shape, told.dims.get(name))
    if side == "input" and dims is not None and len(dims) > 1 and not isinstance(dims[0], int):
        dims = (_most(shape[0]) or dims[0], *dims[1:])
    return Declared(name, datatype, dims)


def _name(port: Any, side: str, at: int, told: Told) -> str:
    """As the file has it. One tensor may go by several names: an input that is handed on by that of the output."""
    names = sorted(port.get_names())
    if side == "input" and told.inputs:
        return next((name for name in names if name in told.inputs), told.inputs[at])
    if side == "output" and at < len(told.outputs) and told.outputs[at] in (names or told.outputs):
        return told.outputs[at]
    return next((name for name in names if name in told.dims), names[0] if names else f"{side}{at}")


def _told_apart(declared: Sequence[Declared]) -> tuple[Declared, ...]:
    """One tensor may leave twice, under one name: those after the first are numbered."""
    seen: set[str] = set()
    found = []
    for at, each in enumerate(declared):
        found.append(replace(each, name=f"{each.name}_{at}") if each.name in seen else each)
        seen.add(each.name)
    return tuple(found)


def _dims(shape: Any, noted: Dims | None) -> Dims | None:
    """What the file says of each axis, else what the runtime has worked out."""
    if shape.rank.is_dynamic:
        return noted
    found: Dims = tuple(size.get_length() if size.is_static else None for size in shape)
    if noted is None or len(noted) != len(found):
        return found
    return tuple(mine if theirs is None else theirs for mine, theirs in zip(found, noted, strict=True))


def _most(rows: Any) -> int | None:
    """Of rows, the most that a file with bounds takes in a call: all calls are filled up to that."""
    most: int = rows.get_max_length()
    return most if 0 < most < _MANY else None
