"""The models that are measured, made in a moment."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def network(path: Path, width: int, hidden: int, classes: int) -> Path:
    """A classifier of one hidden layer: `input` FP32 [N, width] -> `probabilities` FP32 [N, classes]."""
    rng = np.random.default_rng(0)
    weights = {"w1": (width, hidden), "b1": (hidden,), "w2": (hidden, classes), "b2": (classes,)}
    graph = helper.make_graph(
        [
            helper.make_node("Gemm", ["input", "w1", "b1"], ["hidden"]),
            helper.make_node("Relu", ["hidden"], ["active"]),
            helper.make_node("Gemm", ["active", "w2", "b2"], ["logits"]),
            helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
        ],
        "network",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["N", width])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", classes])],
        [numpy_helper.from_array(rng.normal(size=s).astype(np.float32), name) for name, s in weights.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


def tiny(folder: Path) -> Path:
    """4 features, 3 classes: what a request costs when the model costs nothing."""
    return network(folder / "tiny.onnx", 4, 16, 3)


def small(folder: Path) -> Path:
    """20 features, 64 hidden units, 2 classes."""
    return network(folder / "small.onnx", 20, 64, 2)
