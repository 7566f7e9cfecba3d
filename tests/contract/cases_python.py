"""Models written in Python, as people write them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from contract_case import Case
from numpy.typing import NDArray

from foretell.backends import open_model
from foretell.backends.opened import Opened
from foretell.columns import Batch, Bytes, Dense, Ragged
from foretell.config import ModelSettings
from foretell.types import DataType, TensorSpec

X = np.array([[1.0, -2.0, 3.0], [4.0, 5.0, -6.0], [0.0, 0.5, 0.25], [-1.0, -1.0, -1.0], [7.0, 8.0, 9.0]])
WORDS = ["", "tea", "Käse", "日本", "a\0b"]
TEXT = Batch({"texts": Bytes.of(WORDS)}, len(WORDS))


def cases() -> list[Case]:
    return [
        case("bare", lambda x: x * 2, Batch.of(x=X), {"output": X * 2}),
        case("example", lambda x: {"sum": x.sum(axis=1)}, Batch.of(x=X), {"sum": X.sum(axis=1)}, example=X[:1]),
        case("hinted", hinted, Batch.of(image=X.astype(np.float32)), {"output": X.max(axis=1).astype(np.float32)}),
        case("flags", lambda x: x > 0, Batch.of(x=X), {"output": X > 0}),
        case("lists", lists, TEXT, {"output": [len(word) for word in WORDS]}),
        case("one-row", one_row, TEXT, {"upper": [w.upper() for w in WORDS], "length": [len(w) for w in WORDS]}),
        case("several", several, Batch.of(left=X, right=np.arange(5)), {"output": X[:, 0] - np.arange(5)}),
        case("any-columns", lambda **columns: columns["x"] + 1, Batch.of(x=X), {"output": X + 1}),
        case("ragged", ragged, ragged_batch(), {"output": np.array([3.0, 0.0, 3.0, 4.0])}),
        case("in-place", in_place, Batch.of(x=X), {"output": X * 2}),
        case("in-place-ragged", in_place_ragged, ragged_batch(), {"output": np.array([6.0, 0.0, 6.0, 8.0])}),
        case("in-place-batch", in_place_batch, Batch.of(x=X), {"y": X * 2}),
        case("stages", Stages, TEXT, {"label": ["short", "short", "long", "long", "short"], "score": SCORES}),
        case("concurrent", Concurrent(), Batch.of(x=X), {"low": X.min(axis=1), "high": X.max(axis=1)}),
        Case(name="python-module", open=from_file, batch=Batch.of(x=X), expected={"output": X.round()}),
    ]


def case(name: str, source: object, batch: Batch, expected: dict[str, Any], **options: Any) -> Case:
    def opened(folder: Path) -> Opened:
        return open_model(source, ModelSettings(), **options)

    return Case(name=f"python-{name}", open=opened, batch=batch, expected=expected)


def hinted(image: NDArray[np.float32]) -> NDArray[np.float32]:
    largest: NDArray[np.float32] = image.max(axis=1)
    return largest


def lists(texts: list[str]) -> list[int]:
    return [len(text) for text in texts]


def one_row(texts: str) -> dict[str, Any]:
    return {"upper": texts.upper(), "length": len(texts)}


def several(left: Any, right: Any) -> Any:
    return left[:, 0] - right


def ragged(values: list[list[float]]) -> Any:
    return [sum(row) for row in values]


def in_place(x: Any) -> Any:
    x *= 2
    return x


def in_place_ragged(values: Any) -> Any:
    for row in values:
        row *= 2
    return [row.sum() for row in values]


def in_place_batch(batch: Batch) -> Batch:
    data = batch.dense("x")
    data *= 2
    return Batch.of(y=data)


def ragged_batch() -> Batch:
    return Batch({"values": Ragged(Dense(np.array([1.0, 2.0, 3.0, 4.0])), np.array([0, 2, 2, 3, 4]))}, 4)


SCORES = np.array([[len(word.encode()) / 10, 1 - len(word.encode()) / 10] for word in WORDS])


class Stages:
    """Bytes are counted before the model, and named after it."""

    labels = {"score": ("long", "short")}  # noqa: RUF012

    def load(self) -> None:
        self.limit = 0.45

    def preprocess(self, texts: list[str]) -> Any:
        return np.array([len(text.encode()) for text in texts])

    def predict(self, lengths: Any) -> Any:
        return np.stack([lengths / 10, 1 - lengths / 10], axis=1)

    def postprocess(self, scores: Any) -> Any:
        return {"label": np.where(scores[:, 0] > self.limit, "long", "short"), "score": scores}

    def close(self) -> None:
        del self.limit


class Concurrent:
    concurrent = True
    inputs = (TensorSpec("x", DataType.FP64, (3,)),)
    outputs = (TensorSpec("low", DataType.FP64, ()), TensorSpec("high", DataType.FP64, ()))

    def __call__(self, x: Any) -> Any:
        return x.min(axis=1), x.max(axis=1)


def from_file(folder: Path) -> Opened:
    (folder / "rounding.py").write_text("class Rounding:\n    def predict(self, x):\n        return x.round()\n")
    return open_model(f"{folder / 'rounding.py'}:Rounding", ModelSettings())
