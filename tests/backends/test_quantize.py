"""Matrix products in 8 bits: near the original, and a row's answer its own."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from onnx_build import build, one_node, save, value

from foretell import Predictor
from foretell.backends import open_model
from foretell.backends.cpu import cpu_precisions, flags_in, precisions_in
from foretell.backends.onnx.quantize import quantized
from foretell.config import ModelSettings
from foretell.errors import InvalidSetting, MissingExtra, Unavailable

needs_int8 = pytest.mark.skipif("int8" not in cpu_precisions(), reason="this processor has no int8")
RNG = np.random.default_rng(5)
A, B = RNG.normal(size=(64, 128)).astype(np.float32), RNG.normal(size=(128, 64)).astype(np.float32)
BIAS = RNG.normal(size=128).astype(np.float32)


def products(opset: int = 17) -> onnx.ModelProto:
    """y = relu(x @ A) @ B"""
    nodes = [
        helper.make_node("MatMul", ["x", "a"], ["inner"]),
        helper.make_node("Relu", ["inner"], ["active"]),
        helper.make_node("MatMul", ["active", "b"], ["y"]),
    ]
    return build(
        nodes, [value("x", ["N", 64])], [value("y", ["N", 64])], weights={"a": A, "b": B}, opset=opset, ir_version=9
    )


def tokens() -> onnx.ModelProto:
    """y = x @ A for each of L tokens"""
    node = helper.make_node("MatMul", ["x", "a"], ["y"])
    return build([node], [value("x", ["N", "L", 64])], [value("y", ["N", "L", 128])], weights={"a": A})


def gemm(*, turned: bool) -> onnx.ModelProto:
    """y = x @ A + BIAS"""
    node = helper.make_node("Gemm", ["x", "a", "bias"], ["y"], transB=int(turned))
    weights = {"a": np.ascontiguousarray(A.T) if turned else A, "bias": BIAS}
    return build([node], [value("x", ["N", 64])], [value("y", ["N", 128])], weights=weights)


def used_twice() -> onnx.ModelProto:
    """y = (x @ A) + the sum of A: the weights are needed as they are, too"""
    nodes = [
        helper.make_node("MatMul", ["x", "a"], ["product"]),
        helper.make_node("ReduceMean", ["a"], ["mean"], axes=[0], keepdims=1),
        helper.make_node("Add", ["product", "mean"], ["y"]),
    ]
    return build(nodes, [value("x", ["N", 64])], [value("y", ["N", 128])], weights={"a": A})


def inside_a_branch() -> onnx.ModelProto:
    """y = x @ A, or where the sum of x is not positive x @ A from inside a branch."""
    inner = helper.make_graph(
        [helper.make_node("MatMul", ["x", "a"], ["other"])], "else", [], [value("other", ["N", 128])]
    )
    outer = helper.make_graph(
        [helper.make_node("Identity", ["product"], ["same"])], "then", [], [value("same", ["N", 128])]
    )
    nodes = [
        helper.make_node("MatMul", ["x", "a"], ["product"]),
        helper.make_node("ReduceSum", ["x"], ["sum"], keepdims=0),
        helper.make_node("Greater", ["sum", "zero"], ["positive"]),
        helper.make_node("If", ["positive"], ["y"], then_branch=outer, else_branch=inner),
    ]
    weights = {"a": A, "zero": np.float32(0)}
    return build(nodes, [value("x", ["N", 64])], [value("y", ["N", 128])], weights=weights)


@needs_int8
@pytest.mark.parametrize(
    "make",
    [products, lambda: products(20), tokens, lambda: gemm(turned=False), lambda: gemm(turned=True), used_twice],
    ids=["products", "newer-opset", "tokens", "gemm", "turned-gemm", "used-twice"],
)
def test_answers_are_near_those_in_fp32(tmp_path: Path, make: Callable[[], onnx.ModelProto]) -> None:
    path = save(make(), tmp_path)
    with Predictor(path) as plain, Predictor(path, precision="int8") as fast:
        assert fast.engine.model.variant()["precision"] == "int8"
        shape = (20, *(5 if size is None else size for size in plain.spec.inputs[0].shape))  # type: ignore[index]
        rows = RNG.normal(size=shape).astype(np.float32)
        one, other = plain.predict(rows)["y"], fast.predict(rows)["y"]
        assert 0 < np.abs(one - other).max() < 0.03 * np.abs(one).max()
        assert fast.spec == plain.spec


@needs_int8
def test_a_row_gets_its_answer_whatever_is_beside_it(tmp_path: Path) -> None:
    rows = RNG.normal(size=(40, 64)).astype(np.float32)
    rows[::2] *= 1000  # one scale for all rows would leave nothing of the small ones
    with Predictor(save(products(), tmp_path), precision="int8") as predictor:
        assert predictor.spec.row_wise
        whole = predictor.predict(rows)["y"]
        for at, row in enumerate(rows):
            np.testing.assert_array_equal(predictor.predict(row[None])["y"][0], whole[at])


@needs_int8
def test_rows_that_are_not_finite_harm_no_other(tmp_path: Path) -> None:
    rows = RNG.normal(size=(6, 64)).astype(np.float32)
    broken = rows.copy()
    broken[1, 3], broken[3, 0], broken[4] = np.nan, np.inf, 0
    with Predictor(save(products(), tmp_path), precision="int8") as predictor:
        clean, found = predictor.predict(rows)["y"], predictor.predict(broken)["y"]
        np.testing.assert_array_equal(found[[0, 2, 5]], clean[[0, 2, 5]])
        assert not np.isfinite(found[1]).any()
        assert (found[4] == 0).all()


def test_weights_that_a_branch_reads_stay(tmp_path: Path) -> None:
    model = onnx.load_model_from_string(quantized(save(inside_a_branch(), tmp_path)))
    assert "a" in {each.name for each in model.graph.initializer}
    onnx.checker.check_model(model)


def test_weights_that_nothing_reads_any_more_go(tmp_path: Path) -> None:
    data = quantized(save(products(), tmp_path))
    assert len(data) < 0.4 * (A.nbytes + B.nbytes)
    assert [each.name for each in tmp_path.iterdir()] == ["model.onnx"]


def test_external_data_is_read_from_beside_the_file(tmp_path: Path) -> None:
    onnx.save(products(), tmp_path / "m.onnx", save_as_external_data=True, location="m.data", size_threshold=0)
    assert quantized(tmp_path / "m.onnx") == quantized(save(products(), tmp_path))


def test_names_that_are_taken_are_not_taken_again(tmp_path: Path) -> None:
    model = products()
    model.graph.node[0].output[0] = model.graph.node[1].input[0] = "int8.3"
    made = onnx.load_model_from_string(quantized(save(model, tmp_path)))
    names = [name for node in made.graph.node for name in node.output]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    "make",
    [
        lambda: one_node("Relu", ["N", 64], ["N", 64]),
        lambda: build(
            [helper.make_node("MatMul", ["x", "w"], ["y"])], [value("x", ["N", 8])], [value("y", ["N", 8])],
            weights={"w": np.eye(8, dtype=np.float32)},
        ),
        lambda: build(
            [helper.make_node("MatMul", ["x", "a"], ["y"])],
            [value("x", ["N", 64]), value("a", [64, 128])], [value("y", ["N", 128])], weights={"a": A},
        ),
    ],
    ids=["no-product", "small", "weights-that-are-inputs"],
)  # fmt: skip
def test_what_has_nothing_to_quantize_says_so(tmp_path: Path, make: Callable[[], onnx.ModelProto]) -> None:
    with pytest.raises(Unavailable, match="nothing in it to quantize"):
        quantized(save(make(), tmp_path))


@needs_int8
def test_int8_is_for_processors_and_files_in_fp32(tmp_path: Path) -> None:
    path = save(products(), tmp_path)
    with pytest.raises(Unavailable):
        open_model(path, ModelSettings(precision="int8", device="cuda"))
    half = one_node("Relu", ["N", 2], ["N", 2], TensorProto.FLOAT16)
    with pytest.raises(Unavailable, match="another precision"):
        open_model(save(half, tmp_path, "half.onnx"), ModelSettings(precision="int8"))
    with pytest.raises(InvalidSetting, match="leave one of them out"):
        open_model(path, ModelSettings(precision="fp32", optimizations=("quantization",)))
    with pytest.raises(Unavailable, match="expected fp32"):
        open_model(path, ModelSettings(precision="fp64"))


@needs_int8
@pytest.mark.parametrize("settings", [{"precision": "int8"}, {"optimizations": ("quantization",)}])
def test_without_the_package_its_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any]
) -> None:
    path = save(products(), tmp_path)
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(MissingExtra, match=r"foretell\[optimize\]"):
        open_model(path, ModelSettings(**settings))


def test_flags_of_processors_are_read() -> None:
    assert flags_in("processor : 0\nflags\t\t: fpu avx512_bf16 amx_int8\n\nflags : other") == {
        "fpu", "avx512_bf16", "amx_int8"
    }  # fmt: skip
    assert flags_in("processor\t: 0\nFeatures\t: fp asimdhp bf16\n") == {"fp", "asimdhp", "bf16"}
    assert flags_in("") == frozenset()


def test_bf16_of_arm_is_none_that_a_runtime_computes_in() -> None:
    assert precisions_in("processor : 0\nFeatures : fp asimd fphp asimdhp asimddp i8mm bf16\n") == {"fp16", "int8"}
    assert precisions_in("processor : 0\nflags : fpu avx512_vnni avx512_bf16 avx512_fp16\n") == {"bf16", "fp16", "int8"}
