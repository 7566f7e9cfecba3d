"""Tensors of the Open Inference Protocol for a client: NumPy arrays to binary data and back."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np

from foretell.columns import Bytes, Ragged
from foretell.errors import InvalidInput
from foretell.forms.fit import bfloat16_floats
from foretell.forms.values import to_column
from foretell.serve.codecs.oip_values import to_binary
from foretell.types import DataType, TensorSpec

Array = np.ndarray[Any, Any]


def encoded(name: str, value: Any, spec: TensorSpec | None, *, rows: bool = True) -> tuple[dict[str, Any], bytes]:
    """An input as the protocol has it, its values as binary data; of the datatype that the model tells.

    `rows`: the first axis is that of rows. Raises `InvalidInput` for values that such a tensor cannot hold: none is
    changed, as none is on its way from another client.
    """
    where, known = f"input {name!r}", spec.datatype if spec is not None else None
    fits = replace(spec, shape=None) if spec is not None and known else None  # of its shape the server tells
    column = to_column(value if rows else [value], where=where, spec=fits)
    if isinstance(column, Ragged):
        raise InvalidInput("rows of different length have no tensor form", where=where)
    if column.valid is not None and not column.valid.all():
        raise InvalidInput("a null has no tensor form", where=where, fix="give a value for each element")
    found = DataType.BYTES if isinstance(column, Bytes) else known or DataType.of(column.data.dtype)
    if found is None:
        raise InvalidInput("the values have no tensor form", where=where, got=type(value).__name__)
    shape = [len(column), *column.row_shape] if rows else list(column.row_shape)
    blob = to_binary(column, name)
    head = {"name": name, "shape": shape, "datatype": found.value}
    return {**head, "parameters": {"binary_data_size": len(blob)}}, blob


def decoded(body: bytes, length: int) -> dict[str, Array]:
    """The outputs of a reply whose JSON has `length` bytes; BF16 as float32, which NumPy has."""
    outputs, at = {}, length
    for output in json.loads(body[:length])["outputs"]:
        size = output["parameters"]["binary_data_size"]
        blob, at = body[at : at + size], at + size
        kind = DataType(output["datatype"])
        array = _texts(blob) if kind is DataType.BYTES else np.frombuffer(blob, kind.numpy.newbyteorder("<"))
        if kind is DataType.BF16:
            array = bfloat16_floats(array)
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
