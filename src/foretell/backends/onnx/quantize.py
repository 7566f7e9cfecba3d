"""Matrix products with constant weights, in whole numbers of 8 bits.

Weights have one scale for each column, activations one for each row of the product, worked out as it is computed. So
a row's numbers depend on that row alone, whatever shares its call: the usual dynamic quantization has one scale for
all rows of a call, and then another answer for a row in other company. It is more exact, too, and no slower.
"""

from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from foretell.columns import Array
from foretell.errors import Unavailable
from foretell.extras import needs

METHOD = "1"
"""Changes whenever the numbers of a quantized model do."""
_LEAST_SIZE, _MOST_INNER = 32, 2**16
_LEAST_OPSET, _AXES_ARE_INPUTS = 11, 18
_HALF, _LARGEST = 128, 127
_MOST_BYTES = 2**31 - 1


def quantized(path: Path) -> bytes:
    """The ONNX file at `path` with its large matrix products in 8 bits. It is not written anywhere.

    External data is read from beside the file: whoever calls has checked where it lies. Raises `Unavailable` where
    there is nothing to quantize or the result is too large for one file, `MissingExtra` without the package onnx.
    """
    with needs("onnx", "optimize", "int8 of a model in float32"):
        import onnx
    model = onnx.load(path)
    opset = next((each.version for each in model.opset_import if each.domain in ("", "ai.onnx")), 0)
    graph = _Graph(onnx, model.graph, opset)
    if opset < _LEAST_OPSET or not graph.rewrite():
        what, expected = "there is nothing in it to quantize", "matrix products with constant weights in fp32"
        raise Unavailable(what, where=str(path), expected=expected, fix="leave it in fp32")
    if all(each.domain != "com.microsoft" for each in model.opset_import):
        model.opset_import.append(onnx.helper.make_opsetid("com.microsoft", 1))
    if model.ByteSize() > _MOST_BYTES:
        raise Unavailable("it is too large to quantize", where=str(path), expected="2 GiB at most, in 8 bits")
    data: bytes = model.SerializeToString()
    return data


