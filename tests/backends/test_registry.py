"""What may stand for a model, and what every other thing is answered with."""

from __future__ import annotations

import hashlib
import io
import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from foretell.backends import Opened, open_model
from foretell.columns import Batch
from foretell.config import ModelSettings
from foretell.errors import InvalidModel, InvalidSetting, UnsafeModel
from foretell.model import Context, Model


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty current directory, whose modules are forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if str(tmp_path) in (getattr(sys.modules[name], "__file__", None) or ""):
            del sys.modules[name]


def opened(source: object, **settings: Any) -> Opened:
    return open_model(source, ModelSettings(**settings))


def refused(source: object, **settings: Any) -> str:
    with pytest.raises(InvalidModel) as caught:
        opened(source, **settings)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def module(folder: Path, text: str) -> str:
    """Writes a module whose name no other test uses."""
    name = f"user_{hashlib.sha256(str(folder).encode()).hexdigest()[:10]}"
    (folder / f"{name}.py").write_text(text)
    return name


# Python references


def test_module_and_name_in_the_current_directory(folder: Path) -> None:
    name = module(folder, "class Doubling:\n    def predict(self, x): return x * 2\n")
    found = opened(f"{name}:Doubling")
    found.model.load("cpu")
    assert found.model.predict(Batch.of(x=np.array([1, 2])), Context()).dense("output").tolist() == [2, 4]
    assert (found.name, found.framework, found.source) == ("Doubling", "python", f"{name}:Doubling")
    assert found.digest.startswith("sha256:") and found.size_bytes


def test_functions_objects_and_nested_names(folder: Path) -> None:
    name = module(
        folder, "class A:\n    class B:\n        def predict(self, x): return x\nb = A.B()\ndef f(x): return x\n"
    )
    for part in ("f", "b", "A.B"):
        assert opened(f"{name}:{part}").framework == "python"


def test_a_file_with_its_neighbours(folder: Path) -> None:
    (folder / "sub").mkdir()
    neighbour = module(folder / "sub", "FACTOR = 3\n")
    (folder / "sub" / "my-model.py").write_text(f"from {neighbour} import FACTOR\ndef f(x): return x * FACTOR\n")
    found = opened("sub/my-model.py:f")
    found.model.load("cpu")
    assert found.model.predict(Batch.of(x=np.array([1])), Context()).dense("output").tolist() == [3]


def test_the_digest_covers_source_and_name(folder: Path) -> None:
    file = folder / "m.py"
    file.write_text("def f(x): return x\ndef g(x): return x\n")
    first = opened("m.py:f").digest
    assert opened("m.py:f").digest == first != opened("m.py:g").digest
    file.write_text("def f(x): return x + 1\n")
    assert opened("m.py:f").digest != first


def test_the_digest_covers_the_module_that_defines_a_passed_on_name(folder: Path) -> None:
    home = module(folder, "def f(x): return x\n")
    (folder / "passing.py").write_text(f"from {home} import f\n")
    first = opened("passing.py:f").digest
    (folder / f"{home}.py").write_text("def f(x): return -x\n")
    assert opened("passing.py:f").digest != first


def test_references_that_lead_nowhere(folder: Path) -> None:
    name = module(folder, "class Sentiment: pass\nvalue = 3\n")
    assert "did you mean 'Sentiment'?" in refused(f"{name}:Sentimnt")
    assert "there is no module 'no_such_module'" in refused("no_such_module:X")
    assert "no method predict" in refused(f"{name}:Sentiment")
    assert "this is no model" in refused(f"{name}:value")
    assert "cannot be read" in refused("nowhere.py:X")


@pytest.mark.parametrize(
    ("text", "reason"),
    [("1 / 0", "ZeroDivisionError"), ("def (", "SyntaxError"), ("import no_such", "No module named 'no_such'"),
     ("raise SystemExit(3)", "SystemExit")],
)  # fmt: skip
def test_modules_that_cannot_be_imported(folder: Path, text: str, reason: str) -> None:
    name = module(folder, text)
    assert reason in refused(f"{name}:X")
    assert reason in refused(f"{name}.py:X")


def test_a_class_that_needs_arguments_is_refused_before_load() -> None:
    class Needy:
        def __init__(self, path: str) -> None: ...

        def predict(self, x: Any) -> Any: ...

    assert "its constructor needs arguments; got path" in refused(Needy)


# Files


def test_a_file_that_changes_again_and_again_leaves_no_modules_behind(folder: Path) -> None:
    def known() -> list[str]:
        return [name for name, one in sys.modules.items() if getattr(one, "__file__", None) == str(folder / "m.py")]

    answers = []
    for number in range(6):
        (folder / "m.py").write_text(f"N = {number}\ndef f(x: float) -> float:\n    return x * N\n")
        answers.append(opened("m.py:f"))
        assert len(known()) == min(number + 1, 2)
    for number, one in enumerate(answers):  # the first still has what it was made of
        one.model.load("cpu")
        (output,) = one.model.predict(Batch.of(x=np.float64([3])), Context()).columns.values()
        assert output.data.tolist() == [3 * number]  # type: ignore[union-attr]
    assert opened("m.py:f").digest == answers[-1].digest


def test_missing_files_name_the_nearest(folder: Path) -> None:
    (folder / "digits.onnx").touch()
    assert "did you mean 'digits.onnx'?" in refused("digit.onnx")
    assert "nor its folder" in refused("nowhere/digits.onnx")


def test_what_is_no_file_says_what_it_is(folder: Path) -> None:
    (folder / "dangling.onnx").symlink_to("nowhere.onnx")
    assert refused("dangling.onnx") == "dangling.onnx: the link leads to no file; got nowhere.onnx"
    os.mkfifo(folder / "pipe.onnx")
    assert refused("pipe.onnx").startswith("pipe.onnx: this is no file; expected a file")


