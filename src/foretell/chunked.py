"""Predicting much data: in calls of a good size, the host work of the next ones running ahead, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from foretell.columns import Batch, row_bytes
from foretell.engine.ahead import rows_per_call, run_ahead
from foretell.engine.replica import Prepared
from foretell.errors import InvalidInput, RowError, rows_failed
from foretell.forms import Intake, chunks, count_rows, join, to_batch
from foretell.types import ModelSpec

if TYPE_CHECKING:
    from foretell.predictor import BasePredictor

OnRowError = Callable[[int, RowError], None]

ROWS_OF_UNKNOWN_SIZE = 1024
"""Rows of a call where they come one at a time and nobody can tell how large they are."""

_PROBE_ROWS = 64


class Run:
    """One call of `predict_batch`."""

    def __init__(self, predictor: BasePredictor, size: int, workers: int, on_row_error: OnRowError | None) -> None:
        self._predictor, self._size, self._workers, self._on_row_error = predictor, size, workers, on_row_error
        self._rows = 0

    def of_rows(self, data: Any) -> Any:
        """Data in memory, cut into calls; the answers joined again."""
        predictor = self._predictor
        if predictor.overrides("predict"):
            parts = list(run_ahead(chunks(data, self._size), self._predict, self._workers))
            return join(parts, to_batch(next(chunks(data, 1)), ModelSpec()).form)
        parts, form = [], None
        for intake, prepared in run_ahead(chunks(data, self._size), self._prepare, self._workers):
            answer = self._finish(prepared)
            form = form or intake.form
            formed = predictor.formed(answer, intake.form, False)
            parts.append(predictor.guarded("postprocess", predictor.postprocess, formed))
        if form is None:
            raise InvalidInput("there is no data")
        return join(parts, form)

    def of_items(self, items: Iterable[Any]) -> Iterator[Any]:
        """One answer for each item of an iterator; single rows travel together, `size` at a time."""
        predictor = self._predictor
        if predictor.overrides("predict"):
            yield from run_ahead(items, self._predict, self._workers)
            return
        for (intake, prepared), apart in run_ahead(self._blocks(items), self._prepare_block, self._workers):
            answer = self._finish(prepared)
            pieces = [answer.slice(row, row + 1) for row in range(answer.rows)] if apart else [answer]
            for piece in pieces:
                formed = predictor.formed(piece, intake.form, apart or intake.single)
                yield predictor.guarded("postprocess", predictor.postprocess, formed)

    def _predict(self, chunk: Any) -> Any:
        return self._predictor.guarded("predict", self._predictor.predict, chunk)

    def _blocks(self, items: Iterable[Any]) -> Iterator[tuple[Any, bool]]:
        """Items as they are, single rows gathered into lists; True where a list was gathered."""
        gathered: list[Any] = []
        gathers = not self._predictor.overrides("preprocess")
        for item in items:
            if gathers and self._predictor.is_one(item):
                gathered.append(item)
                if len(gathered) >= self._size:
                    yield gathered, True
                    gathered = []
                continue
            if gathered:
                yield gathered, True
                gathered = []
            yield item, False
        if gathered:
            yield gathered, True

    def _prepare_block(self, block: tuple[Any, bool]) -> tuple[tuple[Intake, Prepared | Batch], bool]:
        return self._prepare(block[0]), block[1]

    def _prepare(self, chunk: Any) -> tuple[Intake, Prepared | Batch]:
        predictor = self._predictor
        intake = to_batch(predictor.guarded("preprocess", predictor.preprocess, chunk), predictor.spec)
        return intake, predictor.engine.prepare(intake.batch)

    def _finish(self, prepared: Prepared | Batch) -> Batch:
        """The answer; tells of its failed rows, counted from the first row of the data."""
        answer = self._predictor.engine.finish(prepared)
        errors = {self._rows + row: error for row, error in sorted(answer.errors.items())}
        self._rows += answer.rows
        if errors and self._on_row_error is None:
            raise rows_failed(errors)
        for row, error in errors.items():
            if self._on_row_error is not None:
                self._on_row_error(row, error)
        return answer


def size_for(predictor: BasePredictor, data: Any) -> int:
    """Rows of a call for data whose rows are about as large as the first ones."""
    if predictor.overrides("preprocess") or predictor.overrides("predict"):
        return _PROBE_ROWS
    sample = to_batch(next(chunks(data, _PROBE_ROWS)), predictor.spec).batch
    rows = rows_per_call(row_bytes(sample))
    return min(rows, count_rows(data, predictor.spec) or rows) or 1
