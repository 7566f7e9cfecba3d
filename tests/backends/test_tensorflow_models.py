"""SavedModels: what they tell, what they bring that is no model, and bad files."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow_models as made
from live_models import loaded
from tensorflow_models import X, asked, opened

from foretell.backends.artefact_bytes import digest_of
from foretell.columns import Batch, Bytes
from foretell.errors import InferenceError, InvalidModel, Unavailable, UnsafeModel
from foretell.forms.values import to_python
from foretell.model import Context
from foretell.types import DataType, TensorSpec

LINEAR = made.function(lambda tf: lambda w, x: {"y": x @ w}, ("x", [None, 4], "float32"))


@pytest.fixture
def linear(tmp_path: Path) -> Path:
    return Path(shutil.copytree(made.saved_model("linear", LINEAR), tmp_path / "linear"))


def test_strings_are_bytes_whatever_they_hold() -> None:
    length = made.function(lambda tf: lambda w, data: {"length": tf.strings.length(data)}, ("data", [None], "string"))
    model = loaded(made.saved_model("bytes", length))
    found = model.predict(Batch({"data": Bytes.of([b"\x89PNG\xff", "Käse"])}, 2), Context())
    assert to_python(found.columns["length"]) == [5, 5]


def test_weights_that_nothing_fills_are_found_when_it_is_loaded(linear: Path) -> None:
    from tensorflow.core.protobuf import saved_model_pb2

    model = saved_model_pb2.SavedModel.FromString((linear / "saved_model.pb").read_bytes())
    model.meta_graphs[0].ClearField("saver_def")
    (linear / "saved_model.pb").write_bytes(model.SerializeToString())
    with pytest.raises(InvalidModel, match="does not fill the weights"):
        loaded(linear)


def test_a_folder_tells_its_signature(linear: Path) -> None:
    found = opened(linear, threads=2)
    found.model.load("cpu")
    spec = found.model.spec
    assert (found.name, found.framework, found.digest) == ("linear", "tensorflow", digest_of(linear))
    assert spec.inputs == (TensorSpec("x", DataType.FP32, (4,)),)
    assert spec.outputs == (TensorSpec("y", DataType.FP32, (3,)),)
    assert (spec.batch, spec.row_wise, spec.concurrent, spec.deterministic) == ("any", True, True, True)
    assert found.model.variant()["tensorflow"].startswith("2.")
    found.model.close()


def test_the_only_other_signature_is_taken_and_none_of_two() -> None:
    other = made.function(lambda tf: lambda w, x: {"y": x @ w}, ("x", [None, 4], "float32"), signature="other")
    np.testing.assert_allclose(asked(loaded(made.saved_model("other", other)), x=X)["y"], X @ made.WEIGHTS)

    def two(tensorflow: Any) -> Any:
        module, signatures = other(tensorflow)
        return module, {"a": signatures["other"], "b": signatures["other"]}

    told = "no signature to serve; expected serving_default, or one, got a, b; .*loaded.signatures\\['a'\\]"
    with pytest.raises(InvalidModel, match=told):
        loaded(made.saved_model("two", two))


def test_tables_are_made_and_random_answers_are_known() -> None:
    def table(tensorflow: Any) -> Any:
        module = tensorflow.Module()
        pairs = tensorflow.lookup.KeyValueTensorInitializer(["York", "Bath"], tensorflow.constant([1, 2]))
        module.table = tensorflow.lookup.StaticHashTable(pairs, -1)
        specs = [tensorflow.TensorSpec([None], "string", name="town")]
        module.f = tensorflow.function(lambda town: {"code": module.table.lookup(town)}, input_signature=specs)
        return module, {"serving_default": module.f}

    model = loaded(made.saved_model("table", table))
    found = model.predict(Batch({"town": Bytes.of(["Bath", "Ely", "York"])}, 3), Context())
    assert to_python(found.columns["code"]) == [2, -1, 1]
    noisy = made.function(
        lambda tf: lambda w, x: {"y": x + tf.random.uniform(tf.shape(x))}, ("x", [None, 4], "float32")
    )
    assert not loaded(made.saved_model("noisy", noisy)).spec.deterministic


def reads(path: Path) -> Any:
    return made.function(lambda tf: lambda w, x: {"y": tf.io.read_file(str(path))}, ("x", [None, 4], "float32"))


def writes(path: Path) -> Any:
    def body(tf: Any) -> Any:
        def compute(w: Any, x: Any) -> Any:
            with tf.control_dependencies([tf.io.write_file(str(path), "planted")]):
                return {"y": tf.identity(x)}

        return compute

    return made.function(body, ("x", [None, 4], "float32"))


def test_operators_that_do_more_than_compute_are_refused(tmp_path: Path) -> None:
    mark = tmp_path / "planted"
    path = made.saved_model("writes", writes(mark))
    with pytest.raises(UnsafeModel, match=r"operators that do more than compute make its answer; got WriteFile"):
        loaded(path)
    with pytest.raises(UnsafeModel, match="ReadFile"):
        loaded(made.saved_model("reads", reads(mark)))
    assert not mark.exists()
    digest = digest_of(path)
    with pytest.raises(UnsafeModel, match="SHA-256"):
        loaded(path, allow_pickle=True, sha256="0" * 64)
    np.testing.assert_array_equal(asked(loaded(path, allow_pickle=True, sha256=digest), x=X)["y"], X)


@pytest.mark.parametrize("kind", ["py_function", "print", "hidden in a branch", "file of words"])
def test_code_prints_and_files_are_refused_wherever_they_hide(kind: str, tmp_path: Path) -> None:
    def body(tf: Any) -> Any:
        def compute(w: Any, x: Any) -> Any:
            if kind == "py_function":
                return {"y": tf.py_function(lambda each: each, [x], "float32")}
            if kind == "print":
                with tf.control_dependencies([tf.print(x, output_stream=f"file://{tmp_path}/planted")]):
                    return {"y": tf.identity(x)}
            read = tf.function(lambda: tf.strings.length(tf.io.read_file("/etc/hostname")))
            return {"y": tf.cond(tf.reduce_sum(x) > 1e9, read, lambda: 0)}

        return compute

    def of_words(tensorflow: Any) -> Any:
        (tmp_path / "words.txt").write_text("York\nBath\n")
        module = tensorflow.Module()
        start = tensorflow.lookup.TextFileInitializer(
            str(tmp_path / "words.txt"), "string", tensorflow.lookup.TextFileIndex.WHOLE_LINE, "int64",
            tensorflow.lookup.TextFileIndex.LINE_NUMBER,
        )  # fmt: skip
        module.table = tensorflow.lookup.StaticHashTable(start, -1)
        specs = [tensorflow.TensorSpec([None], "string", name="town")]
        module.f = tensorflow.function(lambda town: {"code": module.table.lookup(town)}, input_signature=specs)
        return module, {"serving_default": module.f}

    make = of_words if kind == "file of words" else made.function(body, ("x", [None, 4], "float32"))
    with pytest.raises(UnsafeModel, match="operators that do more than compute"):
        loaded(made.saved_model(kind, make))
    assert not (tmp_path / "planted").exists()


@pytest.mark.parametrize("word", ["step", ""])
def test_a_function_that_may_run_instead_of_another_is_looked_at_too(word: str) -> None:
    def make(tensorflow: Any) -> Any:
        def reading(x: Any) -> Any:
            return x + tensorflow.cast(tensorflow.strings.length(tensorflow.io.read_file("/etc/hostname")), "float32")

        same = {"experimental_attributes": {"api_implements": "step"}}
        shown = tensorflow.function(lambda x: x + 1, **same)
        hidden = tensorflow.function(reading, **(same if word else {}))
        module, specs = tensorflow.Module(), [tensorflow.TensorSpec([None, 4], "float32", name="x")]
        module.f = tensorflow.function(lambda x: {"y": shown(x)}, input_signature=specs)
        module.g = tensorflow.function(lambda x: {"y": hidden(x)}, input_signature=specs)
        return module, {"serving_default": module.f, "other": module.g}

    path = made.saved_model(f"twins{word}", make)
    if word:
        with pytest.raises(UnsafeModel, match="ReadFile"):
            loaded(path)
    else:  # another signature is not asked
        np.testing.assert_array_equal(asked(loaded(path), x=X)["y"], X + 1)


def test_half_of_a_saved_model_is_one_sentence(linear: Path) -> None:
    graph, weights = linear / "saved_model.pb", linear / "variables" / "variables.data-00000-of-00001"
    whole = {file: file.read_bytes() for file in (graph, weights)}
    damaged = [whole[graph][:length] for length in (0, 10, len(whole[graph]) // 2, len(whole[graph]) - 1)]
    for file, data in [(graph, each) for each in damaged] + [(weights, whole[weights][:-8]), (weights, b"")]:
        for each, content in whole.items():
            each.write_bytes(content)
        file.write_bytes(data)
        with pytest.raises(InvalidModel) as caught:
            loaded(linear)
        assert "\n" not in str(caught.value)
    weights.unlink()
    with pytest.raises(InvalidModel, match="refuses it"):
        loaded(linear)


def test_a_folder_that_changes_between_opening_and_loading_is_refused(linear: Path) -> None:
    found = opened(linear)
    (linear / "extra").touch()
    with pytest.raises(InvalidModel, match="changed since it was opened"):
        found.model.load("cpu")


def test_a_link_out_of_the_folder_is_refused(linear: Path, tmp_path: Path) -> None:
    (linear / "assets").mkdir(exist_ok=True)
    (tmp_path / "secret").write_text("secret")
    (linear / "assets" / "words").symlink_to(tmp_path / "secret")
    with pytest.raises(InvalidModel, match="leads out of the folder"):
        opened(linear)


def threads_of(path: Path, **settings: Any) -> int:
    """How many threads there are more while the model is loaded."""
    before = len(os.listdir("/proc/self/task"))
    model = loaded(path, **settings)
    asked(model, x=X)
    found = len(os.listdir("/proc/self/task")) - before
    model.close()
    return found


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="threads are counted where Linux lists them")
def test_each_model_has_as_many_threads_as_it_is_told(linear: Path) -> None:
    threads_of(linear, threads=1)  # what TensorFlow starts once
    assert threads_of(linear, threads=7) - threads_of(linear, threads=1) == 6


def test_settings_are_honoured_or_refused(linear: Path) -> None:
    for settings in ({"precision": "fp16"}, {"optimizations": ("fuse",)}, {"compile": True}):
        with pytest.raises(InferenceError, match="TensorFlow"):
            opened(linear, **settings)
    with pytest.raises(Unavailable, match="expected cpu, got cuda"):
        loaded(linear, device="cuda")
