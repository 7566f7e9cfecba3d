"""Which rows are asked for: conditions are checked against the data, and put to rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from foretell.batch.block import Block
from foretell.batch.conditions import OPERATORS
from foretell.batch.job import Condition
from foretell.batch.moments import number_of, written
from foretell.batch.sources.source import Field
from foretell.columns import Mask
from foretell.errors import InvalidInput, nearest
from foretell.forms.cells import Cells, items, take
from foretell.forms.form import Kind, library
from foretell.forms.words import flag

Value = str | float | int
_BOOLEANS = {"true": True, "false": False}
_OF_FLAGS = ("=", "!=", "in")


def checked(conditions: Sequence[Condition], fields: Sequence[Field], where: str) -> tuple[Condition, ...]:
    """The same with values of the kind of their column. Raises `InvalidInput` for a column that is not there, or one
    whose cells cannot be compared with the value."""
    known = {field.name: field for field in fields}
    made = []
    for each in conditions:
        if each.column not in known:
            raise absent(each.column, "--where", list(known), where)
        field = known[each.column]
        if field.kind == "other" and not field.flags:
            raise InvalidInput(f"column {each.column!r} cannot be compared", got=field.described or "other values",
                               expected="a column of numbers, text, dates, times or booleans")  # fmt: skip
        if field.sort == "flag" and field.kind != "text" and each.op not in _OF_FLAGS:
            raise InvalidInput(f"column {each.column!r} is true or false", expected="one of =, !=, in", got=each.op)
        if field.kind in ("text", "unknown") and not (field.flags and _asks_for_flags(each)):
            made.append(each)
        elif isinstance(each.value, tuple):
            made.append(replace(each, value=tuple(_meant(value, field) for value in each.value)))
        else:
            made.append(replace(each, value=_meant(each.value, field)))
    return tuple(made)


def absent(name: str, purpose: str, known: Sequence[str], path: str) -> InvalidInput:
    """The error of a column that is asked for and not there. `path`: of a file of the data."""
    fix = nearest(name, known)
    if f"/{name}=" in path:
        fix = "it stands in the names of folders, and not in those of all files"
    return InvalidInput(f"there is no column {name!r} for {purpose}", where=path, fix=fix)


def asked_for(block: Block, conditions: Sequence[Condition]) -> Block | None:
    """The block with its other rows set aside; None where it has no row that is asked for.

    A row that could not be read is set aside only where what was read of it tells that nobody asks for it.
    """
    if not conditions:
        return block
    matched = np.ones(block.rows, np.bool_)
    for each in conditions:
        matched &= holds(block.columns[each.column], each)
    for row in block.bad:
        if not matched[row] and any(is_null(block.columns[each.column], row) for each in conditions):
            matched[row] = True
    rows = np.flatnonzero(matched)
    if not len(rows):
        return None
    if len(rows) == block.rows:
        return block
    return replace(block, set_aside=~matched).slice(int(rows[0]), int(rows[-1]) + 1)


def holds(cells: Cells, condition: Condition) -> Mask:
    """For which cells the condition holds. A null, and a text that is no number where numbers are compared: not."""
    numbers = not isinstance(_first(condition.value), str)
    if isinstance(cells, np.ndarray) and numbers and cells.dtype.kind in "iufb":
        mask = _compared(np.asarray(cells), condition)
        present = np.ones(len(mask), np.bool_) if cells.dtype.kind != "f" else ~np.isnan(np.asarray(cells))
        if isinstance(cells, np.ma.MaskedArray):
            present &= ~np.ma.getmaskarray(cells)
        return np.asarray(mask & present)
    if library(cells) is Kind.ARROW:
        from foretell.batch.sources.arrow_kinds import as_numbers, kind_of, plain_cells, unit_of

        kind = kind_of(cells.type)
        if kind in ("bool", "time"):
            unit = unit_of(cells.type) if kind == "time" else ""
            return holds(as_numbers(cells), _with_numbers(condition, unit))
        cells = plain_cells(cells)
        if isinstance(cells, np.ndarray):
            return holds(cells, condition)
    read = _as_flag if isinstance(_first(condition.value), bool) else _as_number if numbers else _as_it_is
    made = (read(cell) for cell in cells)
    return np.fromiter((cell is not None and _one(cell, condition) for cell in made), np.bool_, len(cells))


def may_hold(least: Any, most: Any, op: str, value: Any) -> bool:
    """Whether a condition may hold for any cell between two values, both included."""
    if isinstance(value, tuple):
        return any(least <= each <= most for each in value)
    match op:
        case "=":
            return bool(least <= value <= most)
        case "!=":
            return not least == value == most
        case "<" | "<=":
            return bool(OPERATORS[op](least, value))
    return bool(OPERATORS[op](most, value))


def _compared(cells: Any, condition: Condition) -> Any:
    if isinstance(condition.value, tuple):
        masks = [cells == value for value in condition.value]
        return np.logical_or.reduce(masks)
    return OPERATORS[condition.op](cells, condition.value)


def _one(cell: Any, condition: Condition) -> bool:
    if isinstance(condition.value, tuple):
        return cell in condition.value
    try:
        return bool(OPERATORS[condition.op](cell, condition.value))
    except TypeError:
        return False  # in JSON Lines a cell may be anything


def _first(value: Any) -> Any:
    return value[0] if isinstance(value, tuple) else value


def is_null(cells: Cells, row: int) -> bool:
    """Whether a cell holds nothing."""
    cell = items(take(cells, np.array([row])))[0]
    return cell is None or cell is np.ma.masked or bool(isinstance(cell, (float, np.floating)) and np.isnan(cell))


def _as_it_is(cell: Any) -> Any:
    return cell


def _as_flag(cell: Any) -> bool | None:
    if isinstance(cell, str):
        return flag(cell)
    return cell if isinstance(cell, bool) else None


def _as_number(cell: Any) -> float | int | None:
    if isinstance(cell, bool) or not isinstance(cell, (str, int, float)):
        return None
    if not isinstance(cell, str):
        return cell if cell == cell else None  # noqa: PLR0124 (a NaN is not itself)
    if "_" in cell:
        return None
    for kind in (int, float):
        try:
            made: float | int = kind(cell)
        except ValueError:
            continue
        return made if made == made else None  # noqa: PLR0124
    return None


def _with_numbers(condition: Condition, unit: str) -> Condition:
    """`unit`: of dates and times, which are compared as what stands for them; "" for booleans."""

    def number(value: Value) -> float | int:
        return number_of(str(value), unit) if unit else int(value)

    value = condition.value
    return replace(condition, value=tuple(map(number, value)) if isinstance(value, tuple) else number(value))


def _meant(value: Any, field: Field) -> Value:
    """The value as the cells of its column are."""
    if field.kind == "number":
        return _number(value, field.name)
    if field.kind == "time":
        return written(str(value), field.name, field.described)
    if not _is_flag(value):
        raise InvalidInput(f"--where compares column {field.name!r} with neither true nor false", got=repr(value))
    return _BOOLEANS[str(value).lower()]


def _asks_for_flags(condition: Condition) -> bool:
    values = condition.value if isinstance(condition.value, tuple) else (condition.value,)
    return condition.op in _OF_FLAGS and all(map(_is_flag, values))


def _is_flag(value: Any) -> bool:
    return str(value).lower() in _BOOLEANS


def _number(value: Any, column: str) -> float | int:
    made = _as_number(value)
    if made is None:
        raise InvalidInput(f"--where compares column {column!r} with no number", expected="a number", got=repr(value))
    return made
