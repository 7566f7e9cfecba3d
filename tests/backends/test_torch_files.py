"""PyTorch files as strangers send them: what could run code never does, and half a file says so."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import sys
import warnings
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file, save_model

from foretell import Predictor
from foretell.backends import open_model
from foretell.config import ModelSettings
from foretell.errors import InvalidModel, InvalidSetting, MissingExtra, Unavailable, UnsafeModel

Change = Callable[[dict[str, Any]], None]


class Net(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x).relu()


class Planted:
    """Unpickling it makes a file."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.place,)


@cache
def net() -> Net:
    torch.manual_seed(0)
    return Net().eval()


@cache
def program() -> bytes:
    made = torch.export.export(net(), (torch.zeros(3, 4),), dynamic_shapes={"x": {0: torch.export.Dim("rows")}})
    file = io.BytesIO()
    torch.export.save(made, file)
    return file.getvalue()


def entries() -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(program())) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def written(path: Path, content: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    return path


def changed(path: Path, ending: str, change: Change) -> Path:
    """The program with one of its JSON documents changed."""
    content = entries()
    (name,) = (name for name in content if name.endswith(ending))
    document = json.loads(content[name])
    change(document)
    return written(path, {**content, name: json.dumps(document).encode()})


def refusal(path: Path, kind: type[Exception] = UnsafeModel, **settings: Any) -> str:
    with pytest.raises(kind) as caught:
        open_model(path, ModelSettings(**settings)).model.load("cpu")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def graph(document: dict[str, Any]) -> Any:
    return document["graph_module"]["graph"]


def rename(document: dict[str, Any]) -> None:
    for spec in document["graph_module"]["signature"]["input_specs"]:
        if "parameter" in spec:
            spec["parameter"]["parameter_name"] = 'layer.x"), __import__("os").abort(), ("'


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda d: graph(d)["nodes"][0].update(target="torch.hub.load"), "no operator of a model"),
        (lambda d: graph(d)["nodes"][0].update(target="torch.ops.load_library"), "no operator of a model"),
        (lambda d: graph(d)["nodes"][0].update(target="torch.ops.aten.from_file.default"), "no operator of a model"),
        (lambda d: graph(d)["nodes"][0].update(target="_operator.attrgetter"), "cannot read it"),
        (rename, "a name in it is none"),
        (lambda d: graph(d)["tensor_values"]["x"]["sizes"][0]["as_expr"].update(
            expr_str="__import__('os').abort()"), "more than a number"),
        (lambda d: graph(d)["tensor_values"]["x"]["sizes"][0]["as_expr"].update(
            expr_str="Symbol.__class__"), "more than a number"),
        (lambda d: graph(d)["tensor_values"]["x"]["sizes"][0]["as_expr"].update(
            expr_str="Symbol('__import__(\"os\").abort()')"), "more than a number"),
        (lambda d: graph(d).update(custom_obj_values={"a": {"name": "a", "class_fqn": "b.C"}}), "classes of its own"),
        (lambda d: d["graph_module"]["module_call_graph"][0]["signature"].update(
            in_spec=json.dumps([1, {"type": "os.system", "context": "null", "children_spec": []}])), "a class of"),
    ],
)  # fmt: skip
def test_a_program_that_does_more_than_compute(tmp_path: Path, change: Change, told: str) -> None:
    path = changed(tmp_path / "net.pt2", "models/model.json", change)
    assert told in refusal(path, InvalidModel)


def test_weights_that_are_pickles(tmp_path: Path) -> None:
    def pickled(document: dict[str, Any]) -> None:
        next(iter(document["config"].values()))["use_pickle"] = True

    path = changed(tmp_path / "net.pt2", "model_weights_config.json", pickled)
    assert "it brings a pickle, which can run any code" in refusal(path)


