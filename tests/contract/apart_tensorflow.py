"""SavedModels and Keras models."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_models as made
from contract_case import Case

from foretell.backends import open_model
from foretell.backends.opened import Opened
from foretell.columns import Batch, Bytes
from foretell.config import ModelSettings

X = np.array([[1, -2, 3, 0], [4, 5, -6, 1], [0, 0.5, 0.25, 2], [-1, -1, -1, -1], [7, 8, 9, 10]], np.float32)
WORDS = ["", "tea", "Käse", "日本", "a b"]


def cases() -> list[Case]:
    linear, both = X @ made.WEIGHTS, {"low": X.min(axis=1), "sum": X.sum(axis=1) + np.arange(5)}
    return [
        saved("linear", linear_of([None, 4]), Batch.of(x=X), {"y": linear}),
        saved("fixed-batch", linear_of([2, 4]), Batch.of(x=X), {"y": linear}),
        saved("two-inputs", two_inputs(), Batch.of(x=X, n=np.arange(5, dtype=np.int32)), both),
        saved("text", upper(), Batch({"words": Bytes.of(WORDS)}, 5), {"upper": [word.upper() for word in WORDS]}),
        saved("no-axis-of-rows", largest(), Batch.of(x=X), {"y": X.max(axis=1)}),
        keras("classifier-live", live, Batch.of(input=X)),
        keras("classifier-file", in_file, Batch.of(input=X)),
    ]


def saved(name: str, make: Any, batch: Batch, expected: dict[str, Any]) -> Case:
    def opened(folder: Path) -> Opened:
        shutil.copytree(made.saved_model(name, make), folder / "model")
        return open_model(folder / "model", ModelSettings(threads=1))

    return Case(name=f"tensorflow-{name}", open=opened, batch=batch, expected=expected)


class Later(dict[str, Any]):
    """The answers of a model that is made when they are first asked for."""

    def __getitem__(self, name: str) -> Any:
        return _answer()


@cache
def _answer() -> Any:
    return made.keras_answer(made.classifier(), X)


def keras(name: str, opened: Callable[[Path], Opened], batch: Batch) -> Case:
    return Case(name=f"keras-{name}", open=opened, batch=batch, expected=Later(output=None))


def live(folder: Path) -> Opened:
    return open_model(made.classifier(), ModelSettings())


def in_file(folder: Path) -> Opened:
    return open_model(made.keras_file(made.classifier(), folder), ModelSettings())


def linear_of(dims: list[int | None]) -> Any:
    return made.function(lambda tf: lambda w, x: {"y": x @ w}, ("x", dims, "float32"))


def two_inputs() -> Any:
    def body(tf: Any) -> Any:
        return lambda w, x, n: {"low": tf.reduce_min(x, 1), "sum": tf.reduce_sum(x, 1) + tf.cast(n, "float32")}

    return made.function(body, ("x", [None, 4], "float32"), ("n", [None], "int32"))


def upper() -> Any:
    def body(tf: Any) -> Any:
        return lambda w, words: {"upper": tf.strings.upper(words, encoding="utf-8")}

    return made.function(body, ("words", [None], "string"))


def largest() -> Any:
    return made.function(lambda tf: lambda w, x: {"y": tf.reduce_max(x)}, ("x", [4], "float32"))
