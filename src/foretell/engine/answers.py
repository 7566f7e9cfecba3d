"""What a stage of a model answered: whether it is an answer at all, and the answers of several calls as one."""

from __future__ import annotations

import numpy as np

from foretell.columns import Batch, Bytes, Dense, Ragged, concat, spread
from foretell.errors import ModelError, RowError


def check_answer(answer: object, rows: int, stage: str, where: str) -> None:
    """Raises `ModelError` unless a stage answered one row for each of `rows`: a model is somebody else's code."""
    if not isinstance(answer, Batch):
        raise ModelError(f"{stage} gave no Batch", where=where, expected="a Batch", got=type(answer).__name__)
    fits = answer.rows == rows
    for name, column in answer.columns.items():
        if isinstance(column, Dense):
            data = column.data
            if not isinstance(data, np.ndarray) or not data.ndim:
                raise _no_column(name, type(data), stage, where)
            fits = fits and len(data) == rows
        elif isinstance(column, (Bytes, Ragged)):
            fits = fits and len(column) == rows
        else:
            raise _no_column(name, type(column), stage, where)
    if not fits:
        lengths = {name: len(column) for name, column in answer.columns.items()}
        raise ModelError(
            f"{stage} changed the number of rows",
            where=where,
            expected=f"{rows} rows",
            got=f"{answer.rows} rows, columns of {lengths}",
            fix="return one row of output for each row of input, in the same order",
        )
    for row, error in answer.errors.items():
        if not (isinstance(error, RowError) and 0 <= row < rows):
            expected = f"a RowError for a row from 0 to {rows - 1}"
            raise ModelError(
                f"{stage} gave errors that name no row", where=where, expected=expected, got=f"{row!r}: {error!r}"
            )


def _no_column(name: str, got: type, stage: str, where: str) -> ModelError:
    what = f"{stage} gave {name!r} not as a column of rows"
    return ModelError(what, where=where, expected="Dense of an array [rows, ...], Bytes or Ragged", got=got.__name__)


def joined(answers: list[Batch], where: str) -> Batch:
    """The answers of the pieces of one call. Raises `ModelError` where the model changed its outputs in between."""
    try:
        return join_answers(answers)
    except (ValueError, TypeError) as error:
        raise ModelError(f"its answers do not go together: {error}", where=where) from error


def join_answers(answers: list[Batch]) -> Batch:
    """Like `concat`, where an answer whose rows all failed has no columns."""
    whole = next((answer for answer in answers if answer.columns), None)
    if whole is None or all(answer.columns for answer in answers):
        return concat(answers)
    nothing = np.zeros(0, np.int64)
    return concat(
        [
            answer
            if answer.columns
            else Batch({n: spread(c.take(nothing), nothing, answer.rows) for n, c in whole.columns.items()},
                       answer.rows, answer.errors)
            for answer in answers
        ]
    )  # fmt: skip
