"""The ONNX files that people really have."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from contract_case import Case
from onnx import TensorProto, helper
from onnx_build import build, identity, iris, iris_onnx, one_node, save, value

from foretell.backends.onnx.opening import open_onnx
from foretell.backends.opened import Opened
from foretell.columns import Batch, Bytes, Dense, Ragged
from foretell.config import ModelSettings


def cases() -> list[Case]:
    return [
        linear(),
        two_inputs(),
        classifier(zipmap=True),
        classifier(zipmap=False),
        fixed_batch(1),
        fixed_batch(4),
        baked_in_one_row(),
        no_axis_of_rows(),
        scalar_answer(),
        text(),
        padded(),
        sequence(),
        numbers(TensorProto.FLOAT16, np.array([[0.5, 1], [2, 3], [4, 5], [6, 7]], np.float16), "float16"),
        numbers(TensorProto.DOUBLE, np.linspace(0, 1, 8).reshape(4, 2), "double"),
        numbers(TensorProto.INT64, np.arange(8).reshape(4, 2) - 2**40, "int64"),
        numbers(TensorProto.UINT8, np.arange(8, dtype=np.uint8).reshape(4, 2), "uint8"),
        numbers(TensorProto.BOOL, np.arange(8).reshape(4, 2) % 3 == 0, "bool"),
        numbers(TensorProto.BFLOAT16, np.arange(0x3F80, 0x3F88, dtype=np.uint16).reshape(4, 2), "bfloat16"),
    ]


def case(name: str, model: onnx.ModelProto, batch: Batch, expected: dict[str, Any], **settings: Any) -> Case:
    def opened(folder: Path) -> Opened:
        return open_onnx(save(model, folder), ModelSettings(threads=1, **settings))

    return Case(name=f"onnx-{name}", open=opened, batch=batch, expected=expected)


def rows(count: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(7).normal(size=(count, *shape)).astype(np.float32)


def linear() -> Case:
    x, weights = rows(6, 3), rows(3, 2)
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    model = build([node], [value("x", ["N", 3])], [value("y", ["N", 2])], weights={"w": weights})
    return case("linear", model, Batch.of(x=x), {"y": x @ weights})


def two_inputs() -> Case:
    left, right = rows(5, 2), np.arange(5, dtype=np.int32)
    nodes = [
        helper.make_node("Relu", ["left"], ["positive"]),
        helper.make_node("Neg", ["right"], ["negative"]),
    ]
    inputs = [value("left", ["batch", 2]), value("right", ["batch"], TensorProto.INT32)]
    outputs = [value("positive", ["batch", 2]), value("negative", ["batch"], TensorProto.INT32)]
    expected = {"positive": np.maximum(left, 0), "negative": -right}
    return case("two-inputs", build(nodes, inputs, outputs, opset=14), Batch.of(left=left, right=right), expected)


def classifier(*, zipmap: bool) -> Case:
    flowers, _, trained = iris()
    chosen = flowers[::30]
    label, scores = ("output_label", "output_probability") if zipmap else ("label", "probabilities")
    expected = {label: trained.predict(chosen).tolist(), scores: trained.predict_proba(chosen).astype(np.float32)}
    name = "zipmap" if zipmap else "classifier"
    return case(name, iris_onnx(zipmap=zipmap), Batch.of(X=chosen), expected)


def fixed_batch(size: int) -> Case:
    x = rows(6, 3)
    return case(f"fixed-batch-{size}", one_node("Abs", [size, 3], [size, 3]), Batch.of(x=x), {"y": np.abs(x)})


def baked_in_one_row() -> Case:
    """Declared for any number of rows, but its nodes hold the one row that the exporter saw."""
    x = rows(5, 2, 3)
    node = helper.make_node("Reshape", ["x", "shape"], ["y"])
    model = build(
        [node], [value("x", ["N", 2, 3])], [value("y", ["N", 6])], weights={"shape": np.array([1, 6], np.int64)}
    )
    return case("baked-in-one-row", model, Batch.of(x=x), {"y": x.reshape(5, 6)})


def no_axis_of_rows() -> Case:
    x = rows(5, 4)
    return case("no-axis-of-rows", one_node("Abs", [4], [4]), Batch.of(x=x), {"y": np.abs(x)})


def scalar_answer() -> Case:
    x = rows(5, 4, 2)
    model = one_node("ReduceMax", ["N", 2], [], keepdims=0)
    return case("scalar-answer", model, Batch.of(x=x), {"y": x.max(axis=(1, 2))})


def text() -> Case:
    words = ["", "tea", "Käse", "日本", "a\0b"]
    model = identity(["N", 1], TensorProto.STRING)
    batch = Batch({"x": Bytes.of(words, (1,))}, len(words))
    return case("text", model, batch, {"y": [[word] for word in words]})


def padded() -> Case:
    """Rows of different length, summed; the zeros that fill them add nothing."""
    values, offsets = rows(9), np.array([0, 2, 2, 5, 9])
    axes = {"axes": np.array([1], np.int64)}
    node = helper.make_node("ReduceSum", ["x", "axes"], ["y"], keepdims=0)
    model = build([node], [value("x", ["N", "L"])], [value("y", ["N"])], weights=axes)
    sums = [values[a:b].sum() for a, b in pairwise(offsets)]
    batch = Batch({"x": Ragged(Dense(values), offsets)}, 4)
    return case("padded", model, batch, {"y": np.array(sums, np.float32)}, pad={"x": 0.0})


def sequence() -> Case:
    x = rows(5, 3)
    node = helper.make_node("SplitToSequence", ["x"], ["y"], axis=0, keepdims=0)
    output = helper.make_tensor_sequence_value_info("y", TensorProto.FLOAT, None)
    return case("sequence", build([node], [value("x", ["N", 3])], [output]), Batch.of(x=x), {"y": x})


def numbers(kind: int, data: np.ndarray, name: str) -> Case:
    return case(name, identity(["N", 2], kind), Batch.of(x=data), {"y": data})
