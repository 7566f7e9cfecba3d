"""Calls of a model that says what fills up rows of different length."""

from __future__ import annotations

import functools
import math
from collections.abc import Collection, Sequence
from functools import partial
from typing import TypeGuard

import numpy as np

from foretell.clock import Clock
from foretell.columns import Batch, Bytes, Column, Dense, Index, Ragged
from foretell.engine.ahead import MOST_ROWS
from foretell.engine.answers import check_answer, joined
from foretell.engine.follows import Follows
from foretell.engine.lengths import Lengths, by_length
from foretell.errors import Cancelled, InvalidModel, InvalidSetting, nearest
from foretell.model import Context, Model
from foretell.padding import cut, fill_value, filled
from foretell.types import ModelSpec

_USUAL_ROWS = 128
"""Of a call where nobody said: what a model of sequences needs by itself grows with rows times length, and larger calls
of a text encoder were not faster."""


def pads(spec: ModelSpec) -> bool:
    """Whether foretell fills up rows for such a model. One that takes its rows one by one needs none of it."""
    return bool(spec.pad) and spec.batch not in (None, 1)


def padded_inputs(spec: ModelSpec) -> Collection[str]:
    """The inputs whose rows are filled up."""
    return spec.pad if spec.pad and pads(spec) else ()


def check_pad(model: Model, where: str) -> None:
    """Raises `InvalidModel` or `InvalidSetting` for a `pad` that would do nothing, or something else than it says."""
    spec = model.spec
    if spec.pad and not pads(spec):
        what = "pad would do nothing: the model takes its rows one by one"
        raise InvalidSetting(what, where=where, fix="leave pad out")
    for name, value in (spec.pad or {}).items():
        tensor, named = spec.input(name), f"pad names the input {name!r}"
        if tensor is None:
            if spec.inputs is None or model.prepares:  # nobody told, or its preprocess makes it
                continue
            known = [each.name for each in spec.inputs]
            what = f"{named}, which the model lacks"
            raise InvalidSetting(what, where=where, expected=", ".join(known), fix=nearest(name, known))
        if tensor.shape is not None and (not tensor.shape or tensor.shape[0] is not None):
            raise InvalidModel(f"{named}, whose rows do not differ in length", where=where, got=tensor.describe())
        if model.prepares:
            fix = "fill rows up in preprocess, or name what it makes"
            raise InvalidModel(f"{named}, which preprocess takes first", where=where, fix=fix)
        fill_value(name, value, tensor.datatype)


class PaddedCalls:
    """Takes the place of `Model.predict`: one answer for each row, as long as that row's own call would give it.

    Rows of nearly one length share a call (`lengths.by_length`); what of an output belongs to padding is cut away
    (`Follows`).
    """

    def __init__(self, model: Model, max_rows: int, clock: Clock, where: str) -> None:
        self._model, self._clock, self._where = model, clock, where
        self._max_rows = max_rows if max_rows < MOST_ROWS else _USUAL_ROWS
        self._lengths = Lengths()
        self._follows = Follows(where)

    def predict(self, batch: Batch, ctx: Context) -> Batch:
        """Raises `ModelError` for an output whose length follows no input."""
        pad = self._model.spec.pad or {}
        names = [name for name in pad if can_be_filled(batch.columns.get(name))]
        if not names or not batch.rows:
            return self._timed(batch, ctx)
        calls = [np.arange(batch.rows)]
        if self._model.spec.row_wise:
            sizes = np.stack([_elements(batch.columns[name]) for name in names], axis=1)
            calls = by_length(sizes, self._max_rows, self._lengths.overhead)
        if len(calls) == 1:
            return self._padded(batch, ctx)
        answers = []
        for rows in calls:
            if ctx.cancelled():
                raise Cancelled("nobody waits for this answer any more", where=self._where)
            answers.append(self._padded(batch.take(rows), ctx))
        return joined(answers, self._where).take(np.argsort(np.concatenate(calls)))

    def _padded(self, batch: Batch, ctx: Context, longest: Sequence[int] = ()) -> Batch:
        """The answer of one call. `longest`: what the rows of each input are filled up to, not only to the longest."""
        columns, lengths = self._tensors(batch, longest)
        added = sum(_size(columns[name]) - int(_elements(batch.columns[name]).sum()) for name in lengths)
        answer = self._timed(Batch(columns, batch.rows), ctx)
        if not added:
            return answer
        ctx.padded += added
        check_answer(answer, batch.rows, "predict", self._where)
        answered = np.array([row for row in range(batch.rows) if row not in answer.errors], np.int64)
        ask = functools.cache(partial(self._alone, batch, ctx))
        widths = {name: _width(columns[name]) for name in lengths}
        cut_back: dict[str, Column] = {}
        for name, output in answer.columns.items():
            cut_back[name] = output
            if isinstance(output, (Dense, Bytes)) and output.row_shape:
                own = self._follows.lengths(name, output, lengths, widths, answered, ask)
                cut_back[name] = output if own is None else cut(output, own)
        return Batch(cut_back, batch.rows, answer.errors)

    def _tensors(self, batch: Batch, longest: Sequence[int] = ()) -> tuple[dict[str, Column], dict[str, Index]]:
        """The columns without rows of different length where `pad` names them, and how long each of those was."""
        spec, columns, lengths = self._model.spec, dict(batch.columns), {}
        least = iter(longest)
        for name, value in (spec.pad or {}).items():
            column = columns.get(name)
            if can_be_filled(column):
                tensor = spec.input(name)
                element = fill_value(name, value, tensor.datatype if tensor else None)
                columns[name] = filled(column, element, next(least, 0))
                lengths[name] = column.lengths
        return columns, lengths

    def _alone(self, batch: Batch, ctx: Context, row: int) -> Batch:
        """The answer to one row without padding."""
        columns, _ = self._tensors(batch.slice(row, row + 1))
        answer = self._model.predict(Batch(columns, 1), ctx)
        check_answer(answer, 1, "predict", self._where)
        return answer

    def _timed(self, batch: Batch, ctx: Context) -> Batch:
        started = self._clock.monotonic()
        answer = self._model.predict(batch, ctx)
        taken = self._clock.monotonic() - started
        columns = [batch.columns.get(name) for name in self._model.spec.pad or {}]
        elements = sum([_size(column) for column in columns])
        if elements:
            self._lengths.learn(elements, taken)
        return answer


def can_be_filled(column: Column | None) -> TypeGuard[Ragged]:
    """Whether rows of this column can be made longer."""
    return isinstance(column, Ragged) and isinstance(column.values, Dense) and column.values.valid is None


def _elements(column: Column) -> Index:
    """How many elements each row has."""
    if not isinstance(column, Ragged):
        raise TypeError("the rows have one length")
    return column.lengths * math.prod(column.values.row_shape)


def _width(column: Column) -> int:
    return 0 if isinstance(column, Ragged) else column.row_shape[0]


def _size(column: Column | None) -> int:
    return column.data.size if isinstance(column, Dense) else 0