def test_examples_that_run_code_when_they_are_read(tmp_path: Path) -> None:
    place, content, file = tmp_path / "made", entries(), io.BytesIO()
    torch.save((Planted(place),), file)
    (name,) = (name for name in content if name.endswith("sample_inputs/model.pt"))
    path = written(tmp_path / "net.pt2", {**content, name: file.getvalue()})
    assert "a pickle that is more than tensors" in refusal(path)
    assert not place.exists()


def test_native_code_and_places_outside(tmp_path: Path) -> None:
    path = written(tmp_path / "a.pt2", {**entries(), "net/data/aotinductor/model/x.so": b""})
    assert "it brings native code" in refusal(path)
    path = written(tmp_path / "b.pt2", {**entries(), "net/../../x": b""})
    assert "points out of the archive" in refusal(path)


def test_a_pickle_is_refused_and_never_read(tmp_path: Path) -> None:
    place = tmp_path / "made"
    torch.save({"a": Planted(place)}, tmp_path / "net.pt")
    assert "--model-class" in refusal(tmp_path / "net.pt")
    (tmp_path / "old.pt").write_bytes(pickle.dumps(Planted(place)))
    assert "not a PyTorch archive" in refusal(tmp_path / "old.pt", InvalidModel)
    message = refusal(tmp_path / "net.pt", InvalidModel, model_class=f"{__name__}:Net")
    assert "more than weights" in message
    assert not place.exists()


