"""What a request to a model looks like, and its answer, as JSON Schema (draft 2020-12)."""

from __future__ import annotations

from typing import Any

import numpy as np

from foretell.types import DataType, ModelSpec, TensorSpec

Schema = dict[str, Any]

_PARAMETERS: Schema = {
    "type": "object",
    "properties": {
        "timeout": {"type": "integer", "minimum": 0, "description": "Time limit, microseconds."},
        "binary_data_output": {"type": "boolean", "description": "Outputs come back as binary data."},
        "priority": {"type": "integer", "minimum": 0, "description": "Above 1: the bulk lane."},
        "sequence_id": {"type": ["integer", "string"], "description": "The conversation, for a model with a state."},
        "sequence_start": {"type": "boolean"},
        "sequence_end": {"type": "boolean"},
    },
    "additionalProperties": {"type": ["boolean", "number", "string", "null"]},
    "description": "What is not named here reaches the model.",
}
_ROWS: Schema = {"type": "integer", "minimum": 1, "description": "Rows."}
_SIZE: Schema = {"type": "integer", "minimum": 1}
_BINARY_SIZE: Schema = {
    "type": "object",
    "properties": {"binary_data_size": {"type": "integer", "minimum": 0}},
    "description": "With binary_data_size the values stand behind the JSON, and not in data.",
}
_LENGTH = "as many values as the shape has, row by row"


def request_schema(spec: ModelSpec) -> Schema:
    """The body of an inference request. That `data` fits `shape` is what JSON Schema cannot say."""
    inputs: Schema = {"type": "array", "minItems": 1, "items": _any_input()}
    if spec.inputs:
        count = len(spec.inputs)
        inputs = {"type": "array", "minItems": count, "maxItems": count, "items": _one_of(
            [_input(tensor, spec) for tensor in spec.inputs])}  # fmt: skip
    return {
        "type": "object",
        "required": ["inputs"],
        "properties": {
            "id": {"type": "string", "description": "Comes back in the answer."},
            "inputs": inputs,
            "outputs": {"type": "array", "items": _requested(spec), "description": "Which outputs; none: all of them."},
            "parameters": _PARAMETERS,
        },
    }


def reply_schema(name: str, version: str, spec: ModelSpec) -> Schema:
    """The JSON of an answer."""
    outputs = _any_output() if spec.outputs is None else _one_of([_output(tensor, spec) for tensor in spec.outputs])
    return {
        "type": "object",
        "required": ["model_name", "model_version", "outputs"],
        "properties": {
            "id": {"type": "string"},
            "model_name": {"const": name},
            "model_version": {"const": version},
            "parameters": {"type": "object", "description": "Why it took its time, where the request asked."},
            "outputs": {"type": "array", "items": outputs},
        },
    }


def _input(tensor: TensorSpec, spec: ModelSpec) -> Schema:
    kind = tensor.datatype
    required = ["name", "shape", "datatype", "data"]
    if kind in (DataType.FP16, DataType.BF16):
        required[-1] = "parameters"
    return {
        "type": "object",
        "required": required,
        "properties": {
            "name": {"const": tensor.name},
            "shape": _shape(tensor, spec),
            "datatype": _datatype(kind),
            "data": {
                "type": "array",
                "items": {"anyOf": [_value(kind), {"type": "array"}]},
                "description": f"{_LENGTH}, flat or nested like it",
            },
            "parameters": _BINARY_SIZE,
        },
    }


def _output(tensor: TensorSpec, spec: ModelSpec) -> Schema:
    """As it is, or as the names of its best classes, where the request asks for them."""
    found: Schema = {
        "type": "object",
        "required": ["name", "shape", "datatype"],
        "properties": {
            "name": {"const": tensor.name},
            "shape": _shape(tensor, spec),
            "datatype": _datatype(tensor.datatype),
            "data": {"type": "array", "items": _answered(tensor.datatype), "description": _LENGTH},
            "parameters": _BINARY_SIZE,
        },
    }
    if tensor.datatype is DataType.BYTES:
        return found
    best = {"type": "array", "items": {"type": "string"}, "description": "value:index, or value:index:label"}
    classes = {**found["properties"], "datatype": {"const": "BYTES"}, "shape": _axes(), "data": best}
    return _one_of([found, {**found, "properties": classes}])


def _any_input() -> Schema:
    """Of a model that has not told what it takes."""
    return {
        "type": "object",
        "required": ["name", "shape", "datatype"],
        "properties": {
            "name": {"type": "string"},
            "shape": _axes(),
            "datatype": _datatype(None),
            "data": {"type": "array", "description": f"{_LENGTH}, flat or nested like it"},
            "parameters": _BINARY_SIZE,
        },
    }


def _any_output() -> Schema:
    return _any_input()


def _requested(spec: ModelSpec) -> Schema:
    name: Schema = {"type": "string"} if spec.outputs is None else {"enum": [tensor.name for tensor in spec.outputs]}
    wishes = {
        "binary_data": {"type": "boolean"},
        "classification": {"type": "integer", "minimum": 0, "description": "So many of the best classes."},
    }
    parameters = {"type": "object", "properties": wishes}
    return {"type": "object", "required": ["name"], "properties": {"name": name, "parameters": parameters}}


def _one_of(schemas: list[Schema]) -> Schema:
    return schemas[0] if len(schemas) == 1 else {"anyOf": schemas}


def _axes() -> Schema:
    return {"type": "array", "items": {"type": "integer", "minimum": 0}}


def _shape(tensor: TensorSpec, spec: ModelSpec) -> Schema:
    if tensor.shape is None:
        return _axes()
    sizes = [_SIZE if size is None else {"const": size} for size in tensor.shape]
    axes = sizes if spec.batch is None else [_ROWS, *sizes]
    return {"type": "array", "prefixItems": axes, "minItems": len(axes), "maxItems": len(axes)} if axes else {
        "type": "array", "maxItems": 0
    }  # fmt: skip


def _datatype(kind: DataType | None) -> Schema:
    return {"enum": [each.value for each in DataType]} if kind is None else {"const": kind.value}


def _value(kind: DataType | None) -> Schema:
    """One value of a request."""
    if kind is None:
        return {"type": ["boolean", "number", "string"]}
    if kind is DataType.BYTES:
        return {"type": "string"}
    if kind is DataType.BOOL:
        return {"type": "boolean"}
    if kind.is_integer:
        whole = np.iinfo(kind.numpy)
        return {"type": "integer", "minimum": int(whole.min), "maximum": int(whole.max)}
    if kind is DataType.BF16:
        return {"type": "number"}
    most = float(np.finfo(kind.numpy).max)
    return {"type": "number", "minimum": -most, "maximum": most}


def _answered(kind: DataType | None) -> Schema:
    """One value of an answer; a null is a row's that has none."""
    found = dict(_value(kind))
    found.pop("minimum", None)
    found.pop("maximum", None)
    known = found["type"]
    return {**found, "type": [*(known if isinstance(known, list) else [known]), "null"]}
