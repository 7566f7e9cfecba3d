"""Models as people have them: a folder with a Python module and an ONNX file."""

from __future__ import annotations

from pathlib import Path

import onnx_build

_MODELS_PY = '''
import os
from pathlib import Path

import numpy as np

from foretell.columns import Batch, Dense
from foretell.model import Model
from foretell.types import DataType, ModelSpec, TensorSpec


class Double:
    """Two numbers in, twice the numbers out."""

    def predict(self, x: np.ndarray) -> np.ndarray:
        return x * 2


def shout(text: str) -> str:
    return text.upper()


class Strict(Model):
    """Refuses NaN, row by row."""

    spec = ModelSpec(
        inputs=(TensorSpec("x", DataType.FP32, (2,), allow_nan=False),),
        outputs=(TensorSpec("y", DataType.FP32, (2,)),),
    )

    def predict(self, batch, ctx):
        return Batch({"y": Dense(batch.dense("x"))}, batch.rows)


class Waits(Strict):
    """Answers when somebody writes to the pipe that the environment names."""

    def predict(self, batch, ctx):
        Path(os.environ["PIPE"]).read_bytes()
        return super().predict(batch, ctx)


class Breaks:
    def __init__(self):
        raise RuntimeError("no weights")

    def predict(self, x):
        return x
'''


def fill(folder: Path) -> None:
    """Writes `models.py`, and `iris.onnx` (labels and probabilities of flowers)."""
    (folder / "models.py").write_text(_MODELS_PY)
    onnx_build.save(onnx_build.iris_onnx(zipmap=False), folder, "iris.onnx")
