"""A call whose caller wants the rows that fail apart from the rows that do not, for jobs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from foretell.columns import Batch
from foretell.engine.isolate import budget, isolate
from foretell.errors import (
    Cancelled,
    DeadlineExceeded,
    InferenceError,
    NotReady,
    Overloaded,
    RowError,
    TransientError,
    Unavailable,
)

OF_THE_CALL = (Cancelled, DeadlineExceeded, NotReady, Overloaded, TransientError, Unavailable)
"""Failures that tell nothing of the rows: a search for the bad ones would find none."""

_ROWS_PER_CALL = 8


def run_apart(rows: int, run: Callable[[range], Batch], join: Callable[[list[Batch]], Batch]) -> Batch:
    """`run` of all rows; where that fails, of ever smaller parts, so that only the rows that fail end in `errors`.

    The search makes at most one call for every eight rows, and a few: rows it does not reach end with the error of
    the whole. Raises at once what is `OF_THE_CALL`.
    """

    def part(group: Sequence[int]) -> Batch:
        return run(range(group[0], group[-1] + 1))

    try:
        return run(range(rows))
    except OF_THE_CALL:
        raise
    except InferenceError as error:
        results = isolate(range(rows), part, error, budget(rows) + rows // _ROWS_PER_CALL)
    answers = []
    for group, outcome in results:
        if isinstance(outcome, OF_THE_CALL):
            raise outcome
        answers.append(outcome if isinstance(outcome, Batch) else _failed(len(group), outcome))
    return join(answers)


def _failed(rows: int, error: InferenceError) -> Batch:
    reason = RowError.of(error)
    return Batch({}, rows, {row: error.rows.get(row, reason) for row in range(rows)})
