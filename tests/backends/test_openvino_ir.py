"""OpenVINO's own files, from honest and from careless or hostile hands."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from openvino_build import model, ops, parameter, save_ir, times

from foretell import Predictor
from foretell.backends import open_model
from foretell.backends.artefact_file import find_artefact
from foretell.backends.openvino.quiet import openvino
from foretell.config import ModelSettings
from foretell.errors import InferenceError, InvalidModel, InvalidSetting, MissingExtra, Unavailable, UnsafeModel

WEIGHTS = np.arange(6, dtype=np.float32).reshape(3, 2)
SETTINGS = ModelSettings(threads=1)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return save_ir(times(WEIGHTS), tmp_path)


def edited(path: Path, old: str, new: str) -> Path:
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), "utf-8")
    return path


def opened_and_loaded(path: Path) -> None:
    found = open_model(path, SETTINGS)
    try:
        found.model.load("cpu")
    finally:
        found.model.close()


def refused(path: Path, *mentions: str, kind: type[InferenceError] = InvalidModel) -> None:
    with pytest.raises(kind) as caught:
        opened_and_loaded(path)
    for mention in mentions:
        assert mention in str(caught.value)
    assert "\n" not in str(caught.value)


def test_it_answers(path: Path) -> None:
    with Predictor(path) as predictor:
        answer = predictor.predict(np.eye(3, dtype=np.float32))["y"]
        np.testing.assert_array_equal(answer, WEIGHTS)
        assert predictor.spec.batch == "any"
        assert predictor.engine.model.variant()["precision"] == "fp32"


def test_a_folder_is_a_model_by_its_ir_and_not_by_other_xml(path: Path) -> None:
    (path.parent / "pom.xml").write_text("<project><net/></project>")
    assert find_artefact(path.parent) == path


def test_the_digest_is_of_both_files(path: Path) -> None:
    before = open_model(path, SETTINGS).digest
    weights = path.with_suffix(".bin")
    weights.write_bytes(bytes(24))
    assert open_model(path, SETTINGS).digest != before
    renamed = path.rename(path.with_name("other.xml"))
    weights.rename(renamed.with_suffix(".bin")).write_bytes(WEIGHTS.tobytes())
    assert open_model(renamed, SETTINGS).digest == before


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
def test_half_a_file_is_refused(path: Path, share: float) -> None:
    text = path.read_bytes()
    path.write_bytes(text[: int(share * len(text))])
    refused(path, "half of one")


def test_weights_that_are_missing_are_named(path: Path) -> None:
    path.with_suffix(".bin").unlink()
    refused(path, "'model.bin'", "not there")


@pytest.mark.parametrize("size", [0, 8, 25, 4000])
def test_weights_of_another_size_are_refused(path: Path, size: int) -> None:
    path.with_suffix(".bin").write_bytes(bytes(size))
    refused(path, "24 bytes", f"{size} bytes")


def test_weights_that_are_a_link_out_of_the_folder_are_refused(path: Path, tmp_path_factory: pytest.TempPathFactory):
    outside = tmp_path_factory.mktemp("outside") / "secret.bin"
    path.with_suffix(".bin").rename(outside)
    path.with_suffix(".bin").symlink_to(outside)
    refused(path, "leaves its folder", kind=UnsafeModel)


def test_entities_are_refused(path: Path) -> None:
    bomb = '<!DOCTYPE net [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;&a;">]>\n<net '
    refused(edited(path, "<net ", bomb), "document type", kind=UnsafeModel)
    outside = '<!DOCTYPE net SYSTEM "file:///etc/passwd">\n<net '
    refused(edited(path, bomb, outside), "document type", kind=UnsafeModel)


def test_an_xml_that_is_no_ir_is_refused(path: Path) -> None:
    path.write_text("<project><name>net</name></project>")
    refused(path, "not an OpenVINO IR", "<project>")


def test_a_version_that_nobody_knows_is_refused(path: Path) -> None:
    refused(edited(path, 'version="11"', 'version="99"'), "version", "'99'")


def test_elements_nested_without_end_are_refused(path: Path) -> None:
    path.write_text('<net version="11">' + "<body>" * 10_000)
    refused(path, "nested")


@pytest.mark.parametrize("offset", ["-8", "18446744073709551600", "x", ""])
def test_a_place_that_is_no_number_is_refused(path: Path, offset: str) -> None:
    refused(edited(path, 'offset="0"', f'offset="{offset}"'), "no number")


@pytest.mark.parametrize("version", ["extension", "opset1"])
def test_an_operator_that_openvino_does_not_know_is_named(path: Path, version: str) -> None:
    refused(edited(path, 'type="MatMul" version="opset1"', f'type="Fancy" version="{version}"'), "Fancy", version)


def test_a_model_with_a_state_is_refused(tmp_path: Path) -> None:
    x = parameter([1, 2])
    seen = ops.read_value(x, "seen", np.float32, [1, 2])
    kept = ops.assign(seen, "seen")
    refused(save_ir(model(ops.add(x, seen), x, sinks=[kept]), tmp_path), "keeps a state")


def test_strings_are_refused(tmp_path: Path) -> None:
    x = parameter([-1, 1], "string")
    refused(save_ir(model(ops.reshape(x, ops.constant([-1]), special_zero=False), x), tmp_path), "string")


def test_the_file_may_not_change_before_it_is_loaded(path: Path) -> None:
    found = open_model(path, SETTINGS)
    path.with_suffix(".bin").write_bytes(WEIGHTS.tobytes()[::-1])
    with pytest.raises(InvalidModel, match="changed"):
        found.model.load("cpu")


def test_settings_that_mean_nothing_are_refused(path: Path) -> None:
    with pytest.raises(Unavailable, match="cuda"):
        open_model(path, ModelSettings(device="cuda"))
    with pytest.raises(Unavailable, match="optimisations"):
        open_model(path, ModelSettings(optimizations=("kernel_fusion",)))
    with pytest.raises(InvalidSetting, match="runs on OpenVINO only"):
        open_model(path, ModelSettings(runtime="onnxruntime"))
    with pytest.raises(InvalidSetting, match="task"):
        open_model(path, ModelSettings(task="fill-mask"))
    with pytest.raises(Unavailable, match="fp32"):
        open_model(path, ModelSettings(precision="fp8"))


def test_classes_have_the_names_that_the_file_gives_them(tmp_path: Path) -> None:
    made = times(WEIGHTS)
    made.set_rt_info("cat owl", ["model_info", "labels"])
    with Predictor(save_ir(made, tmp_path)) as predictor:
        assert predictor.spec.labels == {"y": ("cat", "owl")}


def test_weights_that_change_under_a_model_that_runs_change_nothing(path: Path) -> None:
    rows = np.eye(3, dtype=np.float32)
    with Predictor(path) as predictor:
        path.with_suffix(".bin").write_bytes(b"")
        np.testing.assert_array_equal(predictor.predict(rows)["y"], WEIGHTS)
        path.with_suffix(".bin").write_bytes(bytes(24))
        np.testing.assert_array_equal(predictor.predict(rows)["y"], WEIGHTS)


def test_without_the_package_its_extra_is_named(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(MissingExtra, match=r"foretell\[openvino\]"):
        open_model(path, SETTINGS)


def test_random_graphs_are_known(tmp_path: Path) -> None:
    x = parameter([2, 2])
    noise = ops.random_uniform(
        ops.constant(np.array([2, 2])), ops.constant(np.float32(0)), ops.constant(np.float32(1)), "f32"
    )
    with Predictor(save_ir(model(ops.add(x, noise), x), tmp_path)) as predictor:
        assert not predictor.spec.deterministic


def test_several_rows_of_a_fixed_number_are_split_and_filled_up(tmp_path: Path) -> None:
    x = parameter([4, 3])
    path = save_ir(model(ops.relu(x), x), tmp_path)
    rows = np.arange(18, dtype=np.float32).reshape(6, 3) - 9
    with Predictor(path) as predictor:
        assert predictor.spec.batch == 4
        np.testing.assert_array_equal(predictor.predict(rows)["y"], np.maximum(rows, 0))


def test_a_file_with_bounds_of_rows_is_filled_up_to_the_most(tmp_path: Path) -> None:
    x = openvino.op.Parameter(openvino.Type.f32, openvino.PartialShape([openvino.Dimension(2, 4), 3]))
    x.output(0).set_names({"x"})
    rows = np.arange(18, dtype=np.float32).reshape(6, 3) - 9
    with Predictor(save_ir(model(ops.relu(x), x), tmp_path)) as predictor:
        np.testing.assert_array_equal(predictor.predict(rows)["y"], np.maximum(rows, 0))
        np.testing.assert_array_equal(predictor.predict(rows[:1])["y"], np.maximum(rows[:1], 0))


def test_a_tensor_that_leaves_twice_has_two_names(tmp_path: Path) -> None:
    x = parameter([-1, 3])
    twice = ops.relu(x)
    path = save_ir(openvino.Model([ops.result(twice), ops.result(twice)], [x], "twice"), tmp_path)
    with Predictor(path) as predictor:
        answer = predictor.predict(np.float32([[1, -1, 2]]))
    assert len(answer) == 2
    assert all(each.tolist() == [[1, 0, 2]] for each in answer.values())


NO_NETWORK = """
import json, sys
def refuse(event, args):
    if event.startswith(("socket.connect", "socket.getaddrinfo", "socket.gethostby", "socket.sendto")):
        print("network:", event, flush=True)
        raise SystemExit(3)
sys.addaudithook(refuse)
from foretell import Predictor
with Predictor(sys.argv[1]) as predictor:
    print(json.dumps(predictor.predict([[1.0, 0.0, 0.0]])))
"""


def test_it_never_touches_the_network_nor_the_home_folder(path: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    environ = {**os.environ, "HOME": str(home)}
    done = subprocess.run(
        [sys.executable, "-c", NO_NETWORK, str(path)],
        check=False,
        capture_output=True,
        text=True,
        env=environ,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout) == [{"y": [0.0, 1.0]}]
    assert list(home.iterdir()) == []
