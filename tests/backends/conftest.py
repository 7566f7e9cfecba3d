"""ONNX models that a test makes, opened and loaded."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx_build import save

from foretell.backends.onnx.opening import open_onnx
from foretell.config import ModelSettings
from foretell.model import Model


@pytest.fixture
def load(tmp_path: Path) -> Iterator[Callable[..., Model]]:
    """`load(onnx_model, **settings)`: writes, opens and loads it; closes it afterwards."""
    models: list[Model] = []

    def loaded(model: onnx.ModelProto, **settings: Any) -> Model:
        models.append(open_onnx(save(model, tmp_path), ModelSettings(threads=1, **settings)).model)
        models[-1].load("cpu")
        return models[-1]

    yield loaded
    for model in models:
        model.close()
