"""MiniLM of six layers (Wang and others 2020): a BERT encoder and a mean over its tokens, in plain operators."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

_LAYERS, _HEADS, _WIDTH = 6, 12, 384
_EPSILON = 1e-12
_OPSET, _IR = 20, 9


def save(path: Path, weights: Mapping[str, np.ndarray]) -> Path:
    """`input_ids` and `attention_mask` INT64 [N, L] -> `embedding` FP32 [N, 384], of length 1.

    `weights`: those of sentence-transformers/all-MiniLM-L6-v2, under their own names.
    """
    graph = _Graph(weights)
    hidden, mask = _embedded(graph), _mask(graph)
    for layer in range(_LAYERS):
        hidden = _layer(graph, f"encoder.layer.{layer}", hidden, mask)
    _pooled(graph, hidden)
    tokens = ["N", "L"]
    made = helper.make_graph(
        graph.nodes, "minilm",
        [helper.make_tensor_value_info(name, TensorProto.INT64, tokens) for name in ("input_ids", "attention_mask")],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["N", _WIDTH])],
        [numpy_helper.from_array(np.ascontiguousarray(value), name) for name, value in graph.constants.items()],
    )  # fmt: skip
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR)
    onnx.checker.check_model(model)
    onnx.save(model, path)
    return path


class _Graph:
    def __init__(self, weights: Mapping[str, np.ndarray]) -> None:
        self.weights = weights
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, np.ndarray] = {}

    def add(self, kind: str, *inputs: str, **options: Any) -> str:
        output = options.pop("output", f"{kind.lower()}{len(self.nodes)}")
        self.nodes.append(helper.make_node(kind, list(inputs), [output], **options))
        return str(output)

    def constant(self, name: str, value: Any) -> str:
        self.constants[name] = np.asarray(value)
        return name

    def dense(self, name: str, value: str) -> str:
        """Its weights stand with a row for each output."""
        matrix = self.constant(f"{name}.matrix", self.weights[f"{name}.weight"].T)
        bias = self.constant(f"{name}.bias", self.weights[f"{name}.bias"])
        return self.add("Add", self.add("MatMul", value, matrix), bias)

    def norm(self, name: str, value: str) -> str:
        scale = self.constant(f"{name}.weight", self.weights[f"{name}.weight"])
        bias = self.constant(f"{name}.bias", self.weights[f"{name}.bias"])
        return self.add("LayerNormalization", value, scale, bias, axis=-1, epsilon=_EPSILON)


def _embedded(graph: _Graph) -> str:
    words = graph.constant("words", graph.weights["embeddings.word_embeddings.weight"])
    places = graph.weights["embeddings.position_embeddings.weight"]
    kinds = graph.weights["embeddings.token_type_embeddings.weight"]
    places_and_kind = graph.constant("places", places + kinds[0])
    one, zero, two = (graph.constant(name, [value]) for name, value in (("one", 1), ("zero", 0), ("two", 2)))
    length = graph.add("Slice", graph.add("Shape", "input_ids"), one, two)
    places_here = graph.add("Slice", places_and_kind, zero, length, zero)
    total = graph.add("Add", graph.add("Gather", words, "input_ids"), places_here)
    return graph.norm("embeddings.LayerNorm", total)


def _mask(graph: _Graph) -> str:
    """Nothing to add where there is a token, and a great deal to take away where there is padding: [N, 1, 1, L]."""
    axes = graph.constant("middle", [1, 2])
    kept = graph.add("Cast", graph.add("Unsqueeze", "attention_mask", axes), to=TensorProto.FLOAT)
    missing = graph.add("Sub", kept, graph.constant("all", np.float32(1)))
    return graph.add("Mul", missing, graph.constant("away", np.float32(1e9)))


def _layer(graph: _Graph, name: str, hidden: str, mask: str) -> str:
    attended = graph.dense(f"{name}.attention.output.dense", _attention(graph, f"{name}.attention.self", hidden, mask))
    hidden = graph.norm(f"{name}.attention.output.LayerNorm", graph.add("Add", attended, hidden))
    inner = graph.add("Gelu", graph.dense(f"{name}.intermediate.dense", hidden))
    return graph.norm(
        f"{name}.output.LayerNorm", graph.add("Add", graph.dense(f"{name}.output.dense", inner), hidden)
    )  # fmt: skip


def _attention(graph: _Graph, name: str, hidden: str, mask: str) -> str:
    split = graph.constant("split", [0, 0, _HEADS, _WIDTH // _HEADS])
    joined = graph.constant("joined", [0, 0, _WIDTH])
    scale = graph.constant("scale", np.float32((_WIDTH // _HEADS) ** -0.5))

    def heads(which: str, order: tuple[int, ...]) -> str:
        apart = graph.add("Reshape", graph.dense(f"{name}.{which}", hidden), split)
        return graph.add("Transpose", apart, perm=list(order))

    scores = graph.add("MatMul", heads("query", (0, 2, 1, 3)), heads("key", (0, 2, 3, 1)))
    shares = graph.add("Softmax", graph.add("Add", graph.add("Mul", scores, scale), mask), axis=-1)
    mixed = graph.add("MatMul", shares, heads("value", (0, 2, 1, 3)))
    return graph.add("Reshape", graph.add("Transpose", mixed, perm=[0, 2, 1, 3]), joined)


def _pooled(graph: _Graph, hidden: str) -> None:
    last, tokens = graph.constant("last", [-1]), graph.constant("tokens", [1])
    kept = graph.add("Cast", graph.add("Unsqueeze", "attention_mask", last), to=TensorProto.FLOAT)
    total = graph.add("ReduceSum", graph.add("Mul", hidden, kept), tokens, keepdims=0)
    mean = graph.add("Div", total, graph.add("ReduceSum", kept, tokens, keepdims=0))
    graph.add("LpNormalization", mean, axis=1, p=2, output="embedding")
