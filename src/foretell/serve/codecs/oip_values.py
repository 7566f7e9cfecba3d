"""Open Inference Protocol, the values of a tensor: from JSON, flat or nested, from binary, and to binary."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from itertools import chain
from typing import Any

import msgspec
import numpy as np

from foretell.columns import Bytes, Column, Dense, Ragged
from foretell.engine.work import Field
from foretell.errors import InvalidInput, ModelError
from foretell.serve.codecs.oip_message import Input, SpecialInput, shown
from foretell.types import DataType

_NESTED = re.compile(rb"\s*\[\s*\[")
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


def flat_decoder(datatype: DataType) -> Callable[[bytes], list[Any]] | None:
    """Decodes a flat list of such elements; None where they have no JSON form."""
    return None if datatype in (DataType.FP16, DataType.BF16) else _decoder(_JSON_TYPES.get(datatype, int), 1).decode


def _nested_type(kind: type, depth: int) -> Any:
    nested: Any = kind
    for _ in range(depth):
        nested = list[nested]
    return nested


def from_json(tensor: Input, field: Field, count: int, rank: int) -> list[Any]:
    """The elements of `data`, flat or nested like the shape; their JSON types are checked in the decoder."""
    datatype = field.datatype
    if datatype in (DataType.FP16, DataType.BF16):
        raise InvalidInput(f"{datatype} has no JSON form", where=f"input {field.name!r}", fix="send it as binary data")
    kind = _JSON_TYPES.get(datatype, int)
    try:
        if isinstance(tensor, SpecialInput):
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
            expected=f"{count} values for shape {shown(tensor.shape)}",
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


def without_form(name: str) -> ModelError:
    """Why several answers of different length cannot share a reply."""
    what, fix = "rows of different length have no tensor form", "ask for each row in a request of its own"
    return ModelError(what, where=f"output {name!r}", fix=fix)


def to_binary(column: Column, name: str) -> bytes:
    """Little endian, row major; BYTES as 4 bytes of length and the element; a null of floats as NaN.

    Raises `InvalidInput` for other nulls, which only JSON can tell from a value, `ModelError` for what is no tensor.
    """
    if isinstance(column, Ragged):
        raise without_form(name)
    data = column.data
    if column.valid is not None and not column.valid.all():
        if isinstance(column, Bytes) or data.dtype.kind != "f":
            what = "the answer has a null, which has no binary form"
            raise InvalidInput(what, where=f"output {name!r}", fix="ask for it as JSON")
        data = data.copy()
        data[~column.valid] = np.nan
    if isinstance(column, Bytes):
        return b"".join([len(item).to_bytes(4, "little") + item for item in column.items()])
    return np.ascontiguousarray(data, data.dtype.newbyteorder("<")).tobytes()
