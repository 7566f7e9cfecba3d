"""Real processes, and models as people have them: files in a folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import onnx_build
import pytest
from program import Server

SOURCE = '''
import os
from pathlib import Path

import numpy as np

import foretell
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


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A working folder with `models.py` and `iris.onnx` (labels and probabilities of flowers)."""
    (tmp_path / "models.py").write_text(SOURCE)
    onnx_build.save(onnx_build.iris_onnx(zipmap=False), tmp_path, "iris.onnx")
    return tmp_path


@pytest.fixture
def serve(folder: Path) -> Iterator[Callable[..., Server]]:
    """`serve(*arguments, env=...)`: a running `foretell serve` in `folder`."""
    started: list[Server] = []

    def start(*arguments: object, **options: Any) -> Server:
        started.append(Server(*arguments, cwd=folder, **options))
        return started[-1]

    yield start
    for server in started:
        server.kill()
