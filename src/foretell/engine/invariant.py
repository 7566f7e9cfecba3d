"""Calls of batch-invariant mode: the shape in which a row is computed depends on that row alone.

Runtimes choose other instructions, and other orders of adding up, for other shapes. So each call has the same number of
rows, the last one repeated where there are fewer, and rows of different length go into buckets by their own length.
After He and Thinking Machines Lab, "Defeating Nondeterminism in LLM Inference" (2025), without kernels of our own.
"""

from __future__ import annotations

import numpy as np

from foretell.clock import Clock
from foretell.columns import Batch, Column, Index
from foretell.config import ModelSettings
from foretell.engine.answers import joined
from foretell.engine.padded_calls import PaddedCalls, can_be_filled, check_pad, pads
from foretell.errors import Cancelled, InferenceError, InvalidInput, InvalidSetting, ModelError
from foretell.model import Context, Model

ROWS = 16
"""Of each call."""

_STEPS = ((64, 16), (256, 32))
_LARGEST_STEP = 64


def bucket(length: int) -> int:
    """The length that a row of `length` is filled up to: at most half more, but for short ones."""
    if not length:
        return 0
    step = next((step for most, step in _STEPS if length <= most), _LARGEST_STEP)
    return -(-length // step) * step


def check_calls(model: Model, settings: ModelSettings, where: str) -> None:
    """What the settings ask of calls can be had of this model. Raises `InvalidModel` and `InvalidSetting`."""
    check_pad(model, where)
    spec = model.spec
    if settings.batch_invariant and (not spec.row_wise or spec.stateful):
        what = "batch_invariant: the answer of this model to a row depends on what came beside or before it"
        raise InvalidSetting(what, where=where, fix="leave it out, or set batch to 1 so that each row is a call")


def calls_of(model: Model, settings: ModelSettings, clock: Clock, where: str) -> PaddedCalls | None:
    """What stands between a replica and `Model.predict`, where anything does."""
    if settings.batch_invariant and model.spec.batch not in (None, 1):
        return InvariantCalls(model, settings.max_batch_size, clock, where)
    return PaddedCalls(model, settings.max_batch_size, clock, where) if pads(model.spec) else None


class InvariantCalls(PaddedCalls):
    """Takes the place of `Model.predict`: the same bits for a row, whatever rows are beside it.

    Where the model refuses rows of the length of their bucket, they go in calls of their own length, which depends on
    them alone as well.
    """

    def predict(self, batch: Batch, ctx: Context) -> Batch:
        """Raises as `PaddedCalls.predict`."""
        if not batch.rows:
            return self._model.predict(batch, ctx)
        own, wanted = self._lengths_of(batch)
        answers, order = [], []
        for rows, longest in _groups(wanted):
            for at in range(0, len(rows), ROWS):
                if ctx.cancelled():
                    raise Cancelled("nobody waits for this answer any more", where=self._where)
                part = rows[at : at + ROWS]
                answers.append(self._together(batch, part, own, longest, ctx))
                order.append(part)
        return joined(answers, self._where).take(np.argsort(np.concatenate(order)))

    def _together(self, batch: Batch, rows: Index, own: Index, longest: tuple[int, ...], ctx: Context) -> Batch:
        try:
            return self._call(batch, rows, longest, ctx)
        except Exception as error:
            of_the_rows = not isinstance(error, InferenceError) or type(error) in (InvalidInput, ModelError)
            if not of_the_rows or (own[rows] == longest).all():
                raise
        answers, order = [], []
        for part, length in _groups(own[rows]):
            answers.append(self._call(batch, rows[part], length, ctx))
            order.append(part)
        return joined(answers, self._where).take(np.argsort(np.concatenate(order)))

    def _call(self, batch: Batch, rows: Index, longest: tuple[int, ...], ctx: Context) -> Batch:
        full = np.concatenate([rows, np.repeat(rows[-1:], ROWS - len(rows))])
        return self._padded(batch.take(full), ctx, longest).slice(0, len(rows))

    def _lengths_of(self, batch: Batch) -> tuple[Index, Index]:
        """Of each row, by input that is filled up: its own length, and that of its bucket."""
        columns = [batch.columns[name] for name in self._names(batch)]
        own = np.stack([_lengths(column) for column in columns], axis=1) if columns else np.zeros((batch.rows, 0), int)
        distinct = {length: bucket(length) for length in np.unique(own).tolist()}
        wanted = np.array([[distinct[length] for length in row] for row in own.tolist()]).reshape(own.shape)
        return own, wanted

    def _names(self, batch: Batch) -> list[str]:
        return [name for name in self._model.spec.pad or {} if can_be_filled(batch.columns.get(name))]


def _groups(lengths: Index) -> list[tuple[Index, tuple[int, ...]]]:
    """The rows of each combination of lengths."""
    if not lengths.shape[1]:
        return [(np.arange(len(lengths)), ())]
    distinct, which = np.unique(lengths, axis=0, return_inverse=True)
    which = which.reshape(-1)
    return [(np.flatnonzero(which == at), tuple(each)) for at, each in enumerate(distinct.tolist())]


def _lengths(column: Column) -> Index:
    return np.asarray(getattr(column, "lengths"))  # noqa: B009 (only rows of different length come here)