def test_a_script_that_writes_files(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.trace(net(), torch.zeros(2, 4)).save(str(tmp_path / "net.pt"))
    with zipfile.ZipFile(tmp_path / "net.pt") as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    (name,) = (name for name in content if name.endswith(".py") and b"class Net" in content[name])
    content[name] = content[name].replace(b"    return ", b'    torch.save(x, "/tmp/x")\n    return ', 1)
    assert "its code reads or writes files" in refusal(written(tmp_path / "bad.pt", content))


@pytest.mark.parametrize("share", [0.0, 0.02, 0.3, 0.7, 0.99])
def test_half_a_file(tmp_path: Path, share: float) -> None:
    path = tmp_path / "net.pt2"
    path.write_bytes(program()[: int(len(program()) * share)])
    assert str(path) in refusal(path, InvalidModel)


def test_bytes_that_flipped(tmp_path: Path) -> None:
    """Whatever comes of it: an answer, or an error of ours."""
    random = np.random.default_rng(0)
    for at in random.integers(0, len(program()), 40):
        broken = bytearray(program())
        broken[at] ^= 0x55
        (tmp_path / "net.pt2").write_bytes(broken)
        try:
            opened = open_model(tmp_path / "net.pt2", ModelSettings())
            opened.model.load("cpu")
        except InvalidModel:
            continue
        opened.model.close()


def test_an_operator_that_nobody_registered(tmp_path: Path) -> None:
    def strange(document: dict[str, Any]) -> None:
        graph(document)["nodes"][0]["target"] = "torch.ops.mine.spin.default"

    message = refusal(changed(tmp_path / "net.pt2", "models/model.json", strange), InvalidModel)
    assert "the operator torch.ops.mine.spin.default is not there" in message


def test_somebody_vouches_for_a_file(tmp_path: Path) -> None:
    path = tmp_path / "net.pt2"
    path.write_bytes(program())
    digest = hashlib.sha256(program()).hexdigest()
    assert Predictor(path, allow_pickle=True, sha256=digest).predict(np.ones((2, 4), np.float32)).shape == (2, 3)
    assert "not the one given" in refusal(path, sha256="0" * 64)


def test_weights_and_their_class(tmp_path: Path) -> None:
    save_file(net().state_dict(), tmp_path / "net.safetensors")
    assert "--model-class module:Class" in refusal(tmp_path / "net.safetensors", InvalidModel)
    other = {"layer.weight": torch.zeros(3, 5), "more": torch.zeros(1)}
    save_file(other, tmp_path / "other.safetensors")
    message = refusal(tmp_path / "other.safetensors", InvalidModel, model_class=f"{__file__}:Net")
    assert "lacks layer.bias; has beside them more; differs in shape at layer.weight" in message
    assert "made none" in refusal(tmp_path / "net.safetensors", InvalidModel, model_class="collections:OrderedDict")
    torch.save(net().state_dict(), tmp_path / "net.pth")
    got = Predictor(tmp_path / "net.pth", model_class=f"{__file__}:Net").predict(np.ones((2, 4), np.float32))
    np.testing.assert_allclose(got, net()(torch.ones(2, 4)).detach(), rtol=1e-6)


class Tied(torch.nn.Module):
    def __init__(self, words: int) -> None:
        super().__init__()
        self.words, self.scores = torch.nn.Embedding(words, 4), torch.nn.Linear(4, words, bias=False)
        self.scores.weight = self.words.weight

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.scores(self.words(ids).mean(1))


def made_tied() -> Tied:
    return Tied(9)


def test_weights_of_several_names_stand_once_in_a_file(tmp_path: Path) -> None:
    tied, path, ids = made_tied(), tmp_path / "tied.safetensors", np.array([[1, 8], [2, 3]])
    save_model(tied, str(path))
    with Predictor(path, model_class=f"{__file__}:made_tied") as predictor:
        np.testing.assert_allclose(predictor.predict(ids), tied(torch.tensor(ids)).detach(), rtol=1e-5)
    assert "a function of yours that makes it" in refusal(path, InvalidModel, model_class=f"{__file__}:Tied")


@pytest.mark.parametrize("inside", ["", "state_dict", "model_state_dict"])
@pytest.mark.parametrize("before", ["", "module.", "_orig_mod.module."])
@pytest.mark.parametrize("archive", [True, False])
def test_checkpoints_of_trainings_hold_weights(tmp_path: Path, inside: str, before: str, archive: bool) -> None:
    weights = {f"{before}{name}": value for name, value in net().state_dict().items()}
    state = {inside: weights, "epoch": 3, "optimizer": {"state": {}}} if inside else weights
    torch.save(state, tmp_path / "net.pth", _use_new_zipfile_serialization=archive)
    got = Predictor(tmp_path / "net.pth", model_class=f"{__file__}:Net").predict(np.ones((2, 4), np.float32))
    np.testing.assert_allclose(got, net()(torch.ones(2, 4)).detach(), rtol=1e-6)


def test_a_whole_module_runs_where_somebody_vouches_for_it(tmp_path: Path) -> None:
    path = tmp_path / "net.pt"
    torch.save(torch.nn.Sequential(torch.nn.Linear(4, 3)), path)
    assert "--allow-pickle and --sha256" in refusal(path)
    assert "more than weights" in refusal(path, InvalidModel, model_class=f"{__file__}:Net")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert Predictor(path, allow_pickle=True, sha256=digest).predict(np.ones((2, 4), np.float32)).shape == (2, 3)
    torch.save(net().state_dict(), path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert "it holds no module" in refusal(path, InvalidModel, allow_pickle=True, sha256=digest)


def test_a_class_belongs_to_weights_only(tmp_path: Path) -> None:
    (tmp_path / "net.pt2").write_bytes(program())
    assert "model_class is for weights" in refusal(tmp_path / "net.pt2", InvalidSetting, model_class="a:B")
    with pytest.raises(InvalidSetting, match="model_class is for weights"):
        open_model(net(), ModelSettings(model_class="a:B"))


def test_numbers_and_devices_that_are_not_there(tmp_path: Path) -> None:
    (tmp_path / "net.pt2").write_bytes(program())
    assert "does not compute in int8 on this cpu" in refusal(tmp_path / "net.pt2", Unavailable, precision="int8")
    if not torch.cuda.is_available():
        assert "device 'cuda' is not there" in refusal(tmp_path / "net.pt2", Unavailable, device="cuda")
    assert "device 'tpu' is not there" in refusal(tmp_path / "net.pt2", Unavailable, device="tpu")


def test_without_torch_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "net.pt2").write_bytes(program())
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtra, match=r"pip install 'foretell\[torch\]'"):
        open_model(tmp_path / "net.pt2", ModelSettings())
