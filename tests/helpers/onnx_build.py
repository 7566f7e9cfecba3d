"""Small ONNX models, made when a test needs them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

Dims = Sequence[int | str | None] | None

FLOAT = TensorProto.FLOAT


def value(name: str, dims: Dims, kind: int = FLOAT) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, dims)


def build(
    nodes: Sequence[onnx.NodeProto],
    inputs: Sequence[onnx.ValueInfoProto],
    outputs: Sequence[onnx.ValueInfoProto],
    *,
    weights: dict[str, np.ndarray] | None = None,
    opset: int = 17,
    ir_version: int = 8,
    domains: dict[str, int] | None = None,
    metadata: dict[str, str] | None = None,
) -> onnx.ModelProto:
    initializers = [numpy_helper.from_array(array, name) for name, array in (weights or {}).items()]
    graph = helper.make_graph(list(nodes), "graph", list(inputs), list(outputs), initializer=initializers)
    opsets = [helper.make_opsetid("", opset)]
    opsets += [helper.make_opsetid(domain, version) for domain, version in (domains or {}).items()]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=ir_version)
    for key, text in (metadata or {}).items():
        model.metadata_props.add(key=key, value=text)
    return model


def identity(dims: Dims, kind: int = FLOAT, out: Dims | str = "same", **options: Any) -> onnx.ModelProto:
    """y = x."""
    outputs = dims if isinstance(out, str) else out
    node = helper.make_node("Identity", ["x"], ["y"])
    return build([node], [value("x", dims, kind)], [value("y", outputs, kind)], **options)


def one_node(operator: str, dims: Dims, out: Dims, kind: int = FLOAT, **attributes: Any) -> onnx.ModelProto:
    """y = operator(x)."""
    node = helper.make_node(operator, ["x"], ["y"], **attributes)
    return build([node], [value("x", dims, kind)], [value("y", out, kind)])


def save(model: onnx.ModelProto, folder: Path, name: str = "model.onnx") -> Path:
    path = folder / name
    path.write_bytes(model.SerializeToString())
    return path


@cache
def iris() -> tuple[np.ndarray, np.ndarray, Any]:
    """Measurements (float32), the class names of each flower, and a classifier fitted to them."""
    from sklearn.datasets import load_iris
    from sklearn.linear_model import LogisticRegression

    data = load_iris()
    names = np.array(["setosa", "versicolor", "virginica"])[data.target]
    flowers = data.data.astype(np.float32)
    return flowers, names, LogisticRegression(max_iter=500).fit(flowers, names)


@cache
def iris_onnx(*, zipmap: bool) -> onnx.ModelProto:
    from skl2onnx import to_onnx

    flowers, _, classifier = iris()
    return to_onnx(classifier, flowers[:1], options={"zipmap": zipmap})