def test_unknown_suffixes_name_the_known_ones(folder: Path) -> None:
    for name, hint in (("m.onx", "did you mean '.onnx'?"), ("m.h5", ".skops"), ("m", "no suffix"), ("m.py", "m.py:")):
        (folder / name).write_text("x")
        assert hint in refused(name), name


@pytest.mark.parametrize("suffix", [".onnx", ".skops"])
@pytest.mark.parametrize(
    ("content", "looks"),
    [(pickle.dumps([1]), "a pickle"), (b"", "an empty file"), (b"hello, this is text", "text"), (b'{"a": 1}', "JSON"),
     (b"<!DOCTYPE html>", "an HTML"), (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer"),
     (b"\x89HDF\r\n\x1a\n", "an HDF5 file")],
)  # fmt: skip
def test_files_that_are_not_what_their_name_says(folder: Path, suffix: str, content: bytes, looks: str) -> None:
    (folder / f"m{suffix}").write_bytes(content)
    assert f"got {looks}" in refused(f"m{suffix}")


def test_a_folder_stands_for_its_only_model(folder: Path) -> None:
    assert "holds no model" in refused(folder)
    (folder / "model.pkl").write_bytes(b"x")
    (folder / "notes.txt").touch()
    with pytest.raises(UnsafeModel, match=r"model\.pkl"):
        opened(folder)
    (folder / "model.skops").touch()
    assert "several models; expected one, got model.pkl, model.skops" in refused(folder)


@pytest.mark.parametrize("source", ["", " ", "a\0b", "x" * 5000, "s3://bucket/m.onnx", "C:", ":"])
def test_strings_that_name_nothing(source: str) -> None:
    assert len(refused(source)) < 600


# Pickles


class Planted:
    """Leaves a mark where it is unpickled."""

    def __reduce__(self) -> Any:
        return (os.mkdir, ("planted",))


@pytest.mark.parametrize("suffix", [".pkl", ".pickle", ".joblib"])
def test_a_pickle_is_never_opened_without_both_agreements(folder: Path, suffix: str) -> None:
    data = pickle.dumps(Planted())
    (folder / f"m{suffix}").write_bytes(data)
    digest = hashlib.sha256(data).hexdigest()
    for settings in ({}, {"allow_pickle": True}, {"sha256": digest}, {"allow_pickle": True, "sha256": "0" * 64}):
        with pytest.raises(UnsafeModel) as caught:
            opened(f"m{suffix}", **settings)
        assert digest not in str(caught.value), "the digest has to come from the author"
    assert not (folder / "planted").exists()


def test_planted_code_in_other_formats_never_runs(folder: Path) -> None:
    for name in ("m.onnx", "m.skops", "m.bin", "model"):
        (folder / name).write_bytes(pickle.dumps(Planted()))
        refused(name)
    assert not (folder / "planted").exists()


def test_an_agreed_pickle_opens(folder: Path) -> None:
    data = pickle.dumps(np.exp)
    (folder / "m.pkl").write_bytes(data)
    found = opened("m.pkl", allow_pickle=True, sha256=f"sha256:{hashlib.sha256(data).hexdigest().upper()}")
    assert (found.name, found.framework, found.size_bytes) == ("m", "python", len(data))
    assert found.digest == f"sha256:{hashlib.sha256(data).hexdigest()}"


def test_an_agreed_pickle_that_is_broken_or_no_model(folder: Path) -> None:
    leaves = b"csys\nexit\n(I0\ntR."
    for data, reason in (
        (b"junk", "cannot be unpickled"),
        (pickle.dumps(7), "this is no model"),
        (pickle.dumps({"model": np.exp}), "it holds more than a model"),
        (leaves, "cannot be unpickled: SystemExit"),
    ):
        (folder / "m.pkl").write_bytes(data)
        assert reason in refused("m.pkl", allow_pickle=True, sha256=hashlib.sha256(data).hexdigest())


# Live objects


class Own(Model):
    def predict(self, batch: Batch, ctx: Context) -> Batch:
        return batch


def test_models_are_taken_as_they_are() -> None:
    model = Own()
    assert opened(model).model is model
    assert opened(model).digest == ""
    assert isinstance(opened(Own).model, Own)


def test_objects_may_give_their_own_model() -> None:
    class Predictor:
        def __foretell_model__(self, settings: ModelSettings) -> Model:
            self.settings = settings
            return own

    own, predictor, settings = Own(), Predictor(), ModelSettings(max_batch_size=7)
    assert open_model(predictor, settings).model is own
    assert predictor.settings is settings


@pytest.mark.parametrize("source", [3, None, {"a": 1}, np.ones(3), sys, object], ids=repr)
def test_what_is_no_model(source: object) -> None:
    assert "expected" in refused(source)


def test_sessions_and_protos_are_sent_to_their_file() -> None:
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [None])
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", [value], [
        helper.make_tensor_value_info("y", TensorProto.FLOAT, [None])
    ])  # fmt: skip
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    buffer = io.BytesIO()
    onnx.save(proto, buffer)
    assert "give the path" in refused(onnxruntime.InferenceSession(buffer.getvalue()))
    assert "give the path" in refused(proto)


def test_a_digest_belongs_to_a_file() -> None:
    with pytest.raises(InvalidSetting, match="sha256 belongs to a file"):
        opened(lambda x: x, sha256="0" * 64)


def test_importing_the_backends_imports_no_framework() -> None:
    frameworks = "{'onnxruntime', 'sklearn', 'skops', 'pandas', 'torch', 'xgboost', 'tensorflow', 'openvino'}"
    code = f"import foretell.backends, sys; print(sorted({frameworks} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
