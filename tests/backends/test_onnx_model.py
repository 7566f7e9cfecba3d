"""Settings, lifecycle and errors of models on ONNX Runtime."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper
from onnx_build import build, identity, iris, one_node, save, value

from foretell.backends.onnx.opening import open_onnx
from foretell.backends.onnx.session import run_of
from foretell.columns import Batch, Bytes, Dense, Ragged
from foretell.config import ModelSettings
from foretell.errors import (
    Cancelled,
    InferenceError,
    InvalidInput,
    InvalidModel,
    InvalidSetting,
    ModelError,
    NotReady,
    Unavailable,
    UnsafeModel,
)
from foretell.model import Context
from foretell.types import DataType, TensorSpec


def floats(*shape: int) -> np.ndarray:
    return np.random.default_rng(1).normal(size=shape).astype(np.float32)


def test_what_opening_tells(tmp_path: Path) -> None:
    path = save(identity(["N", 2]), tmp_path, "small.onnx")
    opened = open_onnx(path, ModelSettings())
    assert opened.name == "small"
    assert opened.digest == "sha256:" + hashlib.sha256(path.read_bytes()).hexdigest()
    assert opened.source == str(path)
    assert opened.framework == "onnx"
    assert opened.size_bytes == path.stat().st_size
    assert opened.passes == ("graph_optimization", "kernel_fusion")


@pytest.mark.parametrize(
    ("asked", "applied"),
    [
        (None, ("graph_optimization", "kernel_fusion")),
        ((), ()),
        (("graph_optimization",), ("graph_optimization",)),
        (("kernel_fusion",), ("graph_optimization", "kernel_fusion")),
        (("kernel_fusion", "graph_optimization"), ("graph_optimization", "kernel_fusion")),
    ],
)
def test_passes_are_applied_and_told(load: Any, tmp_path: Path, asked: Any, applied: tuple[str, ...]) -> None:
    model = load(identity(["N", 2]), optimizations=asked)
    assert model.variant()["passes"] == ",".join(applied)
    assert open_onnx(tmp_path / "model.onnx", ModelSettings(optimizations=asked)).passes == applied


def test_passes_reach_the_runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    session = onnxruntime.InferenceSession

    def spying(path: str, options: Any, **rest: Any) -> Any:
        seen.append(options)
        return session(path, options, **rest)

    monkeypatch.setattr(onnxruntime, "InferenceSession", spying)
    path = save(identity(["N", 2]), tmp_path)
    for asked in (None, (), ("graph_optimization",)):
        model = open_onnx(path, ModelSettings(optimizations=asked, threads=3)).model
        model.load("cpu")
        model.close()
    model = open_onnx(path, ModelSettings()).model
    model.load("cpu")
    model.close()
    level = onnxruntime.GraphOptimizationLevel
    levels = [options.graph_optimization_level for options in seen[:3]]
    assert levels == [level.ORT_ENABLE_ALL, level.ORT_DISABLE_ALL, level.ORT_ENABLE_BASIC]
    assert [options.intra_op_num_threads for options in seen[:3]] == [3, 3, 3]
    assert seen[3].intra_op_num_threads == len(os.sched_getaffinity(0))
    assert seen[3].get_session_config_entry("session.intra_op.allow_spinning") == "1"
    assert seen[3].get_session_config_entry("session.force_spinning_stop") == "1"


def refused(path: Path, kind: type[InferenceError], match: str, **settings: Any) -> None:
    with pytest.raises(kind, match=match) as caught:
        open_onnx(path, ModelSettings(**settings)).model.load(settings.get("device", "cpu"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "kind", "match"),
    [
        ({"device": "cuda"}, Unavailable, "device 'cuda' is not there; expected cpu"),
        ({"device": "cuda:1"}, Unavailable, "device 'cuda:1' is not there"),
        ({"device": "tpu"}, Unavailable, "device 'tpu' is not there"),
        ({"device": "cpu:1"}, Unavailable, "device 'cpu:1' is not there"),
        ({"precision": "fp64"}, Unavailable, "another precision; expected fp32.*, got fp64"),
        ({"optimizations": ("kernel_fuson",)}, InvalidSetting, "did you mean 'kernel_fusion'"),
        ({"pad": {"z": 0.0}}, InvalidSetting, "pad names the input 'z'"),
        ({"sha256": "0" * 64}, UnsafeModel, "the SHA-256 is not the one given"),
    ],
)
def test_what_is_not_there_is_refused(
    tmp_path: Path, settings: dict[str, Any], kind: type[InferenceError], match: str
) -> None:
    if (
        settings.get("device", "").startswith("cuda")
        and "CUDAExecutionProvider" in onnxruntime.get_available_providers()
    ):
        pytest.skip("this machine has CUDA")
    refused(save(identity(["N", 2]), tmp_path), kind, match, **settings)


def test_the_precision_and_digest_that_the_file_has_are_fine(load: Any, tmp_path: Path) -> None:
    digest = hashlib.sha256(identity(["N", 2]).SerializeToString()).hexdigest()
    assert load(identity(["N", 2]), precision="fp32", sha256=digest).variant()["precision"] == "fp32"
    assert load(identity(["N", 2], TensorProto.FLOAT16), precision="fp16").variant()["precision"] == "fp16"


def test_the_variant_names_what_decides_the_numbers(load: Any) -> None:
    variant = load(identity(["N", "L"]), pad={"x": 1.0}, batch="any").variant()
    assert variant["runtime"] == "onnxruntime"
    assert variant["version"] == onnxruntime.__version__
    assert variant["device"] == "cpu"
    assert variant["pad"] == "x=1.0"
    assert variant["batch"] == "any"
    assert "threads" not in variant


def test_calls_before_load_and_after_close_are_not_ready(tmp_path: Path) -> None:
    model = open_onnx(save(identity(["N", 2]), tmp_path), ModelSettings(threads=1)).model
    batch = Batch.of(x=floats(1, 2))
    with pytest.raises(NotReady, match="model: the model is not loaded"):
        model.predict(batch, Context())
    model.load("cpu")
    model.close()
    with pytest.raises(NotReady, match="model: the model is closed"):
        model.predict(batch, Context())


def test_a_file_that_changed_since_it_was_opened_is_refused(tmp_path: Path) -> None:
    path = save(identity(["N", 2]), tmp_path)
    model = open_onnx(path, ModelSettings()).model
    save(identity(["N", 30]), tmp_path)
    with pytest.raises(InvalidModel, match="changed since it was opened"):
        model.load("cpu")


@pytest.mark.parametrize(
    ("model", "match"),
    [
        (
            identity(["N"], opset=99),
            r"opset 99 of ai\.onnx is newer than ONNX Runtime .*; expected at most \d+, got 99",
        ),
        (identity(["N"], ir_version=99), r"IR version is newer than .*; expected at most \d+, got 99"),
        (
            build(
                [helper.make_node("Foo", ["x"], ["y"], domain="my.domain")],
                [value("x", ["N"])],
                [value("y", ["N"])],
                domains={"my.domain": 3},
            ),
            r"does not know the operator Foo of domain 'my\.domain' \(opset 3\)",
        ),
        (one_node("Foo", ["N"], ["N"]), r"does not know the operator Foo of ONNX \(opset 17\)"),
        (
            one_node("BitShift", ["N"], ["N"], TensorProto.UINT16, direction="LEFT"),
            "refuses the model|cannot compute the operator BitShift",
        ),
        (
            one_node(
                "StringNormalizer", ["N"], ["N"], TensorProto.STRING, case_change_action="LOWER", locale="xx_YY.UTF-8"
            ),
            r"the rules of xx_YY\.UTF-8, which this machine lacks; install that locale",
        ),
        (build([], [value("x", ["N"])], [value("y", ["N"])]), "refuses the model"),
        (one_node("Relu", ["N"], ["N"], TensorProto.STRING), "refuses the model"),
    ],
)
def test_what_the_runtime_does_not_take_is_explained(tmp_path: Path, model: onnx.ModelProto, match: str) -> None:
    path = save(model, tmp_path)
    with pytest.raises(InvalidModel, match=match) as caught:
        open_onnx(path, ModelSettings()).model.load("cpu")
    assert caught.value.__cause__ is not None
    assert "\n" not in str(caught.value)
    assert "onnxruntime_src" not in str(caught.value)


def test_nothing_is_printed_about_a_refused_model(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InvalidModel):
        open_onnx(save(one_node("Foo", ["N"], ["N"]), tmp_path), ModelSettings()).model.load("cpu")
    captured = capfd.readouterr()
    assert captured.out + captured.err == ""


@pytest.mark.parametrize("dims", [["N", 2], [1, 2]])
def test_a_column_that_preprocessing_lost_is_named(load: Any, dims: list[Any]) -> None:
    with pytest.raises(InvalidInput, match="input 'x' is missing"):
        load(identity(dims)).predict(Batch.of(z=floats(1, 2)), Context())


def test_an_index_out_of_range_is_the_callers_fault(load: Any, capfd: pytest.CaptureFixture[str]) -> None:
    node = helper.make_node("Gather", ["table", "x"], ["y"])
    table = {"table": floats(5, 3)}
    model = load(build([node], [value("x", ["N"], TensorProto.INT64)], [value("y", ["N", 3])], weights=table))
    with pytest.raises(InvalidInput, match="idx=9 must be within the inclusive range") as caught:
        model.predict(Batch.of(x=np.array([1, 9])), Context())
    assert caught.value.__cause__ is not None
    captured = capfd.readouterr()
    assert captured.out + captured.err == ""


def test_a_failure_inside_the_graph_is_a_model_error_without_paths(load: Any) -> None:
    node = helper.make_node("Add", ["a", "b"], ["y"])
    model = load(build([node], [value("a", ["N", "L"]), value("b", ["N", "M"])], [value("y", ["N", None])]))
    with pytest.raises(ModelError, match=r"running Add node.* 3 by 4") as caught:
        model.predict(Batch.of(a=floats(2, 4), b=floats(2, 3)), Context())
    assert "onnxruntime_src" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("operator", "one", "other"), [("Add", (2, 3), (2, 4)), ("MatMul", (2, 3), (2, 4))], ids=["Add", "MatMul"]
)
def test_sizes_that_share_a_name_and_differ_are_the_callers_fault(
    load: Any, operator: str, one: Any, other: Any
) -> None:
    node = helper.make_node(operator, ["a", "b"], ["y"])
    model = load(build([node], [value("a", ["N", "M"]), value("b", ["N", "M"])], [value("y", None)]))
    batch = Batch.of(a=np.ones(one, np.float32), b=np.ones(other, np.float32))
    with pytest.raises(InvalidInput) as caught:
        model.predict(
            batch if model.spec.batch else Batch.of(a=batch.dense("a")[None], b=batch.dense("b")[None]), Context()
        )
    assert "the sizes named 'M' differ; expected one size, got 3 in axis 1 of 'a', 4 in axis 1 of 'b'" in str(
        caught.value
    )


def test_an_answer_that_is_not_per_row_is_a_model_error(load: Any) -> None:
    model = load(one_node("ReduceSum", ["N", 3], ["N"], keepdims=1), batch="any")
    with pytest.raises(
        ModelError, match=r"output 'y': not one value for each row .* expected 4 rows, got shape \[1, 1\]"
    ):
        model.predict(Batch.of(x=floats(4, 3)), Context())


def test_classes_that_no_try_could_tell_are_learned_from_the_first_answer(load: Any) -> None:
    """Zeros are out of the range of this model's input, so the call at load fails."""
    nodes = [
        helper.make_node("Sub", ["x", "three"], ["index"]),
        helper.make_node("Gather", ["table", "index"], ["scores"]),
        helper.make_node("ZipMap", ["scores"], ["y"], domain="ai.onnx.ml", classlabels_strings=["no", "yes"]),
    ]
    maps = helper.make_value_info("y", helper.make_sequence_type_proto(_map_type()))
    weights = {"table": np.array([[0.25, 0.75], [0.5, 0.5]], np.float32), "three": np.array(3)}
    rows = value("x", ["N"], TensorProto.INT64)
    model = load(build(nodes, [rows], [maps], weights=weights, domains={"ai.onnx.ml": 1}))
    assert model.spec.outputs == (TensorSpec("y", DataType.FP32, None),)
    assert model.spec.labels is None
    answer = model.predict(Batch.of(x=np.array([4, 3])), Context())
    assert answer.dense("y").tolist() == [[0.5, 0.5], [0.25, 0.75]]
    assert model.spec.outputs == (TensorSpec("y", DataType.FP32, (2,)),)
    assert model.spec.labels == {"y": ("no", "yes")}


