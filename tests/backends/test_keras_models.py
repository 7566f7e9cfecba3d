"""Keras models: what they tell, what they bring that is no model, and bad files."""

from __future__ import annotations

import hashlib
import io
import json
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow_models as made
from live_models import loaded
from tensorflow_models import X, asked, opened

from foretell.backends import open_model
from foretell.backends.artefact_bytes import digest_of
from foretell.backends.keras.model import import_keras
from foretell.columns import Batch, Bytes, Dense
from foretell.config import ModelSettings
from foretell.errors import InvalidModel, InvalidSetting, ModelError, Unavailable, UnsafeModel
from foretell.model import Context
from foretell.types import DataType, TensorSpec


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
    import h5py  # Keras brings it

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


def test_what_keras_says_of_a_call_that_failed_is_its_reason(tmp_path: Path) -> None:
    keras = import_keras()
    words = keras.Sequential([keras.Input((None,), dtype="int32", name="ids"), keras.layers.Embedding(9, 2)])
    model = loaded(made.keras_file(words, tmp_path))
    with pytest.raises(ModelError, match=r"Keras failed: InvalidArgumentError: indices\[0,0\] = 99 is not in"):
        asked(model, ids=np.full((1, 2), 99, np.int32))
