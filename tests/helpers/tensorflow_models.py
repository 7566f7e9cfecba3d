"""SavedModels and Keras models, made once for each process of tests. Importing this imports no framework.

Who imports it is skipped where there is no TensorFlow for this Python.
"""

from __future__ import annotations

import atexit
import shutil
import sys
import tempfile
import warnings
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from foretell.backends import Opened, open_model
from foretell.backends.keras.model import import_keras
from foretell.backends.quiet_tensorflow import import_tensorflow
from foretell.columns import Batch
from foretell.config import ModelSettings
from foretell.forms.values import to_python
from foretell.model import Context

if sys.version_info >= (3, 14) and find_spec("tensorflow") is None:
    pytest.skip("TensorFlow has no release for this Python", allow_module_level=True)

X = np.arange(12, dtype=np.float32).reshape(3, 4)
WEIGHTS = np.array([[0.5, -1.0, 2.0], [1.0, 0.25, -0.5], [0.0, 3.0, 1.0], [-2.0, 0.5, 0.125]], np.float32)


@cache
def _folder() -> Path:
    folder = tempfile.mkdtemp(prefix="foretell-tests-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


def saved_model(name: str, make: Callable[[Any], tuple[Any, Any]]) -> Path:
    """A folder with what `make` gives: from TensorFlow to an object and its signatures."""
    path = _folder() / name
    if not path.exists():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tensorflow = import_tensorflow("a test")
            made, signatures = make(tensorflow)
            tensorflow.saved_model.save(made, str(path), signatures=signatures)
    return path


def function(body: Callable[[Any], Callable[..., Any]], *shapes: Any, **options: Any) -> Callable[[Any], Any]:
    """What `saved_model` takes, of a function over tensors of `shapes` (name, dims, type) with the weights `w`."""

    def make(tensorflow: Any) -> tuple[Any, Any]:
        module = tensorflow.Module()
        module.w = tensorflow.Variable(WEIGHTS)
        specs = [tensorflow.TensorSpec(dims, kind, name=name) for name, dims, kind in shapes]
        compute = body(tensorflow)
        module.f = tensorflow.function(lambda *given: compute(module.w, *given), input_signature=specs)
        return module, {options.get("signature", "serving_default"): module.f}

    return make


@cache
def classifier() -> Any:
    """Four numbers to three classes, with layers that behave otherwise in training."""
    keras = import_keras()
    keras.utils.set_random_seed(7)
    layers = keras.layers
    return keras.Sequential([
        keras.Input((4,)), layers.Dense(8, activation="relu"), layers.BatchNormalization(), layers.Dropout(0.5),
        layers.Dense(3, activation="softmax"),
    ])  # fmt: skip


@cache
def mixed() -> Any:
    """Numbers and texts in, by name; two answers out."""
    keras = import_keras()
    keras.utils.set_random_seed(8)
    layers = keras.layers
    size, town = keras.Input((2,), name="size"), keras.Input((), dtype="string", name="town")
    known = layers.Embedding(4, 3)(layers.StringLookup(vocabulary=["York", "Bath"])(town))
    both = layers.Concatenate()([size, known])
    return keras.Model({"size": size, "town": town}, {"a": layers.Dense(1)(both), "b": layers.Dense(2)(both)})


def keras_file(model: Any, folder: Path, name: str = "m.keras") -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.save(folder / name)
    return folder / name


def keras_answer(model: Any, given: Any) -> Any:
    """What the model gives in inference, as NumPy arrays."""
    found = model(given, training=False)
    return {name: each.numpy() for name, each in found.items()} if isinstance(found, dict) else found.numpy()


def opened(path: Path, **settings: Any) -> Opened:
    return open_model(path, ModelSettings(**settings))


def asked(model: Any, **columns: Any) -> dict[str, Any]:
    found = model.predict(Batch.of(**columns), Context())
    return {name: np.array(to_python(column)) for name, column in found.columns.items()}
