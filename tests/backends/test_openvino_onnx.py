"""ONNX files on OpenVINO: the same answers and the same description as ONNX Runtime gives."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper
from onnx_build import build, iris_onnx, one_node, save, value

from foretell import Predictor
from foretell.backends import open_model
from foretell.backends.cpu import cpu_precisions
from foretell.backends.openvino import runtime
from foretell.columns import Batch
from foretell.config import ModelSettings
from foretell.errors import InvalidInput, InvalidModel, InvalidSetting, Unavailable, UnsafeModel
from foretell.model import Context
from foretell.types import DataType, ModelSpec

RNG = np.random.default_rng(3)


def network(**options: object) -> onnx.ModelProto:
    """logits = relu(x @ a) @ b"""
    weights = {"a": RNG.normal(size=(8, 16)).astype(np.float32), "b": RNG.normal(size=(16, 3)).astype(np.float32)}
    nodes = [
        helper.make_node("MatMul", ["x", "a"], ["inner"]),
        helper.make_node("Relu", ["inner"], ["active"]),
        helper.make_node("MatMul", ["active", "b"], ["logits"]),
    ]
    metadata = {"classes": '["cat", "dog", "owl"]'}
    return build(nodes, [value("x", ["N", 8])], [value("logits", ["N", 3])], weights=weights, metadata=metadata)


def pairs() -> onnx.ModelProto:
    nodes = [helper.make_node("Add", ["a", "b"], ["y"])]
    return build(nodes, [value("a", ["N", "L"]), value("b", ["N", "L"])], [value("y", ["N", "L"])])


def mean() -> onnx.ModelProto:
    return one_node("ReduceMean", ["N", 2], [1, 1], keepdims=1)


def handed_on() -> onnx.ModelProto:
    return one_node("Dropout", ["N", 2], ["N", 2])


def spec_of(path: Path, runtime: str) -> ModelSpec:
    with Predictor(path, runtime=runtime, threads=1) as predictor:
        return predictor.spec


@pytest.mark.parametrize("make", [network, pairs, mean, handed_on])
def test_both_runtimes_describe_a_file_alike(tmp_path: Path, make: object) -> None:
    path = save(make(), tmp_path)  # type: ignore[operator]
    assert spec_of(path, "openvino") == spec_of(path, "onnxruntime")


def test_both_runtimes_answer_alike(tmp_path: Path) -> None:
    path, rows = save(network(), tmp_path), RNG.normal(size=(50, 8)).astype(np.float32)
    with Predictor(path) as first, Predictor(path, runtime="openvino") as second:
        one, other = first.predict(rows)["logits"], second.predict(rows)["logits"]
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)
        assert first.spec.labels == second.spec.labels == {"logits": ("cat", "dog", "owl")}
        assert first.identity.artefact_digest == second.identity.artefact_digest
        assert first.identity.variant_digest != second.identity.variant_digest


def test_fp32_is_not_bf16_whatever_the_processor_has(tmp_path: Path) -> None:
    weights = {"w": np.full((64, 1), 1.001, np.float32)}
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    path = save(build([node], [value("x", ["N", 64])], [value("y", ["N", 1])], weights=weights), tmp_path)
    for precision in (None, "fp32"):
        with Predictor(path, runtime="openvino", precision=precision) as predictor:
            answer = predictor.predict(np.full((1, 64), 1.003, np.float32))["y"]
            np.testing.assert_allclose(answer, 64 * 1.001 * 1.003, rtol=1e-6)


@pytest.mark.parametrize("precision", ["bf16", "fp16", "FP16"])
def test_a_precision_of_16_bits_is_openvinos_or_unavailable(tmp_path: Path, precision: str) -> None:
    path, rows = save(network(), tmp_path), RNG.normal(size=(50, 8)).astype(np.float32)
    if precision.lower() not in cpu_precisions():
        with pytest.raises(Unavailable, match=f"does not compute in {precision.lower()}"):
            open_model(path, ModelSettings(precision=precision))
        return
    with Predictor(path) as plain, Predictor(path, precision=precision) as fast:
        assert fast.engine.model.variant()["precision"] == precision.lower()
        assert fast.engine.model.variant()["runtime"] == "openvino"
        np.testing.assert_allclose(plain.predict(rows)["logits"], fast.predict(rows)["logits"], rtol=0.1, atol=0.1)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_a_precision_that_openvino_takes_another_for_is_refused(tmp_path: Path, precision: str) -> None:
    if precision.upper() in runtime.openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        pytest.skip("OpenVINO has it here")
    graph = runtime.read_graph(save(network(), tmp_path), "onnx")
    ports = ([("x", DataType.FP32)], [("logits", DataType.FP32)])
    with pytest.raises(Unavailable, match=f"OpenVINO does not compute in {precision} on this processor"):
        runtime.calls_of(graph, ModelSettings(threads=1), precision, ports, "it", again=False)


def test_whole_numbers_that_openvino_would_cut_harm_only_their_row(tmp_path: Path) -> None:
    path = save(one_node("Neg", ["N", 2], ["N", 2], TensorProto.INT64), tmp_path)
    found = open_model(path, ModelSettings(runtime="openvino", threads=1))
    found.model.load("cpu")
    try:
        batch = Batch.of(x=np.array([[1, 2], [3, 2**40], [-(2**31), 2**31 - 1]]))
        answer = found.model.predict(batch, Context())
        assert set(answer.errors) == {1}
        assert "32 bits" in answer.errors[1].message
        assert answer.dense("y")[0].tolist() == [-1, -2]
    finally:
        found.model.close()


def test_double_precision_is_not_lowered_without_a_word(tmp_path: Path) -> None:
    path = save(one_node("Neg", ["N", 2], ["N", 2], TensorProto.DOUBLE), tmp_path)
    with pytest.raises(Unavailable, match="fp32"):
        open_model(path, ModelSettings(runtime="openvino"))
    with Predictor(path, runtime="openvino", precision="fp32") as predictor:
        assert predictor.predict(np.array([[0.5, 2.0]]))["y"].tolist() == [[-0.5, -2.0]]


def test_a_graph_that_somebody_quantized_stays_quantized(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["whole"]),
        helper.make_node("DequantizeLinear", ["whole", "scale", "zero"], ["y"]),
    ]
    weights = {"scale": np.float32(0.5), "zero": np.int8(0)}
    path = save(build(nodes, [value("x", ["N", 2])], [value("y", ["N", 2])], weights=weights), tmp_path)
    for precision in (None, "int8"):
        with Predictor(path, runtime="openvino", precision=precision) as predictor:
            assert predictor.engine.model.variant()["precision"] == "int8"
            assert predictor.predict(np.array([[0.6, 1.1]], np.float32))["y"].tolist() == [[0.5, 1.0]]


def test_operators_that_openvino_lacks_are_named(tmp_path: Path) -> None:
    node = helper.make_node("Fancy", ["x"], ["y"], domain="my.domain")
    path = save(build([node], [value("x", ["N", 2])], [value("y", ["N", 2])], domains={"my.domain": 1}), tmp_path)
    found = open_model(path, ModelSettings(runtime="openvino"))
    with pytest.raises(InvalidModel, match=r"my\.domain\.Fancy"):
        found.model.load("cpu")
    found.model.close()


def test_what_is_no_tensor_of_numbers_is_refused(tmp_path: Path) -> None:
    found = open_model(save(iris_onnx(zipmap=True), tmp_path), ModelSettings(runtime="openvino"))
    with pytest.raises(InvalidModel):
        found.model.load("cpu")
    found.model.close()


def test_external_data_outside_the_folder_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    path = folder / "model.onnx"
    onnx.save(network(), path, save_as_external_data=True, location="data.bin", size_threshold=0)
    (folder / "data.bin").rename(tmp_path / "data.bin")
    (folder / "data.bin").symlink_to(tmp_path / "data.bin")
    with pytest.raises(UnsafeModel):
        open_model(path, ModelSettings(runtime="openvino"))


def test_external_data_beside_the_file_is_taken(tmp_path: Path) -> None:
    path, rows = tmp_path / "model.onnx", RNG.normal(size=(5, 8)).astype(np.float32)
    onnx.save(network(), path, save_as_external_data=True, location="data.bin", size_threshold=0)
    with Predictor(path) as first, Predictor(path, runtime="openvino") as second:
        np.testing.assert_allclose(first.predict(rows)["logits"], second.predict(rows)["logits"], rtol=1e-5, atol=1e-5)
        assert first.identity.artefact_digest == second.identity.artefact_digest
        (tmp_path / "data.bin").write_bytes(b"")
        np.testing.assert_allclose(first.predict(rows)["logits"], second.predict(rows)["logits"], rtol=1e-5, atol=1e-5)


def test_sizes_that_share_a_name_and_differ_are_named(tmp_path: Path) -> None:
    path, unlike = save(pairs(), tmp_path), {"a": np.ones((2, 3), np.float32), "b": np.ones((2, 4), np.float32)}
    with Predictor(path, runtime="openvino") as predictor, pytest.raises(InvalidInput, match="'L' differ"):
        predictor.predict(unlike)


_ON_ONE_CORE = """
import os, sys
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
import numpy as np
from foretell import Predictor
from foretell.errors import InvalidInput
for threads in (0, 2):
    with Predictor(sys.argv[1], runtime="openvino", threads=threads) as predictor:
        good = {"a": np.full((2, 4), 7, np.float32), "b": np.ones((2, 4), np.float32)}
        assert (predictor.predict(good)["y"] == 8).all()
        try:
            print("answered", predictor.predict({**good, "a": np.ones((2, 3), np.float32)}))
        except InvalidInput as error:
            assert "'L' differ" in str(error)
        assert (predictor.predict(good)["y"] == 8).all()