def _map_type() -> onnx.TypeProto:
    kind = onnx.TypeProto()
    kind.map_type.key_type = TensorProto.STRING
    kind.map_type.value_type.tensor_type.elem_type = TensorProto.FLOAT
    return kind


def test_rows_of_different_length_need_a_value_that_fills_them(load: Any) -> None:
    ragged = Batch({"x": Ragged(Dense(floats(5)), np.array([0, 2, 5]))}, 2)
    model = load(identity(["N", "L"]))
    with pytest.raises(InvalidInput, match=r"input 'x': rows of different length .* pad x=0"):
        model.predict(ragged, Context())


@pytest.mark.parametrize("dims", [[1, "L"], ["L"]])
def test_rows_that_go_one_by_one_need_no_padding(load: Any, dims: list[Any]) -> None:
    batch = None if len(dims) == 2 else "none"
    model = load(identity(dims), batch=batch)
    answer = model.predict(Batch({"x": Ragged(Dense(floats(5)), np.array([0, 2, 5]))}, 2), Context())
    column = answer.columns["y"]
    assert isinstance(column, Ragged)
    assert column.offsets.tolist() == [0, 2, 5]


def test_ragged_rows_of_one_length_are_a_plain_tensor(load: Any) -> None:
    ragged = Ragged(Dense(floats(8)), np.array([2, 4, 6]))
    answer = load(identity(["N", 2])).predict(Batch({"x": ragged}, 2), Context())
    assert answer.dense("y").tolist() == floats(8)[2:6].reshape(2, 2).tolist()


