"""Rows that stand in lines of JSON: one object a line, and the cells of its columns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import orjson

from foretell.forms.cells import CellKind, Cells
from foretell.forms.typed import whole

_SCALARS = {bool, int, float, type(None)}
_ALLOWED: Mapping[CellKind, frozenset[type]] = {
    "float": frozenset({bool, int, float, list, type(None)}),
    "int": frozenset({bool, int, float, list, type(None)}),
    "uint": frozenset({bool, int, float, list, type(None)}),
    "text": frozenset({str, list, type(None)}),
    "flag": frozenset({bool, list, type(None)}),
}
_WORDS = {bool: "a boolean", int: "a number", float: "a number", str: "a string", dict: "an object", list: "a list",
          type(None): "null"}  # fmt: skip
_WANTED = {"float": "a number", "int": "an integer", "uint": "an integer", "text": "a string", "flag": "a boolean"}


def objects(lines: Iterable[bytes | memoryview]) -> tuple[list[dict[str, Any]], dict[int, str]]:
    """The object of each line, and what is wrong with the lines that hold none: those are empty."""
    rows: list[dict[str, Any]] = []
    bad: dict[int, str] = {}
    for line in lines:
        try:
            value = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            bad[len(rows)], value = f"not valid JSON: {error.msg}", {}
        if not isinstance(value, dict):
            bad[len(rows)], value = f"expected an object, got {_WORDS[type(value)]}", {}
        rows.append(value)
    return rows, bad


def typed(cells: list[Any], kind: CellKind) -> tuple[Cells, dict[int, str]]:
    """The cells as NumPy arrays where all are single numbers, booleans among them as 0 and 1, else as they are; and
    what is wrong with some."""
    allowed = _ALLOWED.get(kind)
    if allowed is None:
        return cells, {}
    found = set(map(type, cells))
    bad: dict[int, str] = {}
    if not found <= allowed:
        wrong = {row: type(cell) for row, cell in enumerate(cells) if type(cell) not in allowed}
        bad = {row: f"expected {_WANTED[kind]}, got {_WORDS[kind_]}" for row, kind_ in wrong.items()}
        cells = [None if row in bad else cell for row, cell in enumerate(cells)]
        found = set(map(type, cells))
    if kind == "float" and found <= _SCALARS:
        return np.array(cells, np.float64), bad
    if kind in ("int", "uint") and found <= _SCALARS:
        made, wrong_numbers = _integers(cells, kind)
        return made, {**wrong_numbers, **bad}
    return cells, bad


def beyond_64_bits(keys: Sequence[Any]) -> dict[int, str]:
    """What is wrong with keys that are numbers beyond 64 bits: they are read as floating-point numbers, and two whole
    ones could become one."""
    wrong = "expected a number of at most 64 bits or a string, got a larger number"
    return {row: wrong for row, key in enumerate(keys) if type(key) is float and not -(2.0**63) < key < 2.0**64}


def as_texts(cells: Sequence[Any]) -> tuple[list[str | None], dict[int, str]]:
    """Cells as text: strings as they are, all else as JSON has it; and what is wrong with numbers that are not what
    stood there any more."""
    texts = [cell if cell is None or isinstance(cell, str) else orjson.dumps(cell).decode() for cell in cells]
    return texts, beyond_64_bits(cells)


def sampled_kind(cells: Sequence[Any]) -> str:
    """Of a sample: what nearly all cells are that are no null ("int", "float", "flag", "text", "other"); "unknown"
    where all are."""
    kinds = [type(cell) for cell in cells if cell is not None]
    if not kinds:
        return "unknown"
    most = len(kinds) * 9
    flags, floats = kinds.count(bool), kinds.count(float)
    numbers = flags + kinds.count(int) + floats
    if numbers * 10 >= most:
        return "flag" if flags == numbers else "float" if floats else "int"
    return "text" if kinds.count(str) * 10 >= most else "other"


def _integers(cells: list[Any], kind: str) -> tuple[Cells, dict[int, str]]:
    dtype = np.int64 if kind == "int" else np.uint64
    values = [None if cell is None else whole(cell, kind) for cell in cells]
    bad = {row: value for row, value in enumerate(values) if isinstance(value, str)}
    made = np.array([value if isinstance(value, int) else 0 for value in values], dtype)
    absent = np.array([value is None for value in values], np.bool_)
    return (np.ma.MaskedArray(made, absent) if absent.any() else made), bad