class _Graph:
    """Rewrites the nodes of one graph in place, and leaves what is inside of loops and conditions as it is."""

    def __init__(self, onnx: Any, graph: Any, opset: int) -> None:
        self._onnx, self._graph, self._opset = onnx, graph, opset
        inputs = {each.name for each in graph.input}
        self._weights = {each.name: each for each in graph.initializer if each.name not in inputs}
        self._taken = {name for node in graph.node for name in (*_names_in(node), *node.output)} | set(self._weights)
        self._numbers = itertools.count()
        self._nodes: list[Any] = []
        self._made: list[Any] = []
        self._rows: dict[str, tuple[str, str]] = {}
        self._columns: dict[tuple[str, bool], tuple[str, str]] = {}
        self._constants: dict[str, str] = {}

    def rewrite(self) -> bool:
        """Whether there was anything to do."""
        for node in self._graph.node:
            weights = self._product(node)
            if weights is None:
                self._nodes.append(node)
            else:
                self._multiply(node, weights)
        if not self._columns:
            return False
        used = Counter(name for node in self._nodes for name in _names_in(node))
        used.update(each.name for each in self._graph.output)
        kept = [each for each in self._graph.initializer if used[each.name] or each.name not in self._weights]
        for field, values in ((self._graph.node, self._nodes), (self._graph.initializer, [*kept, *self._made])):
            del field[:]
            field.extend(values)
        return True

    def _product(self, node: Any) -> Array | None:
        """The weights [inner, columns] of a product that is worth it, or None."""
        tensor = self._weights.get(node.input[1]) if len(node.input) > 1 else None
        options = {each.name: each for each in node.attribute}
        plain = node.op_type == "MatMul" or (
            node.op_type == "Gemm"
            and not ("transA" in options and options["transA"].i)
            and all(options[name].f == 1 for name in ("alpha", "beta") if name in options)
        )
        if tensor is None or node.domain not in ("", "ai.onnx") or not plain or len(tensor.dims) != 2:
            return None
        if tensor.data_type != self._onnx.TensorProto.FLOAT:
            return None
        turned = "transB" in options and bool(options["transB"].i)
        inner, columns = tensor.dims[::-1] if turned else tensor.dims
        if min(inner, columns) < _LEAST_SIZE or inner > _MOST_INNER:
            return None
        array: Array = self._onnx.numpy_helper.to_array(tensor)
        return array.T if turned else array

    def _multiply(self, node: Any, weights: Array) -> None:
        rows, row_scale = self._rows_of(node.input[0])
        turned = any(each.name == "transB" and each.i for each in node.attribute)
        whole, scale = self._columns_of(node.input[1], weights, turned=turned)
        one, zero = self._scalar("one", np.float32(1)), self._scalar("zero", np.uint8(_HALF))
        has_bias = node.op_type == "Gemm" and len(node.input) > 2 and node.input[2]
        product = self._add("MatMulIntegerToFloat", rows, whole, one, scale, zero, domain="com.microsoft")
        output = node.output[0]
        if has_bias:
            scaled = self._add("Mul", product, row_scale)
            self._add("Add", scaled, node.input[2], output=output)
        else:
            self._add("Mul", product, row_scale, output=output)

    def _rows_of(self, name: str) -> tuple[str, str]:
        """The activations in 8 bits around 128, and the scale of each row: its largest number is 127 away."""
        if name not in self._rows:
            sizes = self._over_rows("ReduceMax", self._add("Abs", name))
            largest = self._add("Max", sizes, self._scalar("tiny", np.float32(1e-30)))
            most = self._scalar("most", np.float32(_LARGEST))
            scaled = self._add("Mul", name, self._add("Div", most, largest))
            # Cutting off what is half a unit higher is rounding.
            shifted = self._add("Add", scaled, self._scalar("half", np.float32(_HALF + 0.5)))
            rows = self._add("Cast", shifted, to=self._onnx.TensorProto.UINT8)
            # The maximum passes over NaN; a mean does not, and tells of one in a row without changing others.
            nothing = self._add("Mul", self._over_rows("ReduceMean", name), self._scalar("none", np.float32(0)))
            self._rows[name] = rows, self._add("Add", self._add("Div", largest, most), nothing)
        return self._rows[name]

    def _over_rows(self, kind: str, name: str) -> str:
        if self._opset >= _AXES_ARE_INPUTS:
            return self._add(kind, name, self._scalar("axes", np.array([-1], np.int64)), keepdims=1)
        return self._add(kind, name, axes=[-1], keepdims=1)

    def _columns_of(self, name: str, weights: Array, *, turned: bool) -> tuple[str, str]:
        key = name, turned
        if key not in self._columns:
            largest = np.abs(weights).max(axis=0)
            scale = np.where(largest > 0, largest / _LARGEST, 1).astype(np.float32)
            whole = np.clip(np.rint(weights / scale), -_LARGEST, _LARGEST).astype(np.int8)
            self._columns[key] = self._constant(np.ascontiguousarray(whole)), self._constant(scale)
        return self._columns[key]

    def _scalar(self, key: str, value: Any) -> str:
        if key not in self._constants:
            self._constants[key] = self._constant(np.asarray(value))
        return self._constants[key]

    def _constant(self, value: Array) -> str:
        name = self._name()
        self._made.append(self._onnx.numpy_helper.from_array(value, name))
        return name

    def _add(self, kind: str, *inputs: str, output: str = "", domain: str = "", **options: Any) -> str:
        output = output or self._name()
        self._nodes.append(self._onnx.helper.make_node(kind, list(inputs), [output], domain=domain, **options))
        return output

    def _name(self) -> str:
        """One that the graph has not."""
        return next(name for at in self._numbers if (name := f"int8.{at}") not in self._taken)


def _names_in(node: Any) -> set[str]:
    """What a node reads, graphs inside of it included."""
    found = set(node.input)
    for attribute in node.attribute:
        for graph in (*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])):
            found.update(name for inner in graph.node for name in _names_in(inner))
            found.update(each.name for each in graph.output)
    return found