def test_rows_of_different_shape_inside_are_a_model_error(load: Any) -> None:
    node = helper.make_node("NonZero", ["x"], ["y"])
    model = load(build([node], [value("x", [2, 3])], [value("y", [2, None], TensorProto.INT64)]), batch="none")
    rows = np.zeros((2, 2, 3), np.float32)
    rows[1, 0, 0] = 1
    with pytest.raises(ModelError, match="output 'y': rows of different shapes"):
        model.predict(Batch.of(x=rows), Context())


def test_answers_of_different_length_are_ragged(load: Any) -> None:
    nodes = [helper.make_node("NonZero", ["x"], ["t"]), helper.make_node("Transpose", ["t"], ["y"])]
    model = load(build(nodes, [value("x", [3])], [value("y", [None, 1], TensorProto.INT64)]))
    rows = np.array([[0, 0, 0], [1, 0, 1]], np.float32)
    column = model.predict(Batch.of(x=rows), Context()).columns["y"]
    assert isinstance(column, Ragged) and isinstance(column.values, Dense)
    assert column.offsets.tolist() == [0, 0, 2]
    assert column.values.data.tolist() == [[0], [2]]


def test_a_fixed_batch_pads_its_last_call_and_drops_the_padding(load: Any) -> None:
    data = floats(6, 3)
    answer = load(identity([4, 3])).predict(Batch.of(x=data), Context())
    assert answer.dense("y").tolist() == data.tolist()


