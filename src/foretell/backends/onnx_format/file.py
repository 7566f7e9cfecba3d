"""What an ONNX file says about itself, read without the onnx package and before the runtime sees the file.

Field numbers are those of the public `onnx.proto`. Everything in the file is untrusted: depth, number of fields and
lengths are bounded, and a field of another kind than the schema's is an error.
"""

from __future__ import annotations

import mmap
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from foretell.backends.artefact_file import look
from foretell.backends.onnx_format.wire import Message, Reader, WireError
from foretell.errors import InvalidModel

MAX_DEPTH = 64
_MAX_NOTE_BYTES = 4 * 2**20
_MANY = 2**40

# TensorProto.DataType of floating point -> precision, as in `ModelSettings.precision`
_FLOATS = {1: "fp32", 10: "fp16", 11: "fp64", 16: "bf16", 17: "fp8", 18: "fp8", 19: "fp8", 20: "fp8"}
_RANDOM = frozenset(
    {"Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"}
)
_QUANTIZED = ("QLinear", "DequantizeLinear", "MatMulInteger", "ConvInteger", "DynamicQuantize", "QGemm", "QAttention")


@dataclass(slots=True)
class External:
    """Where a tensor outside the file lies, unchecked. `location` as the file has it."""

    location: str
    offset: int = 0
    length: int | None = None


@dataclass(slots=True)
class OnnxFile:
    """`opsets`: version by domain ("" is ONNX's own). `dims`: shapes of inputs and outputs, where the file tells them:
    numbers, names of free sizes, and None."""

    ir_version: int = 0
    opsets: dict[str, int] = field(default_factory=dict)
    metadata: dict[str, str] = field(default_factory=dict)
    externals: list[External] = field(default_factory=list)
    operators: set[tuple[str, str]] = field(default_factory=set)
    floats: Counter[str] = field(default_factory=Counter)
    dims: dict[str, tuple[int | str | None, ...]] = field(default_factory=dict)
    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    class_labels: list[tuple[str, ...]] = field(default_factory=list)
    """Class names that classifiers in the graph carry."""
    half_training: str | None = None
    """A node that normalizes batches as in training, and leaves one of the outputs out that this has."""

    @property
    def precision(self) -> str | None:
        """What most weights are held in; "int8" for a quantized graph; None where there are no float weights."""
        if any(operator.startswith(_QUANTIZED) for _, operator in self.operators):
            return "int8"
        return self.floats.most_common(1)[0][0] if self.floats.total() else None

    @property
    def mixes_rows(self) -> bool:
        """Whether a row's numbers depend on the rows beside it: dynamic quantization has one scale for all of them."""
        return any(operator.startswith("DynamicQuantize") for _, operator in self.operators)

    @property
    def deterministic(self) -> bool:
        return not any(operator in _RANDOM for _, operator in self.operators)


def read_onnx(path: Path) -> OnnxFile:
    """Reads what the file says.

    Raises `InvalidModel` for a file that is no ONNX model, saying what it looks like, and for one whose first call
    would end the process: ONNX Runtime writes the statistics of training also where they have no name.
    """
    where = str(path)
    try:
        with path.open("rb") as file:
            head = file.read(64)
            if not head:
                raise InvalidModel("not an ONNX file", where=where, got="an empty file")
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as buffer:
                found = _Walk().model(Message(buffer, 0, len(buffer)))
    except OSError as error:
        raise InvalidModel("the file cannot be read", where=where, got=error.strerror or error) from error
    except WireError as error:
        raise _not_onnx(where, head, error) from error
    if found.half_training is not None:
        what = f"node {found.half_training!r} (BatchNormalization) is in training mode, and has outputs without a name"
        raise InvalidModel(what, where=where, expected="a model for inference", fix="export it in evaluation mode")
    return found


def _not_onnx(where: str, head: bytes, error: WireError) -> InvalidModel:
    looks = look(head)
    if looks != "no known format":
        return InvalidModel("not an ONNX file", where=where, expected="a protobuf of an ONNX model", got=looks)
    fix = "if it was downloaded or copied, do that again"
    return InvalidModel(f"not an ONNX file, or a truncated one: {error}", where=where, fix=fix)


