"""A model whose runtime takes one array for each input and gives one array for each output."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from foretell.backends.feeds import Feed, feed_of, pieces
from foretell.backends.learned_outputs import LearnedOutputs
from foretell.backends.model_settings import pad_text, with_settings
from foretell.backends.text_rows import answer_others
from foretell.columns import Array, Batch, Bytes, Column, Dense, Ragged
from foretell.config import ModelSettings
from foretell.errors import Cancelled, InferenceError, InvalidInput, ModelError, NotReady, RowError
from foretell.model import Context, Model
from foretell.types import DataType, ModelSpec, TensorSpec

_MOST_SEEN = 64

Arrays = Mapping[str, Array]
"""Arrays by name. Strings are arrays of `str` objects."""


class ArrayModel(Model):
    """What every such model shares: rows in, calls of the shape the runtime takes, rows out, errors by name.

    A subclass opens its runtime in `load`, tells with `_loaded` what it takes and gives, implements `_call` and
    `_unload`, and says in `_variant` what decides its numbers.
    """

    native: ClassVar[bool] = True

    def __init__(self, where: str, settings: ModelSettings) -> None:
        self._where, self._settings = where, settings
        self._outputs = LearnedOutputs(None)
        self._ready = self._closed = False
        self._input_types: tuple[tuple[str, np.dtype[Any]], ...] = ()
        self._seen: frozenset[object] = frozenset()

    @abstractmethod
    def _call(self, feeds: Arrays) -> Arrays:
        """One call of the runtime: arrays [rows, ...], native and contiguous; of a model without an axis of rows, the
        one row as it is. Raises whatever the runtime raises."""

    @abstractmethod
    def _unload(self) -> None:
        """Lets the runtime go; also after a failed `load`, and once only."""

    @abstractmethod
    def _variant(self) -> Mapping[str, str]:
        """What decides the numbers beside the artefact and the settings `batch` and `pad`."""

    def _loaded(self, spec: ModelSpec) -> None:
        """Ready for calls. Raises `InvalidSetting` for a `pad` of an input that the model lacks."""
        self.spec = with_settings(spec, self._settings)
        self._outputs = LearnedOutputs(self.spec.outputs)
        inputs = self.spec.inputs or ()
        if all(each.datatype not in (None, DataType.BYTES) for each in inputs):
            self._input_types = tuple((each.name, each.datatype.numpy) for each in inputs if each.datatype is not None)
        self._ready = True

    def predict(self, batch: Batch, ctx: Context) -> Batch:
        """Raises `InvalidInput` for an input that is missing or whose rows cannot share a call, `ModelError` for what
        the runtime raises, `NotReady`, and `Cancelled` between calls of a model that takes its rows one by one."""
        if not self._ready:
            raise NotReady("the model is closed" if self._closed else "the model is not loaded", where=self._where)
        if not batch.rows:
            return Batch(self._outputs.blank(0) if self._outputs.known else {}, 0)
        if self.spec.batch == "any" and (usual := self._usual_feeds(batch)) is not None:
            return Batch(self._columns([self._rows(self._run(usual), batch.rows)]), batch.rows)
        return self._predict_generally(batch, ctx)

    def _usual_feeds(self, batch: Batch) -> Arrays | None:
        """The arrays as they are, where every input is there as the runtime takes it: most calls."""
        feeds = {}
        for name, dtype in self._input_types:
            column = batch.columns.get(name)
            if type(column) is not Dense or column.data.dtype is not dtype or not column.data.flags.c_contiguous:
                return None
            feeds[name] = column.data
        return feeds or None

    def _predict_generally(self, batch: Batch, ctx: Context) -> Batch:
        errors: dict[int, RowError] = {}
        rule = self.spec.batch
        feeds = {
            spec.name: self._feed(_column(batch, spec.name, self._where), spec, errors)
            for spec in self.spec.inputs or ()
        } or {name: np.asarray(column.data) for name, column in batch.columns.items() if isinstance(column, Dense)}
        if errors:
            return answer_others(batch, errors, lambda rest: self.predict(rest, ctx))
        answers: list[Arrays] = []
        for piece, count in pieces(feeds, batch.rows, rule):
            if answers and ctx.cancelled():
                raise Cancelled("nobody waits for this answer any more", where=self._where)
            answers.append(self._rows(self._run(piece), count))
        return Batch(self._columns(answers), batch.rows)

    def _feed(self, column: Column, spec: TensorSpec, errors: dict[int, RowError]) -> Feed:
        """The rows of one input as the runtime takes them; rows that it cannot take go to `errors`."""
        return feed_of(column, spec, errors, alone=self.spec.batch in (None, 1))

    def _columns(self, answers: Sequence[Arrays]) -> dict[str, Column]:
        """The answers of all calls, one after another. What looks as an answer before it tells nothing new."""
        if len(answers) == 1:
            looks = tuple([(name, array.dtype, array.shape[1:]) for name, array in answers[0].items()])
            if looks in self._seen:
                return {name: Dense(array) for name, array in answers[0].items()}
        columns = {name: joined([each[name] for each in answers], name, self._where) for name in answers[0]}
        fitted = self._learned(columns)
        if (
            len(answers) == 1
            and len(self._seen) < _MOST_SEEN
            and all(isinstance(column, Dense) and column.data is answers[0][name] for name, column in fitted.items())
        ):
            self._seen = self._seen | {looks}
        return fitted

    def close(self) -> None:
        if not self._closed:
            self._closed, self._ready = True, False
            self._unload()

    def variant(self) -> Mapping[str, str]:
        batch, pad = self._settings.batch, self._settings.pad
        return {
            **self._variant(),
            **({} if batch is None else {"batch": str(batch)}),
            **({} if pad is None else {"pad": pad_text(pad)}),
        }

    def _run(self, feeds: Arrays) -> Arrays:
        try:
            return self._call(feeds)
        except (InferenceError, MemoryError):
            raise
        except Exception as error:
            raise self._raised(error) from error

    def _raised(self, error: Exception) -> InferenceError:
        """What a failed call means, in one sentence."""
        text = " ".join(str(error).split()) or "no reason given"
        shown = text if len(text) <= 300 else text[:297] + "..."
        return ModelError(f"{type(error).__name__}: {shown}", where=self._where)

    def _rows(self, answer: Arrays, count: int) -> Arrays:
        """The rows of one call, of which `count` are real. Raises `ModelError` for another number of rows."""
        rule = self.spec.batch
        if rule is None:
            return {name: np.asarray(array)[None] for name, array in answer.items()}
        sent = rule if isinstance(rule, int) else count
        for name, array in answer.items():
            if not array.ndim or len(array) != sent:
                fix = "set batch to 'none' for this model, so that each row is a call of its own"
                if any(each.shape is None for each in self.spec.inputs or ()):
                    fix = f"give one row in a list of its own, as [[1, 2]]; or {fix}"
                raise ModelError(
                    "not one value for each row of the input", where=f"{self._where}, output {name!r}",
                    expected=f"{sent} rows", got=f"shape {list(array.shape)}", fix=fix,
                )  # fmt: skip
        return answer if sent == count else {name: array[:count] for name, array in answer.items()}

    def _learned(self, columns: dict[str, Column]) -> dict[str, Column]:
        fitted = self._outputs.learn(columns, self._where)
        if self.spec.outputs is not self._outputs.specs:
            self.spec = self.spec.with_changes(outputs=self._outputs.specs)
        return fitted


def joined(parts: Sequence[Array], name: str, where: str) -> Column:
    """The rows of several calls as one column. Raises `ModelError` where they differ in more than their length."""
    if len({part.shape[1:] for part in parts}) == 1:
        return _column_of(parts[0] if len(parts) == 1 else np.concatenate(parts))
    rows = [row for part in parts for row in part]
    if any(not row.ndim for row in rows) or len({row.shape[1:] for row in rows}) > 1:
        got = " and ".join(str(list(shape)) for shape in sorted({row.shape for row in rows})[:2])
        expected = "shapes that differ in the first axis only"
        raise ModelError("rows of different shapes", where=f"{where}, output {name!r}", expected=expected, got=got)
    offsets = np.zeros(len(rows) + 1, np.int64)
    np.cumsum([len(row) for row in rows], out=offsets[1:])
    return Ragged(_column_of(np.concatenate(rows)), offsets)


def _column_of(array: Array) -> Dense | Bytes:
    if array.dtype.kind in "OSU":
        return Bytes.of(array.reshape(-1).tolist(), array.shape[1:])
    return Dense(array)


def _column(batch: Batch, name: str, where: str) -> Column:
    column = batch.columns.get(name)
    if column is None:
        got = ", ".join(batch.columns) or "none"
        raise InvalidInput(f"input {name!r} is missing", where=where, got=got)
    return column
