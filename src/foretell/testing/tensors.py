"""Tensors of the Open Inference Protocol for a client: NumPy arrays to binary data and back."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from foretell.errors import InvalidInput
from foretell.types import DataType, TensorSpec

Array = np.ndarray[Any, Any]


def encoded(name: str, value: Any, spec: TensorSpec | None) -> tuple[dict[str, Any], bytes]:
    """An input as the protocol has it, its values as binary data; of the datatype that the model tells."""
    known = spec.datatype if spec is not None else None
    given = np.asarray(value)
    if known is DataType.BYTES or (known is None and given.dtype.kind in "SUO"):
        items = [item if isinstance(item, bytes) else str(item).encode() for item in given.reshape(-1).tolist()]
        blob, datatype = b"".join([len(item).to_bytes(4, "little") + item for item in items]), DataType.BYTES
    else:
        array = given if known is None else given.astype(known.numpy)
        found = known or DataType.of(array.dtype)
        if found is None:
            raise InvalidInput("the values have no tensor form", where=f"input {name!r}", got=array.dtype)
        blob, datatype = np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes(), found
    head = {"name": name, "shape": list(given.shape), "datatype": datatype.value}
    return {**head, "parameters": {"binary_data_size": len(blob)}}, blob


def decoded(body: bytes, length: int) -> dict[str, Array]:
    """The outputs of a reply whose JSON has `length` bytes."""
    outputs, at = {}, length
    for output in json.loads(body[:length])["outputs"]:
        size = output["parameters"]["binary_data_size"]
        blob, at = body[at : at + size], at + size
        kind = DataType(output["datatype"])
        array = _texts(blob) if kind is DataType.BYTES else np.frombuffer(blob, kind.numpy.newbyteorder("<"))
        outputs[output["name"]] = array.reshape(output["shape"])
    return outputs


def _texts(blob: bytes) -> Array:
    items, at = [], 0
    while at < len(blob):
        size = int.from_bytes(blob[at : at + 4], "little")
        items.append(blob[at + 4 : at + 4 + size])
        at += 4 + size
    made = np.empty(len(items), object)
    made[:] = items
    return made
