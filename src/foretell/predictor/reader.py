"""Reading data through a predictor's hook, also where some rows cannot be read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from foretell.columns import Batch
from foretell.engine.answers import join_answers
from foretell.engine.apart import run_apart
from foretell.errors import InferenceError, InvalidInput, RowError
from foretell.forms import Form, Intake, count_rows
from foretell.forms.chunking import cut
from foretell.forms.form import form_of
from foretell.types import ModelSpec

if TYPE_CHECKING:
    from foretell.predictor.facade import BasePredictor


class Reader:
    """Reads data through the hook of a predictor. With `apart`, rows that cannot be read end alone."""

    def __init__(self, predictor: BasePredictor, *, apart: bool) -> None:
        self._predictor, self._apart = predictor, apart
        self._has_read = False

    def read(self, data: Any, *, rows: bool = False) -> tuple[Batch, Form, bool]:
        """The rows of `data`, their form, and whether it is a single one. Raises what the hook and reading raise.

        `rows`: the data is known to be rows, whatever it looks like. Data of which no row can be read is not what the
        model takes: that is an error of the whole, unless earlier data was right.
        """
        try:
            intake = self._intake(data)
        except InferenceError:
            forms: list[Form] = []
            batch = self._rows_apart(data, rows, forms) if self._apart else None
            if batch is None or (len(batch.errors) == batch.rows and not self._has_read):
                raise
            return batch, self._form(data, forms), False
        self._has_read = True
        return intake.batch, intake.form, intake.single

    def _intake(self, data: Any) -> Intake:
        predictor = self._predictor
        return predictor.intake(predictor.guarded("preprocess", predictor.preprocess, data))

    def _form(self, data: Any, forms: list[Form]) -> Form:
        """The form of what the hook made of the rows that it could read, with the row labels of all of them."""
        form = form_of(data)
        if not forms or not self._predictor.overrides("preprocess"):
            return form
        return Form(forms[0].kind, form.index, forms[0].arrays)

    def _rows_apart(self, data: Any, known: bool, forms: list[Form]) -> Batch | None:
        try:
            rows = count_rows(data, ModelSpec()) if known or not self._predictor.is_one(data) else None
            return run_apart(rows, lambda part: self._part(data, part, forms), join_answers) if rows else None
        except (InferenceError, ValueError, TypeError):
            return None

    def _part(self, data: Any, rows: range, forms: list[Form]) -> Batch:
        try:
            intake = self._intake(cut(data, rows.start, rows.stop))
        except InvalidInput as error:
            named = {rows.start + row: reason for row, reason in error.rows.items()}
            if not named or self._predictor.overrides("preprocess"):
                raise
            return self._around(data, rows, named, forms)
        if intake.batch.rows != len(rows):
            raise ValueError("the hook changes the number of rows")
        forms.append(intake.form)
        return intake.batch

    def _around(self, data: Any, rows: range, bad: dict[int, RowError], forms: list[Form]) -> Batch:
        """The rows between those that are known to be bad."""
        parts, start = [], rows.start
        for row in [*sorted(bad), rows.stop]:
            if row > start:
                parts.append(self._part(data, range(start, row), forms))
            if row < rows.stop:
                parts.append(Batch({}, 1, {0: bad[row]}))
            start = row + 1
        return join_answers(parts)