class _Walk:
    """Collects what matters from the tree of messages. One method for each message of the schema."""

    def __init__(self) -> None:
        self._reader = Reader()
        self._found = OnnxFile()
        self._depth = 0

    def model(self, message: Message) -> OnnxFile:
        graphs = 0
        for number, value in self._reader.fields(message):
            if number == 1:
                self._found.ir_version = _number(value, "ir_version")
            elif number == 7:
                graphs += 1
                self._graph(_message(value, "graph"), top=True)
            elif number == 8:
                self._opset(_message(value, "opset_import"))
            elif number == 14:
                key, text = self._pair(_message(value, "metadata_props"))
                self._found.metadata[key] = text
            elif number == 20:
                self._training(_message(value, "training_info"))
            elif number == 25:
                self._function(_message(value, "functions"))
        if not graphs or not self._found.ir_version:
            raise WireError("it holds no graph" if not graphs else "it names no IR version")
        return self._found

    def _graph(self, message: Message, *, top: bool = False) -> None:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise WireError(f"graphs nested deeper than {MAX_DEPTH}")
        for number, value in self._reader.fields(message):
            if number == 1:
                self._node(_message(value, "node"))
            elif number == 5:
                self._tensor(_message(value, "initializer"))
            elif number == 15:
                self._sparse(_message(value, "sparse_initializer"))
            elif number in (11, 12) and top:
                name = self._value_info(_message(value, "input or output"))
                (self._found.inputs if number == 11 else self._found.outputs).append(name)
        self._depth -= 1

    def _node(self, message: Message) -> None:
        name = operator = domain = ""
        unnamed = False
        for number, value in self._reader.fields(message):
            if number == 2:
                unnamed |= not len(_message(value, "output"))
            elif number == 3:
                name = _message(value, "node name").text()
            elif number == 4:
                operator = _message(value, "op_type").text()
            elif number == 5:
                self._attribute(_message(value, "attribute"))
            elif number == 7:
                domain = _message(value, "domain").text()
        self._found.operators.add((domain, operator))
        if unnamed and operator == "BatchNormalization" and domain in ("", "ai.onnx"):
            self._found.half_training = name

    def _attribute(self, message: Message) -> None:
        name, labels = "", []
        for number, value in self._reader.fields(message):
            if number == 1:
                name = _message(value, "attribute name").text()
            elif number in (5, 10):
                self._tensor(_message(value, "attribute tensor"))
            elif number in (6, 11):
                self._graph(_message(value, "attribute graph"))
            elif number in (22, 23):
                self._sparse(_message(value, "attribute sparse tensor"))
            elif number == 9 and name.startswith("classlabels_"):
                labels.append(_message(value, "class label").text())
        if name.startswith("classlabels_"):
            whole = self._reader.fields(message, every=True)
            labels += [str(value) for number, value in whole if number == 8 and isinstance(value, int)]
        if labels:
            self._found.class_labels.append(tuple(labels))

    def _tensor(self, message: Message) -> None:
        kind, elements, externals = 0, 1, []
        for number, value in self._reader.fields(message):
            if number == 1:
                elements = min(elements * _number(value, "dims"), _MANY)
            elif number == 2:
                kind = _number(value, "data_type")
            elif number == 13:
                externals.append(self._pairs(_message(value, "external_data")))
        if kind in _FLOATS:
            self._found.floats[_FLOATS[kind]] += elements
        if externals:
            self._found.externals.append(_external(externals))

    def _sparse(self, message: Message) -> None:
        for number, value in self._reader.fields(message):
            if number in (1, 2):
                self._tensor(_message(value, "sparse tensor"))

    def _training(self, message: Message) -> None:
        for number, value in self._reader.fields(message):
            if number in (1, 2):
                self._graph(_message(value, "training graph"))

    def _function(self, message: Message) -> None:
        for number, value in self._reader.fields(message):
            if number == 7:
                self._node(_message(value, "function node"))
            elif number == 11:
                self._attribute(_message(value, "function attribute"))

    def _opset(self, message: Message) -> None:
        domain, version = "", 0
        for number, value in self._reader.fields(message):
            if number == 1:
                domain = _message(value, "opset domain").text()
            elif number == 2:
                version = _number(value, "opset version")
        self._found.opsets["" if domain == "ai.onnx" else domain] = version

    def _value_info(self, message: Message) -> str:
        """Notes the shape where there is one at all: the runtime tells no unknown rank from a scalar."""
        name, dims = "", None
        for number, value in self._reader.fields(message):
            if number == 1:
                name = _message(value, "name").text()
            elif number == 2:
                for inner, kind in self._reader.fields(_message(value, "type")):
                    if inner == 1:
                        dims = self._tensor_type(_message(kind, "tensor_type"))
        if dims is not None:
            self._found.dims[name] = dims
        return name

    def _tensor_type(self, message: Message) -> tuple[int | str | None, ...] | None:
        """The shape, if there is one. Inputs and outputs tell the precision where there are no weights."""
        dims = None
        for number, value in self._reader.fields(message):
            if number == 1 and value in _FLOATS:
                self._found.floats[_FLOATS[_number(value, "elem_type")]] += 1
            elif number == 2:
                shape = self._reader.fields(_message(value, "shape"))
                dims = tuple(self._dim(_message(each, "dim")) for at, each in shape if at == 1)
        return dims

    def _dim(self, message: Message) -> int | str | None:
        size: int | str | None = None
        for number, value in self._reader.fields(message):
            if number == 1:
                size = _number(value, "dim_value")
            elif number == 2:
                size = _message(value, "dim_param").text()
        return None if isinstance(size, int) and size >= 2**63 else size  # a negative one: nobody knows it

    def _pair(self, message: Message) -> tuple[str, str]:
        pairs = self._pairs(message)
        return pairs[0][-1] if pairs[0] else "", pairs[1][-1] if pairs[1] else ""

    def _pairs(self, message: Message) -> tuple[list[str], list[str]]:
        """Every key and every value of a StringStringEntryProto: of repeated ones, other readers may take another."""
        keys: list[str] = []
        values: list[str] = []
        for number, value in self._reader.fields(message):
            inner = _message(value, "text")
            if len(inner) > _MAX_NOTE_BYTES:
                raise WireError(f"a text of {len(inner):,} bytes")
            if number in (1, 2):
                (keys if number == 1 else values).append(inner.text())
        return keys, values


def _external(entries: list[tuple[list[str], list[str]]]) -> External:
    found: dict[str, str] = {}
    for keys, values in entries:
        if len(keys) != 1 or len(values) != 1:
            raise WireError("an entry of external data without one key and one value")
        if keys[0] in found:
            raise WireError(f"external data that names its {keys[0]} twice")
        found[keys[0]] = values[0]
    external = External(found.get("location", ""))
    for key in ("offset", "length"):
        if key in found and not (found[key].isascii() and found[key].isdigit() and len(found[key]) < 20):
            raise WireError(f"external data whose {key} is no number")
    external.offset = int(found.get("offset", "0"))
    external.length = int(found["length"]) if "length" in found else None
    return external


def _number(value: int | Message, what: str) -> int:
    if isinstance(value, int):
        return value
    raise WireError(f"{what} is no number")


def _message(value: int | Message, what: str) -> Message:
    if isinstance(value, Message):
        return value
    raise WireError(f"{what} is a number")
