"""Open Inference Protocol, everything that is not inference: health, server and model metadata, configuration."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import foretell
from foretell.types import DataType, ModelSpec, TensorSpec

_PLATFORMS = {
    "onnx": "onnxruntime_onnx",
    "scikit-learn": "sklearn_sklearn",
    "pytorch": "pytorch_libtorch",
    "tensorflow": "tensorflow_savedmodel",
}
EXTENSIONS = ["binary_tensor_data", "classification", "model_configuration", "parameters"]


def server_metadata(more: Sequence[str] = ()) -> dict[str, Any]:
    """`more`: extensions that not every server has."""
    return {"name": "foretell", "version": foretell.__version__, "extensions": [*EXTENSIONS, *more]}


def model_metadata(
    name: str, versions: Sequence[str], framework: str, spec: ModelSpec, certificate: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Shapes have the axis of rows first, -1 where a size is free. A type nobody knows yet is an empty string.

    `certificate`: of the model, where it has one; clients of the protocol pass over what they do not know.
    """
    return {
        "name": name,
        "versions": list(versions),
        "platform": platform(framework),
        "inputs": [_tensor(tensor, spec) for tensor in spec.inputs or ()],
        "outputs": [_tensor(tensor, spec) for tensor in spec.outputs or ()],
        **({} if certificate is None else {"foretell": {"certificate": certificate}}),
    }


def model_config(name: str, framework: str, spec: ModelSpec, max_batch_size: int) -> dict[str, Any]:
    """The ModelConfig message as JSON; dims are those of one row."""
    streams = {"model_transaction_policy": {"decoupled": True}} if spec.streams else {}
    return {
        "name": name,
        "platform": platform(framework),
        "backend": framework,
        "max_batch_size": max_batch_size if spec.batch is not None else 0,
        "input": [_config_tensor(tensor) for tensor in spec.inputs or ()],
        "output": [_config_tensor(tensor) for tensor in spec.outputs or ()],
        **streams,
    }


def platform(framework: str) -> str:
    """Triton's names where it has one."""
    return _PLATFORMS.get(framework, framework)


def _tensor(tensor: TensorSpec, spec: ModelSpec) -> dict[str, Any]:
    dims = _dims(tensor)
    shape = dims if spec.batch is None else [-1, *dims]
    return {"name": tensor.name, "datatype": tensor.datatype.value if tensor.datatype else "", "shape": shape}


def _config_tensor(tensor: TensorSpec) -> dict[str, Any]:
    return {"name": tensor.name, "data_type": _config_type(tensor.datatype), "dims": _dims(tensor)}


def _config_type(datatype: DataType | None) -> str:
    if datatype is None:
        return "TYPE_INVALID"
    return "TYPE_STRING" if datatype is DataType.BYTES else f"TYPE_{datatype.value}"


def _dims(tensor: TensorSpec) -> list[int]:
    return [-1 if size is None else size for size in tensor.shape or ()]
