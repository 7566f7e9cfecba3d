"""A `BasePredictor` with hooks of its own, as a `Model` that every door can serve."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from foretell.backends.frame import own_array
from foretell.backends.python.answers import finished, read_answer
from foretell.backends.python.declared import read_declared
from foretell.columns import Batch, Bytes, Column
from foretell.engine.check import check_batch
from foretell.engine.invariant import calls_of
from foretell.engine.replica import Prepared
from foretell.errors import Unavailable
from foretell.forms import to_batch
from foretell.model import Context, Model
from foretell.types import TensorSpec

if TYPE_CHECKING:
    from foretell.predictor.facade import BasePredictor


class HookedModel(Model):
    """Runs the hooks of a predictor around its model.

    Hooks get what a user of one input would pass: an array, or a list of strings; for several inputs a dict of them.
    """

    def __init__(self, predictor: BasePredictor, inner: Model, device: str) -> None:
        self._predictor, self._inner, self._device = predictor, inner, device
        self._where = f"predictor {type(predictor).__name__!r}"
        self._replaces_predict = predictor.overrides("predict")
        self.bare_output = False
        self.transient, self.forks = inner.transient, inner.forks
        self._predict = inner.predict

    @property
    def prepares(self) -> bool:
        return not self._replaces_predict and (self._predictor.overrides("preprocess") or self._inner.prepares)

    def load(self, device: str) -> None:
        """The predictor has loaded its model already. Raises `Unavailable` for another device than it is on."""
        if device not in ("cpu", self._device):
            fix = "give the device to the predictor"
            raise Unavailable("the predictor has loaded its model", expected=self._device, got=device, fix=fix)
        inner = self._inner.spec
        self.only_streams = self._inner.only_streams and not self._replaces_predict
        declared = read_declared(self._predictor, self._where).spec
        changed_in = self._replaces_predict or self._predictor.overrides("preprocess")
        changed_out = self._replaces_predict or self._predictor.overrides("postprocess")
        self.spec = inner.with_changes(
            inputs=declared.inputs if not changed_in or hasattr(self._predictor, "inputs") else None,
            outputs=declared.outputs if not changed_out or hasattr(self._predictor, "outputs") else None,
            streams=inner.streams and not self._replaces_predict,
            concurrent=False,
            pad=None if changed_in else inner.pad,
            labels=declared.labels if not changed_out or hasattr(self._predictor, "labels") else None,
            features=None if changed_in else inner.features,
            unused=frozenset() if changed_in else inner.unused,
        )
        engine = self._predictor.engine
        calls = calls_of(self._inner, engine.settings, engine.clock, self._where)
        if changed_in and calls is not None:  # what the hook makes may differ in length
            self._predict = calls.predict

    def preprocess(self, batch: Batch, ctx: Context) -> Batch:
        if self._replaces_predict:
            return batch
        if not self._predictor.overrides("preprocess"):
            return self._inner.preprocess(batch, ctx)
        made = to_batch(finished(self._predictor.preprocess(_plain(batch)), self._where), self._inner.spec).batch
        # Nobody has looked yet at what the hook made: rows that do not fit end here, as a caller's would.
        prepared = Prepared(check_batch(made, self._inner.spec), made.rows)
        if prepared.goes_on:
            prepared.advance(self._inner.preprocess(prepared.batch, ctx))
        return prepared.answer()

    def predict(self, batch: Batch, ctx: Context) -> Batch:
        if self._replaces_predict:
            return self._read(self._predictor.predict(_plain(batch)), batch.rows)
        answer = self._predict(batch, ctx)
        self.bare_output = self._inner.bare_output  # it may have learned it by this very call
        return answer

    def stream(self, batch: Batch, ctx: Context) -> Iterator[Batch]:
        for piece in self._inner.stream(batch, ctx):
            self.bare_output = self._inner.bare_output
            yield piece

    def postprocess(self, batch: Batch, ctx: Context) -> Batch:
        if self._replaces_predict:
            return batch
        batch = self._inner.postprocess(batch, ctx)
        if not self._predictor.overrides("postprocess"):
            return batch
        outputs = self._inner.spec
        values = {name: _value(column, outputs.output(name)) for name, column in batch.columns.items()}
        bare = self._inner.bare_output and len(values) == 1
        return self._read(self._predictor.postprocess(next(iter(values.values())) if bare else values), batch.rows)

    def variant(self) -> Mapping[str, str]:
        kind = type(self._predictor)
        return {**self._inner.variant(), "predictor": f"{kind.__module__}.{kind.__qualname__}"}

    def _read(self, returned: Any, rows: int) -> Batch:
        answer = read_answer(finished(returned, self._where), rows, None, self._where)
        self.bare_output = answer.bare
        return Batch(answer.columns, rows, answer.errors)


def _plain(batch: Batch) -> Any:
    values = {name: _value(column) for name, column in batch.columns.items()}
    return next(iter(values.values())) if len(values) == 1 else values


def _value(column: Column, tensor: TensorSpec | None = None) -> list[Any] | np.ndarray[Any, Any]:
    array = own_array(column, tensor.datatype if tensor is not None else None)
    return array.tolist() if isinstance(column, Bytes) and not column.row_shape else array
