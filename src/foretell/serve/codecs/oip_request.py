"""Open Inference Protocol, requests: JSON with optional binary tensors after it, checked against the model's spec.

Source: Open Inference Protocol v2 (REST) and Triton's "binary tensor data" and "classification" extensions.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from foretell.config import ServerSettings
from foretell.engine.work import Field, Group, Groups, Part
from foretell.errors import InvalidInput, nearest
from foretell.model import Context
from foretell.serve.codecs.json_guard import check_json
from foretell.serve.codecs.oip_known import Asked, KnownRequests, Numbers
from foretell.serve.codecs.oip_known_binary import KnownBinary
from foretell.serve.codecs.oip_message import NO_DATA, Input, SpecialInput, parse, shown
from foretell.serve.codecs.oip_parameters import RequestParameters, read_parameters
from foretell.serve.codecs.oip_values import flat_decoder, from_binary, from_json
from foretell.types import DataType, ModelSpec, TensorSpec

_NO_BLOBS = memoryview(b"")


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
    decode_flat: Callable[[bytes], list[Any]] | None


_MOST_LAYOUTS = 1024
_MOST_AXES = 32
_MOST_EMPTY = 65_536
_LONGEST_DATATYPE = 32


class RequestDecoder:
    """Decodes requests for one model. Remembers the shapes it has checked, and what requests look like."""

    def __init__(self, spec: Callable[[], ModelSpec], where: str, groups: Groups, settings: ServerSettings) -> None:
        self._spec, self._where, self._groups, self._settings = spec, where, groups, settings
        self._layouts: dict[Any, _Layout] = {}
        self.known, self.known_binary = KnownRequests(), KnownBinary()

    def decode(self, body: bytes | memoryview, json_length: bytes | None) -> tuple[list[Part], Asked]:
        """The values of each field of the group, and what is asked. Raises `InvalidInput`.

        `json_length` is the header Inference-Header-Content-Length.
        """
        if json_length is None:
            body = bytes(body)
            found = self.known.find(body)
            return ([found[0]], found[1]) if found is not None else self._decode(body, _NO_BLOBS, None)
        head, blobs = self._cut(body, json_length)
        if not head:
            return self._raw(blobs)
        return self.known_binary.find(head, blobs) or self._decode(head, blobs, json_length)

    def numbers(self, body: bytes, json_length: bytes | None) -> Numbers | None:
        """Those of a request like an earlier one; None where it is not, or has more than one input."""
        if json_length is None:
            return self.known.numbers(body)
        return self.known_binary.numbers(body, int(json_length)) if json_length.isdigit() else None

    def _decode(self, head: bytes, blobs: memoryview, json_length: bytes | None) -> tuple[list[Part], Asked]:
        check_json(head, self._settings)
        parsed = parse(head)
        inputs = parsed.inputs
        if len(inputs) == 1:
            tensor = inputs[0]
            key: Any = (tensor.name, tensor.datatype, *tensor.shape)
        else:
            key = tuple([(tensor.name, tensor.datatype, *tensor.shape) for tensor in inputs])
        layout = self._layouts.get(key)
        if layout is None:
            layout = self._check(inputs, key)
        parts = self._parts(inputs, layout, blobs)
        group, binary, timeout_s = layout.group, False, None
        if parsed.parameters:
            params = read_parameters(parsed.parameters)
            group, binary, timeout_s = self._with_parameters(layout, params), params.binary, params.timeout_s
        asked = Asked(
            layout.rows, group, parsed.id, parsed.outputs, binary, timeout_s, layout.decode_flat, layout.counts[0]
        )
        if json_length is None and len(inputs) == 1 and not inputs[0].parameters and key in self._layouts:
            self.known.learn(head, inputs[0].data, asked)
        if json_length is not None and key in self._layouts:
            self._learn_binary(head, inputs, layout, asked)
        return parts, asked

    def _learn_binary(self, head: bytes, inputs: list[Input], layout: _Layout, asked: Asked) -> None:
        """Remembers a request all of whose tensors are binary."""
        told = [(tensor.parameters or {}).get("binary_data_size") for tensor in inputs]
        sizes = [size for size in told if type(size) is int]
        if len(sizes) == len(inputs):
            places = [layout.order.index(position) for position in range(len(inputs))]
            fields = [layout.group.fields[place] for place in places]
            counts = [layout.counts[place] for place in places]
            self.known_binary.learn(head, asked, list(zip(fields, sizes, counts, strict=True)), places)

    def _cut(self, body: bytes | memoryview, json_length: bytes) -> tuple[bytes, memoryview]:
        text = json_length.strip()
        length = int(text) if text.isdigit() and len(text) < 20 else -1
        if not 0 <= length <= len(body):
            raise InvalidInput(
                "wrong header Inference-Header-Content-Length",
                expected=f"a number of bytes from 0 to the body's {len(body)}",
                got=text.decode("latin-1")[:40],
            )
        return bytes(body[:length]), memoryview(body)[length:]

    def _check(self, inputs: list[Input], key: Any) -> _Layout:
        """Names, datatypes and shapes against the spec."""
        spec = self._spec()
        by_name = {tensor.name: position for position, tensor in enumerate(inputs)}
        if len(by_name) != len(inputs):
            raise InvalidInput("an input is given twice", where=self._where, got=shown([i.name for i in inputs]))
        names = [tensor.name for tensor in spec.inputs] if spec.inputs is not None else list(by_name)
        for name in by_name:
            if name not in names:
                raise InvalidInput(f"unknown input {name!r}", where=self._where, fix=nearest(name, names))
        for name in names:
            if name not in by_name:
                raise InvalidInput(
                    f"input {name!r} is missing", where=self._where, got=f"inputs {shown(sorted(by_name))}"
                )
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
            raise InvalidInput("inputs differ in their number of rows", where=self._where, got=shown(shapes))
        order = tuple(by_name[name] for name in names)
        layout = _Layout(
            self._groups.get(tuple(fields), {}, Context(), spec.mergeable),
            rows.pop(),
            order,
            tuple(counts),
            tuple(len(inputs[position].shape) for position in order),
            flat_decoder(fields[0].datatype) if len(fields) == 1 else None,
        )
        if spec.inputs is not None:
            if len(self._layouts) >= _MOST_LAYOUTS:
                self._layouts.clear()
            self._layouts[key] = layout
        return layout

    def _field(self, tensor: Input, spec: TensorSpec | None, has_rows: bool) -> tuple[Field, int]:
        """The field of one input, and its number of rows."""
        where = f"input {tensor.name!r} of {self._where}"
        try:
            datatype = DataType(tensor.datatype)
        except ValueError:
            got, fix = shown(tensor.datatype), nearest(tensor.datatype[:_LONGEST_DATATYPE], DataType)
            raise InvalidInput("unknown datatype", where=where, got=got, fix=fix) from None
        shape = tuple(tensor.shape)
        self._check_size(shape, where)
        if spec is not None and spec.datatype is not None and spec.datatype is not datatype:
            raise InvalidInput("wrong datatype", where=where, expected=spec.datatype, got=datatype)
        if has_rows and not shape:
            raise InvalidInput("the shape has no axis of rows", where=where, expected=_shape_text(spec, True), got="[]")
        row_shape = shape[1:] if has_rows else shape
        if spec is not None and spec.shape is not None and not _fits(row_shape, spec.shape):
            raise InvalidInput(
                "wrong shape", where=where, expected=_shape_text(spec, has_rows), got=shown(tensor.shape)
            )
        return Field(tensor.name, datatype, row_shape), shape[0] if has_rows else 1

    def _check_size(self, shape: tuple[int, ...], where: str) -> None:
        """Raises `InvalidInput` for a shape that nobody can mean, before anything of its size is made."""
        if len(shape) > _MOST_AXES:
            raise InvalidInput("impossible shape", where=where, expected=f"at most {_MOST_AXES} axes", got=len(shape))
        # Each element takes a byte of the body at least. Sizes beside a 0 count too: they are claims without data.
        most = self._settings.max_body_bytes if 0 not in shape else _MOST_EMPTY
        if any(size < 0 for size in shape):
            raise InvalidInput("impossible shape", where=where, expected="no negative size", got=shown(list(shape)))
        if math.prod(size or 1 for size in shape) > most:
            raise InvalidInput(
                "impossible shape", where=where, expected=f"at most {most} elements", got=shown(list(shape))
            )

    def _parts(self, inputs: list[Input], layout: _Layout, blobs: memoryview) -> list[Part]:
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
            if (size is None) == (tensor.data is NO_DATA and type(tensor) is not SpecialInput):
                raise InvalidInput(
                    "an input needs exactly one of data and binary_data_size", where=f"input {tensor.name!r}"
                )
            if size is None:
                parts[place] = from_json(tensor, field, count, layout.ranks[place])
            else:
                if type(size) is not int or not 0 <= size <= len(blobs) - at:
                    raise InvalidInput(
                        "binary_data_size does not fit the body",
                        where=f"input {tensor.name!r}",
                        expected=f"at most {len(blobs) - at} bytes, which are left",
                        got=shown(size),
                    )
                parts[place] = from_binary(blobs[at : at + size], field, layout.rows, count)
                at += size
        if at != len(blobs):
            raise InvalidInput(f"{len(blobs) - at} bytes are left over after the last input's binary data")
        return parts  # type: ignore[return-value]

    def _refuse_shared_memory(self, tensor: Input) -> None:
        if tensor.parameters and "shared_memory_region" in tensor.parameters:
            raise InvalidInput("shared memory is not supported", where=f"input {tensor.name!r}", fix="send the data")

    def _raw(self, blob: memoryview) -> tuple[list[Part], Asked]:
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
        return [part], Asked(1, group, binary=True)

    def _with_parameters(self, layout: _Layout, params: RequestParameters) -> Group:
        """Requests share a call only with those that have the same parameters, and those of a sequence with none."""
        group = layout.group
        if params.rest or params.sequence is not None or params.bulk:
            mergeable = group.mergeable and params.sequence is None
            return self._groups.get(
                group.fields, params.rest, Context(sequence=params.sequence), mergeable, params.bulk
            )
        return group


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
