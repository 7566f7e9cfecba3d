"""Rows whose strings are no text, kept away from code that wants text."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import numpy as np

from foretell.columns import Batch, Bytes, Ragged, spread
from foretell.errors import InvalidInput, RowError


def rows_without_text(batch: Batch, names: Iterable[str]) -> dict[int, RowError]:
    """The rows of the columns `names` that hold bytes which are not UTF-8."""
    errors: dict[int, RowError] = {}
    for name in names:
        column = batch.columns.get(name)
        values = column.values if isinstance(column, Ragged) else column
        if column is None or not isinstance(values, Bytes):
            continue
        for element in _not_text(values):
            row = element // (math.prod(values.row_shape) or 1)
            if isinstance(column, Ragged):
                row = int(np.searchsorted(column.offsets, row, side="right")) - 1
            message = f"input {name!r}: the row holds text that is not UTF-8"
            errors.setdefault(row, RowError(InvalidInput.code, message))
    return errors


def answer_others(batch: Batch, bad: dict[int, RowError], answer: Callable[[Batch], Batch]) -> Batch:
    """What `answer` gives for the rows beside `bad`, with all rows in their places."""
    if not bad:
        return answer(batch)
    good = np.array([row for row in range(batch.rows) if row not in bad], np.int64)
    if not len(good):
        return Batch({}, batch.rows, bad)
    found = answer(batch.take(good))
    columns = {name: spread(column, good, batch.rows) for name, column in found.columns.items()}
    return Batch(columns, batch.rows, {**bad, **{int(good[row]): error for row, error in found.errors.items()}})


def _not_text(column: Bytes) -> list[int]:
    """The elements that are not UTF-8. One look at all bytes together finds the usual case, that there is none."""
    compact = column.compact()
    if not len(compact.data) or int(compact.data.max()) < 0x80:
        return []
    bad = []
    for element, item in enumerate(compact.items()):
        try:
            item.decode()
        except UnicodeDecodeError:
            bad.append(element)
    return bad
