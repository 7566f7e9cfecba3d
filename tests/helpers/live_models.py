"""Functions, objects and estimators as models: opened, loaded and asked."""

from __future__ import annotations

from typing import Any

import numpy as np

from foretell.backends import open_model
from foretell.columns import Batch, Bytes
from foretell.config import ModelSettings
from foretell.forms.values import to_python
from foretell.model import Context, Model
from foretell.types import DataType

ROWS = Batch.of(x=np.arange(6.0).reshape(3, 2))
TEXTS = Batch({"texts": Bytes.of(["a", "bb", "ccc"])}, 3)


def loaded(source: object, device: str = "cpu", example: object = None, **settings: Any) -> Model:
    model = open_model(source, ModelSettings(**settings), example=example).model
    model.load(device)
    return model


def inputs(source: object, **options: Any) -> list[tuple[str, DataType | None, Any]]:
    """Name, datatype and row shape of each input that is known after loading."""
    return [(s.name, s.datatype, s.shape) for s in loaded(source, **options).spec.inputs or ()]


def answer(source: object, batch: Batch = ROWS, **params: Any) -> Batch:
    """`source`: a loaded model, or what is to be loaded first."""
    model = source if isinstance(source, Model) else loaded(source)
    return model.predict(batch, Context(params=params))


def lists(batch: Batch) -> dict[str, list[Any]]:
    return {name: to_python(column) for name, column in batch.columns.items()}
