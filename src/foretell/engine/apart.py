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
_FEW_CALLS = 256


def run_apart(rows: int, run: Callable[[range], Batch], join: Callable[[list[Batch]], Batch]) -> Batch:
    """`run` of all rows; where that fails, of ever smaller parts, so that only the rows that fail end in `errors`.

    The search has a budget: enough for any number of bad rows in small calls, in large ones for about one in sixty.
    Rows it does not reach end with the error of the whole. Raises at once what is `OF_THE_CALL`.
    """

    def part(group: Sequence[int]) -> Batch:
        try:
            return run(range(group[0], group[-1] + 1))
        except OF_THE_CALL as failure:
            raise _Stop(failure) from failure

    try:
        return run(range(rows))
    except OF_THE_CALL:
        raise
    except InferenceError as error:
        calls = budget(rows) + max(rows // _ROWS_PER_CALL, min(2 * rows, _FEW_CALLS))
        try:
            results = isolate(range(rows), part, error, calls)
        except _Stop as stop:
            raise stop.failure from stop.failure.__cause__
    return join([a if isinstance(a, Batch) else _failed(len(group), a) for group, a in results])


class _Stop(Exception):
    """Ends the search."""

    def __init__(self, failure: InferenceError) -> None:
        self.failure = failure


def _failed(rows: int, error: InferenceError) -> Batch:
    reason = RowError.of(error)
    return Batch({}, rows, {row: error.rows.get(row, reason) for row in range(rows)})
