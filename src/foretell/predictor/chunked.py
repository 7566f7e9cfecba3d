"""Predicting much data: in calls of a good size, the host work of the next ones running ahead, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from foretell.backends.learned_outputs import blank_column
from foretell.columns import Batch, row_bytes
from foretell.engine.ahead import Threads, rows_per_call, run_ahead
from foretell.engine.apart import OF_THE_CALL
from foretell.engine.replica import Prepared
from foretell.errors import InferenceError, InvalidInput, InvalidSetting, ModelError, RowError, rows_failed
from foretell.forms import Form, chunks, count_rows, join
from foretell.forms.form import form_of
from foretell.predictor.reader import Reader
from foretell.types import ModelSpec

if TYPE_CHECKING:
    from foretell.predictor.facade import BasePredictor

OnRowError = Callable[[int, RowError], None]
PreparedT = TypeVar("PreparedT")

ROWS_OF_UNKNOWN_SIZE = 1024
"""Rows of a call where they come one at a time and nobody can tell how large they are."""

_PROBE_ROWS = 64


@dataclass(slots=True)
class _Chunk:
    """Data on its way, and what its answer must look like. `pieces`: its calls, prepared. `outcome`: what they gave, or
    raised, where they have been made already."""

    form: Form
    single: bool
    pieces: list[Prepared | Batch]
    outcome: Batch | InferenceError | None = None


@dataclass(slots=True)
class _Gathered:
    """Single rows that travel together. `chunk` is None where one of them spoils it for the others."""

    items: list[Any]
    chunk: _Chunk | None


class Run:
    """One call of `predict_batch`."""

    def __init__(self, predictor: BasePredictor, size: int, threads: Threads, on_row_error: OnRowError | None) -> None:
        self._predictor, self._size, self._threads, self._on_row_error = predictor, size, threads, on_row_error
        self._reader = Reader(predictor, apart=on_row_error is not None)
        self._rows = 0

    def of_rows(self, data: Any) -> Any:
        """Data in memory, cut into calls; the answers joined again."""
        if self._predictor.overrides("predict"):
            own = run_ahead(chunks(data, self._size), lambda chunk: _kept(self._predict(chunk)), self._threads.ahead)
            return self._joined(list(own))
        self._check_size(count_rows(data, ModelSpec()) or 0)
        parts: list[Any] = []
        forms, nameless = [], []
        for chunk in self._ahead_of_me(chunks(data, self._size), self._prepare_rows):
            answer = self._finish(chunk)
            if answer.rows and not answer.columns:
                nameless.append((len(parts), answer))
            forms.append(chunk.form)
            parts.append(None if answer.rows and not answer.columns else self._part(answer, chunk.form))
        for at, answer in nameless:  # all its rows failed; by now the others may have told what the outputs are
            parts[at] = self._part(filled(answer, self._predictor.spec), forms[at])
        return self._joined(parts)

    def of_one(self, data: Any) -> Any:
        """A single row."""
        if self._predictor.overrides("predict"):
            return self._predict(data)
        chunk = self._prepare(data)
        return self._formed(self._finish(chunk), chunk.form, chunk.single)

    def of_items(self, items: Iterable[Any]) -> Iterator[Any]:
        """One answer for each item of an iterator; single rows travel together, `size` at a time."""
        if self._predictor.overrides("predict"):
            yield from run_ahead(items, self._predict, self._threads.ahead)
            return
        for block in self._ahead_of_me(self._blocks(items), self._prepare_block):
            if isinstance(block, _Gathered):
                yield from self._apart(block)
            else:
                yield self._formed(self._finish(block), block.form, block.single)

    def _ahead_of_me(self, items: Iterable[Any], prepare: Callable[[Any], PreparedT]) -> Iterator[PreparedT]:
        """`run_ahead`; rows that cannot be read are counted from the first row of the data."""
        try:
            yield from run_ahead(items, prepare, self._threads.ahead)
        except InvalidInput as error:
            if not error.rows:
                raise
            raise rows_failed({self._rows + row: reason for row, reason in error.rows.items()}) from error

    def _predict(self, chunk: Any) -> Any:
        return self._predictor.guarded("predict", self._predictor.predict, chunk)

    def _blocks(self, items: Iterable[Any]) -> Iterator[Any]:
        """Items as they are, single rows gathered. What the source raises comes after the rows it gave before."""
        gathered: list[Any] = []
        failure: Exception | None = None
        gathers = not self._predictor.overrides("preprocess") and self._predictor.splits
        source = iter(items)
        while failure is None:
            try:
                item = next(source)
                single = gathers and self._predictor.is_one(item)
            except StopIteration:
                break
            except Exception as error:
                failure = error
                break
            if single:
                gathered.append(item)
            if gathered and (not single or len(gathered) >= self._size):
                yield _Gathered(gathered, None)
                gathered = []
            if not single:
                yield item
        if gathered:
            yield _Gathered(gathered, None)
        if failure is not None:
            raise failure

    def _prepare_block(self, block: Any) -> _Chunk | _Gathered:
        if not isinstance(block, _Gathered):
            return self._prepare(block)
        try:
            return _Gathered(block.items, self._prepare(block.items))
        except OF_THE_CALL:
            raise
        except InferenceError:
            return block

    def _prepare_rows(self, data: Any) -> _Chunk:
        return self._prepare(data, rows=True)

    def _prepare(self, data: Any, *, rows: bool = False) -> _Chunk:
        batch, form, single = self._reader.read(data, rows=rows)
        size = self._size
        if batch.rows <= size:
            return self._made(_Chunk(form, single, [self._ahead(batch)]))
        self._check_size(batch.rows)
        pieces = [self._ahead(batch.slice(at, at + size)) for at in range(0, batch.rows, size)]
        return self._made(_Chunk(form, single, pieces))

    def _check_size(self, rows: int) -> None:
        if rows > self._size and not self._predictor.splits:
            what = "the answers of this model depend on the rows beside them: its calls are not split"
            raise InvalidSetting(what, expected=f"a batch_size of {rows} or more", got=self._size)

    def _ahead(self, batch: Batch) -> Prepared | Batch:
        try:
            return self._predictor.engine.prepare(batch)
        except OF_THE_CALL:
            raise
        except InferenceError:
            if self._on_row_error is None:
                raise
            return batch  # `finish` then does all of it, and finds out which rows are to blame

    def _finish(self, chunk: _Chunk) -> Batch:
        """The answer; tells of its failed rows, counted from the first row of the data."""
        answer = self._answer(chunk)
        self._report(answer.errors)
        self._rows += answer.rows
        return filled(answer, self._predictor.spec)

    def _made(self, chunk: _Chunk) -> _Chunk:
        """With its calls made, where others are made at the same time."""
        if self._threads.make_calls:
            try:
                chunk.outcome = self._answer(chunk)
            except InferenceError as error:
                chunk.outcome = error  # for its place in the order
            chunk.pieces = []
        return chunk

    def _answer(self, chunk: _Chunk) -> Batch:
        if isinstance(chunk.outcome, InferenceError):
            raise chunk.outcome
        if chunk.outcome is not None:
            return chunk.outcome
        engine, apart = self._predictor.engine, self._on_row_error is not None
        answers = [engine.finish(piece, apart=apart) for piece in chunk.pieces]
        return answers[0] if len(answers) == 1 else engine.join(answers)

    def _apart(self, block: _Gathered) -> Iterator[Any]:
        """The answers of single rows; what fails is raised, or told of, at its place."""
        try:
            answer = None if block.chunk is None else self._answer(block.chunk)
        except OF_THE_CALL:
            raise
        except InferenceError:
            answer = None
        for at, item in enumerate(block.items):
            if answer is None:
                row = self._alone(item)
            else:
                row = answer.slice(at, at + 1)
                self._report(row.errors)
            self._rows += 1
            yield self._formed(filled(row, self._predictor.spec), form_of(item), True)

    def _alone(self, item: Any) -> Batch:
        try:
            row = self._answer(self._prepare(item))
        except OF_THE_CALL:
            raise
        except InferenceError as error:
            reason = error.rows.get(0) or RowError.of(error)
            if self._on_row_error is None:
                if type(error) not in (InvalidInput, ModelError):
                    raise
                raise rows_failed({self._rows: reason}) from error
            row = Batch({}, 1, {0: reason})
        self._report(row.errors)
        return row

    def _report(self, errors: Mapping[int, RowError]) -> None:
        if not errors:
            return
        counted = {self._rows + row: error for row, error in sorted(errors.items())}
        if self._on_row_error is None:
            raise rows_failed(counted)
        for row, error in counted.items():
            self._on_row_error(row, error)

    def _formed(self, answer: Batch, form: Form, single: bool) -> Any:
        predictor = self._predictor
        return predictor.guarded("postprocess", predictor.postprocess, predictor.formed(answer, form, single))

    def _part(self, answer: Batch, form: Form) -> Any:
        part = self._formed(answer, form, False)
        return _kept(part) if self._predictor.overrides("postprocess") else part

    def _joined(self, parts: list[Any]) -> Any:
        try:
            return join(parts)
        except Exception as error:
            what = "the answers of the parts of this data do not go together"
            got = ", ".join(sorted({type(part).__name__ for part in parts}))
            fix = "let the hooks give one value for each row, in a list, an array, a dict of them, or a frame"
            raise ModelError(what, where=type(self._predictor).__name__, got=got, fix=fix) from error


def _kept(part: Any) -> Any:
    """What a hook gave, in memory of its own: the hook may write what it gives next into the same array."""
    if isinstance(part, np.ndarray):
        return part.copy()
    return {name: _kept(value) for name, value in part.items()} if isinstance(part, dict) else part


def size_for(predictor: BasePredictor, data: Any, threads: Threads) -> int:
    """Rows of a call for data whose rows are about as large as the first ones."""
    if not predictor.splits:
        return max(1, count_rows(data, ModelSpec()) or 1)
    if predictor.overrides("preprocess") or predictor.overrides("predict"):
        return _PROBE_ROWS
    try:
        sample = predictor.intake(next(chunks(data, _PROBE_ROWS))).batch
    except InvalidInput:
        return _PROBE_ROWS  # the run itself tells where the bad rows are, if anybody wants to know
    rows = rows_per_call(row_bytes(sample), threads)
    return min(rows, count_rows(data, predictor.spec) or rows) or 1


def filled(answer: Batch, spec: ModelSpec) -> Batch:
    """An answer all of whose rows failed, with the columns that others have, as far as `spec` knows the outputs."""
    outputs = spec.outputs or ()
    known = bool(outputs) and all(tensor.datatype is not None and tensor.shape is not None for tensor in outputs)
    if answer.columns or not answer.rows or not known:
        return answer
    return answer.with_columns({tensor.name: blank_column(tensor, answer.rows) for tensor in outputs})
