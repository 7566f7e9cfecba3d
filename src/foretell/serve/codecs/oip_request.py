"""Open Inference Protocol, requests: JSON with optional binary tensors after it, checked against the model's spec.

Source: Open Inference Protocol v2 (REST) and Triton's "binary tensor data" and "classification" extensions.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain
from typing import Any

import msgspec
import numpy as np

from foretell.columns import Bytes, Column, Dense
from foretell.config import ServerSettings
from foretell.engine.work import Field, Group, Groups, Part
from foretell.errors import InvalidInput, nearest
from foretell.model import Context, Sequence
from foretell.serve.codecs.json_guard import check_json
from foretell.types import DataType, ModelSpec, TensorSpec

Parameters = dict[str, bool | int | float | str | None]


_NO_DATA = msgspec.Raw(b"")
_NO_BLOBS = memoryview(b"")


class _Input(msgspec.Struct):
    name: str
    shape: list[int]
    datatype: str
    data: msgspec.Raw = _NO_DATA
    parameters: Parameters | None = None


class _SpecialInput(_Input):
    """An input whose data holds NaN or Infinity and is parsed already. Never decoded from a request itself."""

    values: list[Any] = []


class RequestedOutput(msgspec.Struct):
    """What a request asks of one output."""

    name: str
    parameters: Parameters | None = None


class _Body(msgspec.Struct):
    inputs: list[_Input]
    id: str | None = None
    parameters: Parameters | None = None
    outputs: list[RequestedOutput] | None = None


class InferRequest(msgspec.Struct):
    """A checked request: what the engine needs, and what the reply must look like."""

    parts: list[Part]
    rows: int
    group: Group
    id: str | None = None
    outputs: list[RequestedOutput] | None = None
    binary: bool = False
    timeout_s: float | None = None


@dataclass(frozen=True, slots=True)
class _Layout:
    """Inputs of one shape, checked once.

    `order`: position in the request of each field. `decode_flat`: for a single input, a decoder of flat data.
    """

    group: Group
    rows: int
    order: tuple[int, ...]
    counts: tuple[int, ...]
    ranks: tuple[int, ...]
    decode_flat: Callable[[msgspec.Raw], list[Any]] | None


_BODY = msgspec.json.Decoder(_Body)
_NESTED = re.compile(rb"\s*\[\s*\[")
_MOST_LAYOUTS = 1024


class RequestDecoder:
    """Decodes requests for one model. Remembers the shapes it has checked."""

    def __init__(self, spec: Callable[[], ModelSpec], where: str, groups: Groups, settings: ServerSettings) -> None:
        self._spec, self._where, self._groups, self._settings = spec, where, groups, settings
        self._layouts: dict[Any, _Layout] = {}

    def decode(self, body: bytes, json_length: bytes | None) -> InferRequest:
        """`json_length` is the header Inference-Header-Content-Length. Raises `InvalidInput`."""
        head, blobs = body, _NO_BLOBS
        if json_length is not None:
            head, blobs = self._cut(body, json_length)
            if not head:
                return self._raw(blobs)
        check_json(head, self._settings)
        parsed = _parse(head)
        inputs = parsed.inputs
        if len(inputs) == 1:
            tensor = inputs[0]
            key: Any = (tensor.name, tensor.datatype, *tensor.shape)
        else:
            key = tuple([(tensor.name, tensor.datatype, *tensor.shape) for tensor in inputs])
        layout = self._layouts.get(key) or self._check(inputs, key)
        parts = self._one_flat_part(inputs[0], layout) if json_length is None else None
        if parts is None:
            parts = self._parts(inputs, layout, blobs)
        if parsed.parameters:
            group, timeout_s, binary = self._with_parameters(layout, parsed.parameters)
            return InferRequest(parts, layout.rows, group, parsed.id, parsed.outputs, binary, timeout_s)
        return InferRequest(parts, layout.rows, layout.group, parsed.id, parsed.outputs)

    def _one_flat_part(self, tensor: _Input, layout: _Layout) -> list[Part] | None:
        """The short way for what most requests are: one input, flat JSON. None: it is something else, or wrong."""
        if layout.decode_flat is None or tensor.parameters:
            return None
        try:
            flat = layout.decode_flat(tensor.data)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return None
        return [flat] if len(flat) == layout.counts[0] else None

    def _cut(self, body: bytes, json_length: bytes) -> tuple[bytes, memoryview]:
        text = json_length.strip()
        length = int(text) if text.isdigit() and len(text) < 20 else -1
        if not 0 <= length <= len(body):
            raise InvalidInput(
                "wrong header Inference-Header-Content-Length",
                expected=f"a number of bytes from 0 to the body's {len(body)}",
                got=text.decode("latin-1")[:40],
            )
        return body[:length], memoryview(body)[length:]

    def _check(self, inputs: list[_Input], key: Any) -> _Layout:
        """Names, datatypes and shapes against the spec."""
        spec = self._spec()
        by_name = {tensor.name: position for position, tensor in enumerate(inputs)}
        if len(by_name) != len(inputs):
            raise InvalidInput("an input is given twice", where=self._where, got=str([i.name for i in inputs]))
        names = [tensor.name for tensor in spec.inputs] if spec.inputs is not None else list(by_name)
        for name in by_name:
            if name not in names:
                raise InvalidInput(f"unknown input {name!r}", where=self._where, fix=nearest(name, names))
        for name in names:
            if name not in by_name:
                raise InvalidInput(f"input {name!r} is missing", where=self._where, got=f"inputs {sorted(by_name)}")
        if not names:
            raise InvalidInput("the request has no inputs", where=self._where)
        fields, rows, counts = [], set(), []
        for name in names:
            tensor = inputs[by_name[name]]
            field, count = self._field(tensor, spec.input(name), spec.batch is not None)
            fields.append(field)
            rows.add(count)
            counts.append(math.prod(tensor.shape))
        if len(rows) > 1:
            shapes = {i.name: i.shape for i in inputs}
            raise InvalidInput("inputs differ in their number of rows", where=self._where, got=str(shapes))
        order = tuple(by_name[name] for name in names)
        layout = _Layout(
            self._groups.get(tuple(fields), {}, Context(), spec.mergeable),
            rows.pop(),
            order,
            tuple(counts),
            tuple(len(inputs[position].shape) for position in order),
            _flat_decoder(fields[0].datatype) if len(fields) == 1 else None,
        )
        if spec.inputs is not None:
            if len(self._layouts) >= _MOST_LAYOUTS:
                self._layouts.clear()
            self._layouts[key] = layout
        return layout

    def _field(self, tensor: _Input, spec: TensorSpec | None, has_rows: bool) -> tuple[Field, int]:
        """The field of one input, and its number of rows."""
        where = f"input {tensor.name!r} of {self._where}"
        try:
            datatype = DataType(tensor.datatype)
        except ValueError:
            raise InvalidInput(
                "unknown datatype", where=where, got=repr(tensor.datatype), fix=nearest(tensor.datatype, DataType)
            ) from None
        shape = tuple(tensor.shape)
        if any(size < 0 for size in shape) or math.prod(shape) > self._settings.max_elements:
            most = self._settings.max_elements
            raise InvalidInput("impossible shape", where=where, expected=f"at most {most} elements", got=list(shape))
        if spec is not None and spec.datatype is not None and spec.datatype is not datatype:
            raise InvalidInput("wrong datatype", where=where, expected=spec.datatype, got=datatype)
        if has_rows and not shape:
            raise InvalidInput("the shape has no axis of rows", where=where, expected=_shape_text(spec, True), got="[]")
        row_shape = shape[1:] if has_rows else shape
        if spec is not None and spec.shape is not None and not _fits(row_shape, spec.shape):
            raise InvalidInput("wrong shape", where=where, expected=_shape_text(spec, has_rows), got=list(shape))
        return Field(tensor.name, datatype, row_shape), shape[0] if has_rows else 1

    def _parts(self, inputs: list[_Input], layout: _Layout, blobs: memoryview) -> list[Part]:
        """The values of each field, in the order of the fields; blobs lie in the order of the request."""
        parts: list[Part | None] = [None] * len(inputs)
        at = 0
        places = dict(zip(layout.order, range(len(inputs)), strict=True)) if len(inputs) > 1 else {0: 0}
        for position, tensor in enumerate(inputs):
            place = places[position]
            field, count = layout.group.fields[place], layout.counts[place]
            size = tensor.parameters.get("binary_data_size") if tensor.parameters else None
            if tensor.parameters:
                self._refuse_shared_memory(tensor)
            if (size is None) == (tensor.data is _NO_DATA and type(tensor) is not _SpecialInput):
                raise InvalidInput(
                    "an input needs exactly one of data and binary_data_size", where=f"input {tensor.name!r}"
                )
            if size is None:
                parts[place] = _from_json(tensor, field, count, layout.ranks[place])
            else:
                if type(size) is not int or not 0 <= size <= len(blobs) - at:
                    raise InvalidInput(
                        "binary_data_size does not fit the body",
                        where=f"input {tensor.name!r}",
                        expected=f"at most {len(blobs) - at} bytes, which are left",
                        got=size,
                    )
                parts[place] = from_binary(blobs[at : at + size], field, layout.rows, count)
                at += size
        if at != len(blobs):
            raise InvalidInput(f"{len(blobs) - at} bytes are left over after the last input's binary data")
        return parts  # type: ignore[return-value]

    def _refuse_shared_memory(self, tensor: _Input) -> None:
        if tensor.parameters and "shared_memory_region" in tensor.parameters:
            raise InvalidInput("shared memory is not supported", where=f"input {tensor.name!r}", fix="send the data")

    def _raw(self, blob: memoryview) -> InferRequest:
        """A body that is one tensor and nothing else: one row; all outputs come back binary."""
        spec = self._spec()
        known = spec.inputs[0] if spec.inputs and len(spec.inputs) == 1 else None
        if known is None or known.datatype is None or known.shape is None or list(known.shape).count(None) > 1:
            raise InvalidInput(
                "a raw request needs a model with one input of known datatype and at most one free dimension",
                where=self._where,
            )
        row_shape = _raw_shape(known, known.datatype, len(blob), self._where)
        field = Field(known.name, known.datatype, row_shape)
        part = from_binary(blob, field, 1, math.prod(row_shape))
        group = self._groups.get((field,), {}, Context(), spec.mergeable)
        return InferRequest([part], 1, group, None, None, True, None)

    def _with_parameters(self, layout: _Layout, given: Parameters) -> tuple[Group, float | None, bool]:
        """Protocol parameters act here; the others go to the model, and only equal ones share a batch."""
        params = dict(given)
        binary = bool(params.pop("binary_data_output", False))
        params.pop("priority", None)  # without priority levels, all requests have the same one
        timeout = params.pop("timeout", None)
        if timeout is not None and (type(timeout) is not int or timeout < 0):
            raise InvalidInput(
                "wrong parameter 'timeout'", expected="a whole number of microseconds", got=repr(timeout)
            )
        sequence_id = params.pop("sequence_id", None)
        start, end = bool(params.pop("sequence_start", False)), bool(params.pop("sequence_end", False))
        reserved = next((name for name in params if name.startswith("triton_")), None)
        if reserved is not None:
            raise InvalidInput(f"parameter {reserved!r} is reserved")
        sequence = Sequence(sequence_id, start, end) if isinstance(sequence_id, (int, str)) and sequence_id else None
        group = layout.group
        if params or sequence is not None:
            mergeable = group.mergeable and sequence is None
            group = self._groups.get(group.fields, params, Context(sequence=sequence), mergeable)
        return group, timeout / 1e6 if timeout else None, binary


def _fits(row_shape: tuple[int, ...], wanted: tuple[int | None, ...]) -> bool:
    return len(row_shape) == len(wanted) and all(w is None or w == s for s, w in zip(row_shape, wanted, strict=True))


def _shape_text(spec: TensorSpec | None, has_rows: bool) -> str:
    inner = [-1 if size is None else size for size in (spec.shape or ())] if spec else []
    return str([-1, *inner] if has_rows else inner)


def _raw_shape(spec: TensorSpec, datatype: DataType, size: int, where: str) -> tuple[int, ...]:
    shape = spec.shape or ()
    if None not in shape:
        return tuple(s for s in shape if s is not None)
    if datatype is DataType.BYTES:
        raise InvalidInput("a raw request of BYTES needs a fixed shape", where=where)
    known = math.prod(s for s in shape if s is not None) * datatype.numpy.itemsize
    if not known or size % known:
        raise InvalidInput(
            "wrong size of a raw request", where=where, expected=f"a multiple of {known} bytes", got=size
        )
    return tuple(size // known if s is None else s for s in shape)


_JSON_TYPES: dict[DataType, type] = {
    DataType.BOOL: bool,
    DataType.BYTES: str,
    DataType.FP32: float,
    DataType.FP64: float,
}
_DECODERS: dict[tuple[type, int], msgspec.json.Decoder[Any]] = {}


def _decoder(kind: type, depth: int) -> msgspec.json.Decoder[Any]:
    """A decoder of lists of `kind`, `depth` deep."""
    found = _DECODERS.get((kind, depth))
    if found is None:
        found = _DECODERS[kind, depth] = msgspec.json.Decoder(_nested_type(kind, depth))
    return found


def _flat_decoder(datatype: DataType) -> Callable[[msgspec.Raw], list[Any]] | None:
    return None if datatype in (DataType.FP16, DataType.BF16) else _decoder(_JSON_TYPES.get(datatype, int), 1).decode


def _nested_type(kind: type, depth: int) -> Any:
    nested: Any = kind
    for _ in range(depth):
        nested = list[nested]
    return nested


def _parse(head: bytes) -> _Body:
    try:
        return _BODY.decode(head)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        if b"NaN" in head or b"Infinity" in head:
            return _parse_special(head)
        raise InvalidInput(f"the request is not a valid inference request: {error}") from None


def _parse_special(head: bytes) -> _Body:
    """Once more with the tokens NaN, Infinity and -Infinity, which strict JSON lacks and clients send."""
    import json

    try:
        tree = json.loads(head)
        data = [tensor.pop("data", None) for tensor in tree["inputs"]]
        body = msgspec.convert(tree, _Body)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, msgspec.MsgspecError) as error:
        raise InvalidInput(f"the request is not a valid inference request: {error}") from None
    body.inputs = [
        tensor if values is None else _SpecialInput(tensor.name, tensor.shape, tensor.datatype, values=values)
        for tensor, values in zip(body.inputs, data, strict=True)
    ]
    return body


def _from_json(tensor: _Input, field: Field, count: int, rank: int) -> list[Any]:
    """The elements of `data`, flat or nested like the shape; their JSON types are checked in the decoder."""
    datatype = field.datatype
    if datatype in (DataType.FP16, DataType.BF16):
        raise InvalidInput(f"{datatype} has no JSON form", where=f"input {field.name!r}", fix="send it as binary data")
    kind = _JSON_TYPES.get(datatype, int)
    try:
        if isinstance(tensor, _SpecialInput):
            nested = rank > 1 and any(isinstance(item, list) for item in tensor.values)
            flat = msgspec.convert(tensor.values, _nested_type(kind, rank if nested else 1))
        else:
            nested = rank > 1 and _NESTED.match(tensor.data) is not None
            flat = _decoder(kind, rank if nested else 1).decode(tensor.data)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InvalidInput(f"wrong data: {error}", where=f"input {field.name!r}") from None
    if nested:
        flat = _flatten(flat, tensor.shape, field.name)
    if len(flat) != count:
        raise InvalidInput(
            "the number of values does not fit the shape",
            where=f"input {field.name!r}",
            expected=f"{count} values for shape {tensor.shape}",
            got=len(flat),
        )
    return flat  # type: ignore[no-any-return]


def _flatten(nested: list[Any], shape: list[int], name: str) -> list[Any]:
    """The leaves of a nested list, which must be nested exactly like `shape`."""
    level = nested
    for depth, size in enumerate(shape):
        expected = math.prod(shape[:depth]) * size
        if len(level) != expected or (depth + 1 < len(shape) and not all(type(item) is list for item in level)):
            raise InvalidInput("the nesting of data does not fit the shape", where=f"input {name!r}", expected=shape)
        if depth + 1 < len(shape):
            if any(len(item) != shape[depth + 1] for item in level):
                raise InvalidInput(
                    "the nesting of data does not fit the shape", where=f"input {name!r}", expected=shape
                )
            level = list(chain.from_iterable(level))
    return level


def from_binary(blob: memoryview, field: Field, rows: int, count: int) -> Column:
    """A column over the bytes of a binary tensor, without a copy where the type allows it."""
    if field.datatype is DataType.BYTES:
        return _bytes_from_binary(blob, field, count)
    dtype = field.datatype.numpy
    if len(blob) != count * dtype.itemsize:
        raise InvalidInput(
            "wrong size of binary data",
            where=f"input {field.name!r}",
            expected=f"{count * dtype.itemsize} bytes for {rows} rows of {field.datatype}{list(field.row_shape)}",
            got=len(blob),
        )
    array = np.frombuffer(blob, dtype.newbyteorder("<")).reshape((rows, *field.row_shape))
    if field.datatype is DataType.BOOL and blob.nbytes and np.frombuffer(blob, np.uint8).max() > 1:
        raise InvalidInput("a BOOL is neither 0 nor 1", where=f"input {field.name!r}")
    return Dense(array)


def _bytes_from_binary(blob: memoryview, field: Field, count: int) -> Bytes:
    """Elements of a 4-byte little-endian length and as many bytes."""
    items, at, end = [], 0, len(blob)
    for index in range(count):
        size = int.from_bytes(blob[at : at + 4], "little")
        at += 4
        if at + size > end:
            raise InvalidInput(f"element {index} of BYTES is cut off", where=f"input {field.name!r}")
        items.append(bytes(blob[at : at + size]))
        at += size
    if at != end:
        raise InvalidInput(
            f"{end - at} bytes are left over", where=f"input {field.name!r}", expected=f"{count} elements"
        )
    return Bytes.of(items, field.row_shape)
