"""SavedModels and Keras models: what they tell, what they bring that is no model, and bad files.

One file for both, because a process of tests imports TensorFlow for seconds.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import tensorflow_models as made
from live_models import loaded

from foretell.backends import Opened, open_model
from foretell.backends.artefact_bytes import digest_of
from foretell.backends.keras.model import import_keras
from foretell.columns import Batch, Bytes, Dense
from foretell.config import ModelSettings
from foretell.errors import InferenceError, InvalidModel, InvalidSetting, Unavailable, UnsafeModel
from foretell.forms.values import to_python
from foretell.model import Context
from foretell.types import DataType, TensorSpec

X = np.arange(12, dtype=np.float32).reshape(3, 4)
LINEAR = made.function(lambda tf: lambda w, x: {"y": x @ w}, ("x", [None, 4], "float32"))


def opened(path: Path, **settings: Any) -> Opened:
    return open_model(path, ModelSettings(**settings))


@pytest.fixture
def linear(tmp_path: Path) -> Path:
    return Path(shutil.copytree(made.saved_model("linear", LINEAR), tmp_path / "linear"))


def asked(model: Any, **columns: Any) -> dict[str, Any]:
    found = model.predict(Batch.of(**columns), Context())
    return {name: np.array(to_python(column)) for name, column in found.columns.items()}


# SavedModels


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

    with pytest.raises(InvalidModel, match="no signature to serve; expected serving_default, or one, got a, b"):
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


# Keras


def test_a_keras_file_answers_as_its_model_does_in_inference(tmp_path: Path) -> None:
    path = made.keras_file(made.classifier(), tmp_path)
    found = opened(path)
    found.model.load("cpu")
    spec = found.model.spec
    assert (found.name, found.framework, found.digest) == ("m", "keras", digest_of(path))
    assert spec.inputs == (TensorSpec("input", DataType.FP32, (4,)),)
    assert spec.outputs == (TensorSpec("output", DataType.FP32, (3,)),) and spec.batch == "any"
    wanted = made.keras_answer(made.classifier(), X)
    np.testing.assert_allclose(asked(found.model, input=X)["output"], wanted, rtol=1e-5)
    assert {"keras", "tensorflow"} <= set(found.model.variant())


def test_inputs_and_outputs_keep_their_names(tmp_path: Path) -> None:
    towns = ["York", "Bath", "Ely"]
    wanted = made.keras_answer(made.mixed(), {"size": X[:, :2], "town": np.array(towns, object)})
    for source in (made.mixed(), made.keras_file(made.mixed(), tmp_path)):
        model = loaded(source)
        assert {(each.name, each.datatype) for each in model.spec.inputs or ()} == {
            ("size", DataType.FP32), ("town", DataType.BYTES),
        }  # fmt: skip
        found = model.predict(Batch({"size": Dense(X[:, :2]), "town": Bytes.of(towns)}, 3), Context())
        for name, each in wanted.items():
            np.testing.assert_allclose(found.dense(name), each, rtol=1e-5, atol=1e-6)


def lambda_file(folder: Path) -> Path:
    keras = import_keras()
    return made.keras_file(keras.Sequential([keras.Input((4,)), keras.layers.Lambda(lambda x: x * 2)]), folder)


def test_a_lambda_is_refused_and_opened_where_it_is_agreed_to(tmp_path: Path) -> None:
    path = lambda_file(tmp_path)
    with pytest.raises(UnsafeModel, match="its Lambda brings code or files of its own"):
        loaded(path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    np.testing.assert_array_equal(asked(loaded(path, allow_pickle=True, sha256=digest), input=X)["output"], X * 2)


def rewritten(path: Path, change: Callable[[Any], Any]) -> None:
    """The same file with another description."""
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(entries["config.json"])
    entries["config.json"] = json.dumps(change(config)).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in entries.items():
            archive.writestr(name, data)


def first_layer(**changes: Any) -> Callable[[Any], Any]:
    def change(config: Any) -> Any:
        config["config"]["layers"][1].update(changes)
        return config

    return change


PLANTS = [
    first_layer(module="os", class_name="system", config="touch planted"),
    first_layer(module="subprocess", class_name="Popen", registered_name=None),
    first_layer(module="keras.src.utils.file_utils", class_name="get_file", config={"origin": "file:///etc/passwd"}),
    first_layer(module="keras.utils", class_name="get_file"),
    first_layer(module="builtins", class_name="eval"),
    first_layer(module="builtins", class_name="function", config="exec", registered_name="exec_"),
    first_layer(module="mine", class_name="Own", registered_name="mine>Own"),
    first_layer(class_name="TFSMLayer", config={"filepath": "/tmp"}),
    first_layer(class_name="TorchModuleWrapper", config={"module": "gASV"}),
    first_layer(class_name="StringLookup", config={"vocabulary": "/etc/passwd"}),
    first_layer(config={"units": 2, "activation": {"class_name": "__lambda__", "config": {"value": "4wEA"}}}),
    first_layer(module="keras.layers", class_name="x.y"),
]


@pytest.mark.parametrize("plant", PLANTS)
def test_names_of_other_code_are_never_looked_up(plant: Callable[[Any], Any], tmp_path: Path) -> None:
    path = made.keras_file(made.classifier(), tmp_path)
    rewritten(path, plant)
    with pytest.raises(UnsafeModel) as caught:
        loaded(path)
    assert "\n" not in str(caught.value)


def entry(name: str) -> Callable[[Path], None]:
    def add(path: Path) -> None:
        with warnings.catch_warnings(), zipfile.ZipFile(path, "a") as archive:
            warnings.simplefilter("ignore")
            archive.writestr(name, b"x")

    return add


@pytest.mark.parametrize("name", ["/etc/planted", "../planted", "assets/../../planted", "c:\\planted", "config.json"])
def test_entries_that_point_out_or_stand_twice_are_refused(name: str, tmp_path: Path) -> None:
    path = made.keras_file(made.classifier(), tmp_path)
    entry(name)(path)
    with pytest.raises(UnsafeModel):
        loaded(path)


def test_weights_that_lie_elsewhere_are_refused(tmp_path: Path) -> None:
    path = made.keras_file(made.classifier(), tmp_path)
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    with h5py.File(tmp_path / "outside.h5", "w") as outside:
        outside["secret"] = np.ones(4)
    for link in (h5py.ExternalLink(str(tmp_path / "outside.h5"), "/secret"), h5py.SoftLink("/layers")):
        weights = io.BytesIO(entries["model.weights.h5"])
        with h5py.File(weights, "a") as file:
            file["planted"] = link
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in {**entries, "model.weights.h5": weights.getvalue()}.items():
                archive.writestr(name, data)
        with pytest.raises(UnsafeModel, match="lead to another place"):
            loaded(path)


def test_what_unpacks_to_too_much_is_refused(tmp_path: Path) -> None:
    path = made.keras_file(made.classifier(), tmp_path)
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("assets/bomb", b"\0" * 100_000_000)
    with pytest.raises(UnsafeModel, match="unpacks to too much"):
        loaded(path)


def halves(data: bytes) -> Iterator[bytes]:
    yield from (data[: len(data) * part // 7] for part in range(7))
    at = data.rindex(b"\x89HDF")
    yield data[: at + 600] + b"\xff" * 64 + data[at + 664 :]


def test_half_of_a_keras_file_is_one_sentence(tmp_path: Path) -> None:
    path = made.keras_file(made.classifier(), tmp_path)
    for data in halves(path.read_bytes()):
        path.write_bytes(data)
        with pytest.raises(InvalidModel) as caught:
            loaded(path)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("change", [lambda _: {}, lambda _: [], lambda c: {**c, "config": {"layers": 3}}])
def test_a_description_of_something_else_is_one_sentence(change: Callable[[Any], Any], tmp_path: Path) -> None:
    path = made.keras_file(made.classifier(), tmp_path)
    rewritten(path, change)
    with pytest.raises(InvalidModel, match=r"m\.keras") as caught:
        loaded(path)
    assert "\n" not in str(caught.value)


def test_what_is_no_model_or_not_built_is_refused() -> None:
    keras = import_keras()
    with pytest.raises(InvalidModel, match=r"no model of Keras; expected a keras\.Model, got Dense"):
        open_model(keras.layers.Dense(3), ModelSettings())
    with pytest.raises(InvalidModel, match="nobody has told the model its inputs"):
        loaded(keras.Sequential([keras.layers.Dense(3)]))


def test_keras_settings_are_honoured_or_refused(tmp_path: Path) -> None:
    path = made.keras_file(made.classifier(), tmp_path)
    with pytest.raises(InvalidSetting, match="Keras decides about its threads itself"):
        opened(path, threads=2)
    with pytest.raises(Unavailable, match="expected cpu, got cuda"):
        loaded(path, device="cuda")
    with pytest.raises(UnsafeModel, match="SHA-256"):
        opened(path, sha256="0" * 64)
    path.rename(tmp_path / "m.h5")
    with pytest.raises(InvalidModel, match=r"load it in Keras and save it as NAME\.keras"):
        opened(tmp_path / "m.h5")


def test_a_class_that_was_called_once_has_told_its_inputs(tmp_path: Path) -> None:
    keras = import_keras()

    class Both(keras.Model):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__(dtype="mixed_bfloat16")
            self.layer = keras.layers.Dense(3, dtype="mixed_bfloat16")

        def call(self, given: Any, training: bool = False) -> Any:
            return {"sum": self.layer(given["a"]), "last": given["b"][:, -1]}

    live = Both()
    with pytest.raises(InvalidModel, match="call it once"):
        loaded(live)
    wanted = live({"a": X, "b": X})
    model = loaded(live)
    assert [(each.name, each.datatype, each.shape) for each in model.spec.inputs or ()] == [
        ("a", DataType.FP32, (4,)), ("b", DataType.FP32, (4,)),
    ]  # fmt: skip
    found = asked(model, a=X, b=X)
    np.testing.assert_array_equal(found["sum"], wanted["sum"].numpy().astype(np.float32))
    with pytest.raises(UnsafeModel, match=r"code of others.*Both"):
        loaded(made.keras_file(live, tmp_path))
