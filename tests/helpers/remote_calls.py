"""Starting models in processes of their own, and what came of a call."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from foretell.backends import open_model
from foretell.clock import SystemClock
from foretell.columns import Batch, Bytes, Column, Dense, Ragged
from foretell.config import ModelSettings
from foretell.engine.replica import Replica
from foretell.errors import InferenceError
from foretell.model import Context, Model
from foretell.remote.model import RemoteModel
from foretell.remote.recipe import Recipe

WAIT_S = 20.0
WHERE = "model 'model'"


def remote(name: str | Path, **settings: Any) -> RemoteModel:
    """Not loaded yet. `name`: in `remote_models`, or a path, or "module:NAME"."""
    source = f"remote_models:{name}" if isinstance(name, str) and name.isidentifier() else name
    return RemoteModel(Recipe.of(source, ModelSettings(**settings)))


@contextmanager
def loaded(name: str | Path, **settings: Any) -> Iterator[RemoteModel]:
    model = remote(name, **settings)
    try:
        model.load(settings.get("device", "cpu"))
        yield model
    finally:
        model.close()


@contextmanager
def here(name: str | Path, **settings: Any) -> Iterator[Model]:
    """The same model in this process."""
    source = f"remote_models:{name}" if isinstance(name, str) and name.isidentifier() else name
    model = open_model(source, ModelSettings(**settings)).model
    try:
        model.load(settings.get("device", "cpu"))
        yield model
    finally:
        model.close()


def outcome(model: Model, batch: Batch, ctx: Context | None = None, **settings: Any) -> Any:
    """What an engine would make of a call: everything about the answer, or everything about the error."""
    replica = Replica(model, ModelSettings(**settings), SystemClock(), WHERE)
    try:
        return told(replica.run(batch, ctx or Context(), retry=False))
    except InferenceError as error:
        return told_error(error)


def told_error(error: InferenceError) -> Any:
    kind = next(kind for kind in type(error).__mro__ if kind.__module__ == "foretell.errors")
    rows = {row: (each.code, each.message, each.attempts) for row, each in error.rows.items()}
    return (kind, str(error), error.code, error.retryable, error.what, error.where, error.expected, error.got,
            error.fix, rows)  # fmt: skip


def told(batch: Batch) -> Any:
    errors = {row: (each.code, each.message, each.attempts) for row, each in batch.errors.items()}
    return {name: told_column(column) for name, column in batch.columns.items()}, batch.rows, errors


def told_column(column: Column) -> Any:
    """Kind, types, shapes and bits."""
    if isinstance(column, Ragged):
        return "ragged", told_column(column.values), column.offsets.tolist()
    valid = None if column.valid is None else column.valid.tolist()
    if isinstance(column, Bytes):
        return "bytes", column.items(), column.row_shape, valid
    return "dense", column.data.dtype.str, column.data.shape, column.data.tobytes(), valid


def column_of(array: Any) -> Dense:
    return Dense(np.asarray(array))


def same_number(first: float, second: float) -> bool:
    return first == second or (math.isnan(first) and math.isnan(second))
