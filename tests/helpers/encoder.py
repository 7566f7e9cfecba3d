"""A text encoder as an ONNX model: a transformer with learned positions, a mask, and means over the tokens."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper
from onnx_build import build, value


@dataclass(frozen=True)
class Sizes:
    layers: int = 2
    hidden: int = 32
    heads: int = 4
    vocabulary: int = 100
    positions: int = 512


def encoder(sizes: Sizes = Sizes(), *, masked: bool = True, seed: int = 0) -> onnx.ModelProto:
    """Inputs `input_ids`, `attention_mask` [N, L]; outputs `tokens` [N, L, hidden], `sentence` [N, hidden].

    The architecture of BERT (post-norm, GELU), with random weights. Not `masked`: it reads padding like any token.
    """
    return _Builder(sizes, seed).model(masked)


class _Builder:
    def __init__(self, sizes: Sizes, seed: int) -> None:
        self.sizes, self.rng = sizes, np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.weights: dict[str, np.ndarray] = {}

    def op(self, kind: str, *inputs: str, **attributes: Any) -> str:
        name = f"{kind}{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def constant(self, array: Any) -> str:
        name = f"w{len(self.weights)}"
        self.weights[name] = np.asarray(array)
        return name

    def random(self, *shape: int) -> str:
        return self.constant((self.rng.standard_normal(shape) / math.sqrt(shape[0])).astype(np.float32))

    def linear(self, x: str, width: int, out: int) -> str:
        return self.op("Add", self.op("MatMul", x, self.random(width, out)), self.random(out))

    def norm(self, x: str) -> str:
        hidden = self.sizes.hidden
        scale, bias = self.constant(np.ones(hidden, np.float32)), self.constant(np.zeros(hidden, np.float32))
        return self.op("LayerNormalization", x, scale, bias, axis=-1)

    def heads(self, x: str) -> str:
        sizes = self.sizes
        shape = self.constant(np.array([0, 0, sizes.heads, sizes.hidden // sizes.heads], np.int64))
        return self.op("Transpose", self.op("Reshape", x, shape), perm=[0, 2, 1, 3])

    def layer(self, x: str, away: str | None) -> str:
        sizes = self.sizes
        hidden, width = sizes.hidden, sizes.hidden // sizes.heads
        query, key, content = (self.heads(self.linear(x, hidden, hidden)) for _ in range(3))
        scores = self.op("MatMul", query, self.op("Transpose", key, perm=[0, 1, 3, 2]))
        scores = self.op("Div", scores, self.constant(np.float32(math.sqrt(width))))
        if away is not None:
            scores = self.op("Add", scores, away)
        mixed = self.op("MatMul", self.op("Softmax", scores, axis=-1), content)
        flat = self.constant(np.array([0, 0, hidden], np.int64))
        mixed = self.op("Reshape", self.op("Transpose", mixed, perm=[0, 2, 1, 3]), flat)
        x = self.norm(self.op("Add", x, self.linear(mixed, hidden, hidden)))
        inner = self.linear(x, hidden, 4 * hidden)
        erf = self.op("Erf", self.op("Div", inner, self.constant(np.float32(math.sqrt(2)))))
        half = self.op("Mul", inner, self.constant(np.float32(0.5)))
        gelu = self.op("Mul", half, self.op("Add", erf, self.constant(np.float32(1))))
        return self.norm(self.op("Add", x, self.linear(gelu, 4 * hidden, hidden)))

    def model(self, masked: bool) -> onnx.ModelProto:
        sizes = self.sizes
        words = self.op("Gather", self.random(sizes.vocabulary, sizes.hidden), "input_ids")
        length = self.op("Gather", self.op("Shape", "input_ids"), self.constant(np.array([1], np.int64)))
        zero = self.constant(np.array([0], np.int64))
        places = self.op("Slice", self.random(sizes.positions, sizes.hidden), zero, length, zero)
        x = self.norm(self.op("Add", words, places))
        mask = self.op("Cast", "attention_mask", to=TensorProto.FLOAT)
        away = None
        if masked:
            missing = self.op("Sub", self.constant(np.float32(1)), mask)
            rows = self.op("Unsqueeze", missing, self.constant(np.array([1, 2], np.int64)))
            away = self.op("Mul", rows, self.constant(np.float32(-1e9)))
        for _ in range(sizes.layers):
            x = self.layer(x, away)
        self.nodes.append(helper.make_node("Identity", [x], ["tokens"]))
        one = self.constant(np.array([1], np.int64))
        weight = self.op("Unsqueeze", mask, self.constant(np.array([2], np.int64)))
        total = self.op("ReduceSum", self.op("Mul", x, weight), one, keepdims=0)
        count = self.op("ReduceSum", weight, one, keepdims=0)
        self.nodes.append(helper.make_node("Div", [total, count], ["sentence"]))
        names = ("input_ids", "attention_mask")
        inputs = [value(name, ["batch", "sequence"], TensorProto.INT64) for name in names]
        outputs = [value("tokens", ["batch", "sequence", sizes.hidden]), value("sentence", ["batch", sizes.hidden])]
        return build(self.nodes, inputs, outputs, weights=self.weights)
