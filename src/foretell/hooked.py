"""A `BasePredictor` with hooks of its own, as a `Model` that every door can serve."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from foretell.backends.python_answers import read_answer
from foretell.columns import Batch, Bytes, Column
from foretell.forms import to_batch, to_numpy
from foretell.model import Context, Model
from foretell.types import ModelSpec

if TYPE_CHECKING:
    from foretell.predictor import BasePredictor


class HookedModel(Model):
    """Runs the hooks of a predictor around its model.

    Hooks get what a user of one input would pass: an array, or a list of strings; for several inputs a dict of them.
    """

    def __init__(self, predictor: BasePredictor, inner: Model) -> None:
        self._predictor, self._inner = predictor, inner
        self._replaces_predict = predictor.overrides("predict")
        self.bare_output = False
        self.transient = inner.transient

    def load(self, device: str) -> None:
        """The predictor has loaded its model already."""
        inner = self._inner.spec
        changed_in = self._replaces_predict or self._predictor.overrides("preprocess")
        changed_out = self._replaces_predict or self._predictor.overrides("postprocess")
        self.spec = ModelSpec(
            inputs=None if changed_in else inner.inputs,
            outputs=None if changed_out else inner.outputs,
            batch=inner.batch,
            row_wise=inner.row_wise,
            deterministic=inner.deterministic,
            labels=None if changed_out else inner.labels,
            features=None if changed_in else inner.features,
        )

    def preprocess(self, batch: Batch, ctx: Context) -> Batch:
        if self._replaces_predict:
            return batch
        if self._predictor.overrides("preprocess"):
            batch = to_batch(self._predictor.preprocess(_plain(batch)), self._inner.spec).batch
        return self._inner.preprocess(batch, ctx)

    def predict(self, batch: Batch, ctx: Context) -> Batch:
        if self._replaces_predict:
            return self._read(self._predictor.predict(_plain(batch)), batch.rows)
        return self._inner.predict(batch, ctx)

    def postprocess(self, batch: Batch, ctx: Context) -> Batch:
        if self._replaces_predict:
            return batch
        batch = self._inner.postprocess(batch, ctx)
        if not self._predictor.overrides("postprocess"):
            return batch
        value = _plain(batch) if self._inner.bare_output else {n: _value(c) for n, c in batch.columns.items()}
        return self._read(self._predictor.postprocess(value), batch.rows)

    def variant(self) -> Mapping[str, str]:
        kind = type(self._predictor)
        return {**self._inner.variant(), "predictor": f"{kind.__module__}.{kind.__qualname__}"}

    def _read(self, returned: Any, rows: int) -> Batch:
        answer = read_answer(returned, rows, None, f"predictor {type(self._predictor).__name__!r}")
        self.bare_output = answer.bare
        return Batch(answer.columns, rows, answer.errors)


def _plain(batch: Batch) -> Any:
    values = {name: _value(column) for name, column in batch.columns.items()}
    return next(iter(values.values())) if len(values) == 1 else values


def _value(column: Column) -> list[Any] | np.ndarray[Any, Any]:
    array = to_numpy(column)
    return array.tolist() if isinstance(column, Bytes) and not column.row_shape else array