def test_a_caller_who_left_ends_a_call_row_by_row(load: Any) -> None:
    model = load(identity([1, 3]))
    asked = iter([False, True])
    with pytest.raises(Cancelled):
        model.predict(Batch.of(x=floats(5, 3)), Context(cancelled=lambda: next(asked)))


def test_strings_that_are_no_text_end_their_rows_only(load: Any) -> None:
    model = load(identity(["N"], TensorProto.STRING))
    answer = model.predict(Batch({"x": Bytes.of([b"\xff", "tea", b"\xfe"])}, 3), Context())
    assert set(answer.errors) == {0, 2}
    column = answer.columns["y"]
    assert isinstance(column, Bytes)
    assert column.items()[1] == b"tea"
    assert "not UTF-8" in answer.errors[0].message
    nothing = model.predict(Batch({"x": Bytes.of([b"\xff"])}, 1), Context())
    assert set(nothing.errors) == {0}


def test_several_outputs_and_types_at_once(load: Any) -> None:
    flowers, names, classifier = iris()
    from skl2onnx import to_onnx

    model = load(to_onnx(classifier, flowers[:1], options={"zipmap": "columns"}))
    answer = model.predict(Batch.of(X=flowers[:4]), Context())
    assert [spec.name for spec in model.spec.outputs] == list(answer.columns)
    labels = answer.columns["output_label"]
    assert isinstance(labels, Bytes)
    assert [item.decode() for item in labels.items()] == names[:4].tolist()


def test_a_runtime_that_keeps_its_session_elsewhere_is_asked_by_its_public_method() -> None:
    class Session:
        def run(self, names: list[str], feeds: dict[str, Any], options: None) -> list[str]:
            return [*names, *feeds]

    assert run_of(Session())(["y"], {"x": 1}, None) == ["y", "x"]
