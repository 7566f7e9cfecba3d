"""Models whose cost is known: so many milliseconds for a call, or for each row; a picture's worth of input; a CNN."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

_OPSET, _IR = 17, 9
_CALLS = 20
_SIDE = {"constant": 128, "linear": 48}
LINEAR_ROWS = 16
"""The number of rows at which a model of linear cost takes the milliseconds it is named after."""


def session(path: Path, threads: int = 1) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(str(path), options)


def predict(path: Path, rows: np.ndarray) -> np.ndarray:
    """What ONNX Runtime itself answers."""
    return np.asarray(session(path).run(None, {"input": rows})[0])


def work(folder: Path, cost: str, milliseconds: float) -> Path:
    """`input` FP32 [N, 4] -> `sums` FP32 [N, 1], after a chain of matrix products on one core, outside the GIL.

    "constant": a call takes `milliseconds` whatever its rows; "linear": each row takes 1/16 of that. It is work and not
    a sleep, so that the core it takes is missing elsewhere, as with a real model on this machine.
    """
    path = folder / f"{cost}-{milliseconds:g}ms.onnx"
    steps, least = 8, 2
    for _ in range(4):
        _chain(path, cost, steps)
        took_ms = call_ms(path, np.zeros((LINEAR_ROWS, 4), np.float32))
        if abs(took_ms / milliseconds - 1) < 0.03:
            break
        steps = max(least, round(steps * milliseconds / took_ms))
    return path


def call_ms(path: Path, batch: np.ndarray) -> float:
    """The shortest of some calls: what a call takes where nothing else wants the core."""
    runtime, times = session(path), []
    for _ in range(_CALLS):
        started = time.perf_counter()
        runtime.run(None, {"input": batch})
        times.append(1e3 * (time.perf_counter() - started))
    return min(times)


def _chain(path: Path, cost: str, steps: int) -> None:
    """Products of one orthogonal matrix with itself: neither grow nor vanish, and cannot be folded into a constant."""
    side = _SIDE[cost]
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(side, side)))[0].astype(np.float32)
    axes = [1] if cost == "linear" else [0, 1]
    nodes = [
        helper.make_node("ReduceSum", ["input", "features"], ["sums"], keepdims=1),
        helper.make_node("ReduceSum", ["input", "axes"], ["seed"], keepdims=1),
        helper.make_node("Reshape", ["seed", "cube"], ["scale"]),
        helper.make_node("Mul", ["scale", "start"], ["state0"]),
    ]
    nodes += [helper.make_node("MatMul", [f"state{i}", "turn"], [f"state{i + 1}"]) for i in range(steps)]
    nodes += [
        helper.make_node("ReduceMean", [f"state{steps}"], ["mean"], axes=[1, 2], keepdims=0),
        helper.make_node("Reshape", ["mean", "column"], ["means"]),
        helper.make_node("Mul", ["means", "nothing"], ["none"]),
        helper.make_node("Add", ["sums", "none"], ["output"]),
    ]
    constants = {
        "features": np.array([1]), "axes": np.array(axes), "cube": np.array([-1, 1, 1]), "column": np.array([-1, 1]),
        "start": np.eye(side, dtype=np.float32)[None], "turn": turn, "nothing": np.zeros(1, np.float32),
    }  # fmt: skip
    _save(path, nodes, constants, ["N", 4], ["N", 1], "output")


def pixels(folder: Path) -> Path:
    """`input` FP32 [N, 3, 224, 224] -> its first 4 values: a large body and next to no work."""
    constants = {
        "first": np.array([0, 0, 0]),
        "last": np.array([1, 1, 4]),
        "axes": np.array([1, 2, 3]),
        "flat": np.array([-1, 4]),
    }
    nodes = [
        helper.make_node("Slice", ["input", "first", "last", "axes"], ["corner"]),
        helper.make_node("Reshape", ["corner", "flat"], ["output"]),
    ]
    path = folder / "pixels.onnx"
    _save(path, nodes, constants, ["N", 3, 224, 224], ["N", 4], "output")
    return path


def wide(folder: Path) -> Path:
    """`input` FP32 [N, M] -> its first 4 values, for one tensor of any size."""
    constants = {"first": np.array([0]), "last": np.array([4]), "axes": np.array([1])}
    path = folder / "wide.onnx"
    nodes = [helper.make_node("Slice", ["input", "first", "last", "axes"], ["output"])]
    _save(path, nodes, constants, ["N", "M"], ["N", 4], "output")
    return path


def mobilenet(folder: Path) -> Path:
    """MobileNetV2 (Sandler and others 2018, table 2), batch normalisation folded in, random weights.

    `input` FP32 [N, 3, 224, 224] -> `logits` FP32 [N, 1000]; 300 million multiplications an image.
    """
    layers = _Layers()
    last = layers.convolution("input", 3, 32, kernel=3, stride=2)
    width = 32
    for expand, out, repeats, stride in (
        (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1),
    ):  # fmt: skip
        for repeat in range(repeats):
            last = layers.block(last, width, out, expand, stride if repeat == 0 else 1)
            width = out
    last = layers.convolution(last, width, 1280)
    layers.add("GlobalAveragePool", [last], "pooled")
    layers.add("Flatten", ["pooled"], "flat")
    layers.weigh("classes", (1280, 1000), 1280)
    layers.add("MatMul", ["flat", "classes"], "logits")
    path = folder / "mobilenet.onnx"
    _save(path, layers.nodes, layers.weights, ["N", 3, 224, 224], ["N", 1000], "logits")
    return path


class _Layers:
    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: dict[str, np.ndarray] = {
            "least": np.zeros((), np.float32), "most": np.full((), 6, np.float32)
        }  # fmt: skip
        self._rng = np.random.default_rng(0)

    def add(self, kind: str, inputs: Sequence[str], output: str, **options: Any) -> str:
        self.nodes.append(helper.make_node(kind, inputs, [output], **options))
        return output

    def weigh(self, name: str, shape: tuple[int, ...], fan_in: int) -> str:
        """Scaled so that activations stay of one size through the depth (He and others 2015)."""
        self.weights[name] = (self._rng.normal(size=shape) * np.sqrt(2 / fan_in)).astype(np.float32)
        return name

    def convolution(
        self, last: str, width: int, out: int, kernel: int = 1, stride: int = 1, group: int = 1, active: bool = True
    ) -> str:
        at = len(self.nodes)
        fan_in = width // group * kernel * kernel
        weights = self.weigh(f"weights{at}", (out, width // group, kernel, kernel), fan_in)
        self.weights[f"bias{at}"] = np.zeros(out, np.float32)
        pads = [kernel // 2] * 4
        last = self.add(
            "Conv", [last, weights, f"bias{at}"], f"conv{at}", kernel_shape=[kernel, kernel],
            strides=[stride, stride], pads=pads, group=group,
        )  # fmt: skip
        return self.add("Clip", [last, "least", "most"], f"active{at}") if active else last

    def block(self, last: str, width: int, out: int, expand: int, stride: int) -> str:
        """An inverted residual: widen, filter each channel alone, narrow."""
        inner = width * expand
        value = self.convolution(last, width, inner) if expand > 1 else last
        value = self.convolution(value, inner, inner, kernel=3, stride=stride, group=inner)
        value = self.convolution(value, inner, out, active=False)
        return self.add("Add", [last, value], f"sum{len(self.nodes)}") if stride == 1 and width == out else value


def _save(
    path: Path,
    nodes: Sequence[onnx.NodeProto],
    constants: dict[str, np.ndarray],
    inputs: Sequence[int | str],
    outputs: Sequence[int | str],
    output: str,
) -> None:
    graph = helper.make_graph(
        nodes, path.stem.replace(".", "_"),
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, inputs)],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, outputs)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR)
    onnx.checker.check_model(model)
    onnx.save(model, path)
