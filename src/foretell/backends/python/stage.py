"""One function of the user: how to call it with a batch and what it answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from foretell.backends.python.answers import Answer, finished, one_value, read_answer, row_error
from foretell.backends.python.arguments import arguments
from foretell.backends.python.signature import Function, Signature, read_signature
from foretell.columns import Batch, Column, concat_columns
from foretell.errors import InferenceError, ModelError, RowError, TransientError, raise_as, said
from foretell.model import Context
from foretell.types import TensorSpec


@dataclass(frozen=True, slots=True)
class Stage:
    """`one_row`: the function works on one row a call; it is called for each row of a batch."""

    function: Function
    signature: Signature
    where: str
    one_row: bool
    transient: tuple[type[Exception], ...]

    @classmethod
    def of(
        cls, function: Function, where: str, transient: tuple[type[Exception], ...], *, one_row: bool = False
    ) -> Stage:
        signature = read_signature(function, where)
        return cls(function, signature, where, one_row or signature.one_row, transient)

    def run(self, batch: Batch, ctx: Context, specs: Sequence[TensorSpec] | None) -> Answer:
        """The answer for every row. `specs`: its outputs, where they are known.

        Raises `ModelError` with the function's exception as cause; `TransientError` for one that the user's class
        names as such. In a function of one row, such a failure ends that row alone.
        """
        if not self.one_row:
            return read_answer(self._call(batch, ctx), batch.rows, specs, self.where)
        if batch.rows == 1:
            return read_answer(one_value(self._call(batch, ctx)), 1, specs, self.where)
        return self._each_row(batch, ctx, specs)

    def _each_row(self, batch: Batch, ctx: Context, specs: Sequence[TensorSpec] | None) -> Answer:
        answers: dict[int, Answer] = {}
        errors: dict[int, RowError] = {}
        for row in range(batch.rows):
            try:
                answer = self.run(batch.slice(row, row + 1), ctx, specs)
            except TransientError:
                raise
            except ModelError as error:
                errors[row] = row_error(error)
                continue
            if answer.errors:
                errors[row] = answer.errors[0]
            else:
                answers[row] = answer
        return _joined(answers, errors, batch.rows, self.where)

    def _call(self, batch: Batch, ctx: Context) -> object:
        positional, named = arguments(self.signature, batch, ctx, one_row=self.one_row)
        try:
            return finished(self.function(*positional, **named), self.where)
        except Exception as error:
            raise_as(raised(error, self.where, self.transient), error)


def raised(error: BaseException, where: str, transient: tuple[type[Exception], ...] = ()) -> InferenceError:
    """The error for an exception of user code; errors of foretell stay as they are. Never a traceback."""
    if isinstance(error, InferenceError):
        return error
    return (TransientError if isinstance(error, transient) else ModelError)(said(error), where=where)


def _joined(answers: dict[int, Answer], errors: dict[int, RowError], rows: int, where: str) -> Answer:
    if not answers:
        return Answer({}, errors=errors)
    first = next(iter(answers.values()))
    # A row that failed repeats the first good one: its cells mean nothing, but have to be there.
    every = [answers.get(row, first) for row in range(rows)]
    for answer in every:
        if set(answer.columns) != set(first.columns):
            expected, got = ", ".join(first.columns), ", ".join(answer.columns)
            raise ModelError("the outputs differ between rows", where=where, expected=expected, got=got)
    try:
        columns: dict[str, Column] = {n: concat_columns([a.columns[n] for a in every]) for n in first.columns}
    except ValueError as error:
        raise ModelError(f"the outputs differ between rows: {error}", where=where) from error
    return Answer(columns, first.bare, errors)