"""


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="a process cannot be kept on one core here")
def test_on_one_core_nothing_that_fails_is_answered_with_what_another_caller_got(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _ON_ONE_CORE, str(save(pairs(), tmp_path))]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_runtime_that_does_not_exist_gets_the_nearest_name(tmp_path: Path) -> None:
    path = save(network(), tmp_path)
    with pytest.raises(InvalidSetting, match="did you mean 'openvino'"):
        open_model(path, ModelSettings(runtime="openvin"))
    with pytest.raises(Unavailable, match="GPU"):
        open_model(path, ModelSettings(runtime="tensorrt"))
    if "TensorrtExecutionProvider" not in onnxruntime.get_available_providers():
        with pytest.raises(Unavailable):
            open_model(path, ModelSettings(runtime="tensorrt", device="cuda"))


def test_precisions_are_offered_by_who_has_them(tmp_path: Path) -> None:
    path = save(network(), tmp_path)
    with pytest.raises(Unavailable, match="another precision") as alone:
        open_model(path, ModelSettings(precision="fp16", runtime="onnxruntime"))
    assert "bf16" not in str(alone.value)  # which would be OpenVINO's
    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        for precision in ("bf16", "fp16"):  # OpenVINO has processors alone
            with pytest.raises(Unavailable, match="install onnxruntime-gpu"):
                open_model(path, ModelSettings(precision=precision, device="cuda"))


@pytest.mark.parametrize(
    ("runtime", "provider"), [("onnxruntime", "CUDAExecutionProvider"), ("tensorrt", "TensorrtExecutionProvider")]
)
def test_the_same_answers_on_a_gpu(tmp_path: Path, runtime: str, provider: str) -> None:
    if provider not in onnxruntime.get_available_providers():
        pytest.skip(f"this ONNX Runtime has no {provider}")
    path, rows = save(network(), tmp_path), RNG.normal(size=(50, 8)).astype(np.float32)
    with Predictor(path) as here:
        wanted = here.predict(rows)["logits"]
    try:
        there = Predictor(path, runtime=runtime, device="cuda")
    except Unavailable as why:
        pytest.skip(str(why))
    with there:
        for count in (50, 1, 17):
            np.testing.assert_allclose(there.predict(rows[:count])["logits"], wanted[:count], rtol=1e-5, atol=1e-5)


def test_a_row_gets_the_same_bits_beside_any_others(tmp_path: Path) -> None:
    path, rows = save(network(), tmp_path), RNG.normal(size=(64, 8)).astype(np.float32)
    with Predictor(path, runtime="openvino") as predictor:
        whole = predictor.predict(rows)["logits"]
        for size in (1, 2, 7, 32):
            parts = [predictor.predict(rows[at : at + size])["logits"] for at in range(0, len(rows), size)]
            np.testing.assert_allclose(np.concatenate(parts), whole, rtol=1e-6, atol=1e-6)
