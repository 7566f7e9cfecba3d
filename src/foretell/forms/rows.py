"""Lists of dicts, one dict per row, <-> named columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from foretell.errors import InvalidInput, RowError, nearest


def is_rows_of_dicts(data: object) -> bool:
    """Whether `data` is a list whose first row is a dict; a list without any row is."""
    return isinstance(data, (list, tuple)) and (not data or isinstance(data[0], Mapping))


def columns_of(rows: Sequence[Any]) -> dict[str, list[Any]]:
    """The columns of rows that all have the keys of the first. Raises `InvalidInput`, naming the rows that differ."""
    if not rows:
        return {}
    keys = list(rows[0])
    wanted = set(keys)
    odd = [number for number, row in enumerate(rows) if not isinstance(row, Mapping) or row.keys() != wanted]
    if odd:
        raise _odd_rows(rows, keys, odd)
    return {str(key): [row[key] for row in rows] for key in keys}


def _odd_rows(rows: Sequence[Any], keys: list[Any], odd: list[int]) -> InvalidInput:
    def error(number: int) -> InvalidInput:
        row = rows[number]
        if not isinstance(row, Mapping):
            return InvalidInput(f"row {number} is no dict", expected=f"keys {keys}", got=type(row).__name__)
        missing = [key for key in keys if key not in row]
        extra = [str(key) for key in row if key not in keys]
        hint = nearest(str(missing[0]), extra) if missing and extra else ""
        return InvalidInput(f"row {number} has other keys than row 0", expected=keys, got=list(row), fix=hint)

    first = error(odd[0])
    if len(odd) < len(rows) - 1 or len(rows) == 2:
        first.rows = {number: RowError.of(error(number)) for number in odd}
    return first


def to_rows(columns: Mapping[str, list[Any]], rows: int) -> list[dict[str, Any]]:
    """One dict per row."""
    if not columns:
        return [{} for _ in range(rows)]
    names = list(columns)
    return [dict(zip(names, cells, strict=True)) for cells in zip(*columns.values(), strict=True)]
