"""Cells of text as numbers: as Python reads them, but "1_000" is none; words for booleans are 1 and 0.

A cell that holds nothing is a null.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from foretell.forms.cells import Cells
from foretell.forms.words import flag

_SHOWN = 40
_LIMITS = {"int": (-(2**63), 2**63 - 1), "uint": (0, 2**64 - 1)}


def floats(cells: Sequence[bytes]) -> tuple[Cells, dict[int, str]]:
    """float64, NaN for nulls; and what is wrong with cells that are no numbers."""
    try:
        if b"_" not in b"".join(cells):
            return np.array(list(map(float, cells)), np.float64), {}
    except ValueError:
        pass
    made, bad = np.full(len(cells), np.nan), dict[int, str]()
    for row, cell in enumerate(cells):
        value = _value(cell, float)
        if isinstance(value, str):
            bad[row] = value
        elif value is not None:
            made[row] = value
    return made, bad


def integers(cells: Sequence[bytes], kind: str) -> tuple[Cells, dict[int, str]]:
    """int64 ("int") or uint64 ("uint"), masked where a null stands; and what is wrong with all other cells."""
    dtype = np.int64 if kind == "int" else np.uint64
    try:
        if b"_" not in b"".join(cells):
            return np.array(list(map(int, cells)), dtype), {}
    except (ValueError, OverflowError):
        pass
    made, bad = np.zeros(len(cells), dtype), dict[int, str]()
    absent = np.zeros(len(cells), np.bool_)
    for row, cell in enumerate(cells):
        value = _value(cell, lambda text: whole(text, kind))
        absent[row] = value is None
        if isinstance(value, str):
            bad[row] = value
        elif value is not None:
            made[row] = value
    return np.ma.MaskedArray(made, absent) if absent.any() else made, bad


def whole(text: str | int | float, kind: str) -> int | str | None:
    """An integer, None for a NaN, or what is wrong. Raises ValueError for a text that is no number."""
    try:
        value = int(text) if not isinstance(text, float) else text
    except ValueError:
        value = float(text)
    if isinstance(value, float):
        if value != value:  # noqa: PLR0124 (a NaN is not itself)
            return None
        if not value.is_integer():
            return f"a number has a fraction; expected an integer, got {_short(str(text))}"
        value = int(value)
    least, most = _LIMITS[kind]
    return value if least <= value <= most else f"a number is out of range; got {_short(str(text))}"


def _value(cell: bytes, read: Callable[[str], float | int | str | None]) -> float | int | str | None:
    """The number, None for a null, or what is wrong with the cell."""
    try:
        text = cell.decode()
        if not text.strip():
            return None
        if "_" not in text:
            return read(text)
    except UnicodeDecodeError:
        return "not UTF-8 text"
    except ValueError:
        pass
    found = flag(text)
    return f"not a number: {_short(text)!r}" if found is None else int(found)


def flags(cells: Sequence[bytes]) -> tuple[Cells, dict[int, str]]:
    """bool, masked where a null stands; and what is wrong with cells that are no words for booleans."""
    made, bad = np.zeros(len(cells), np.bool_), dict[int, str]()
    absent = np.zeros(len(cells), np.bool_)
    for row, cell in enumerate(cells):
        text = cell.decode("utf-8", "replace")
        found = flag(text)
        made[row], absent[row] = found is True, found is None
        if found is None and text.strip():
            bad[row] = f"neither true nor false: {_short(text)!r}"
    return np.ma.MaskedArray(made, absent) if absent.any() else made, bad


def texts(cells: Sequence[bytes]) -> tuple[list[str | None], dict[int, str]]:
    """As it stands there; None for an empty cell."""
    try:
        return [cell.decode() or None for cell in cells], {}
    except UnicodeDecodeError:
        pass
    made: list[str | None] = []
    bad: dict[int, str] = {}
    for row, cell in enumerate(cells):
        try:
            made.append(cell.decode() or None)
        except UnicodeDecodeError:
            made.append(None)
            bad[row] = "not UTF-8 text"
    return made, bad


def named(name: str, bad: Mapping[int, str]) -> dict[int, str]:
    """The same, with the column."""
    return {row: f"column {name!r}: {why}" for row, why in bad.items()}


def kind_of(cells: Sequence[str]) -> str:
    """What a sample of cells is: "int" or "float" where nearly all are numbers or words for booleans, "flag" where
    those are such words, else "text"; "unknown" where all is empty."""
    given = [cell for cell in cells if cell.strip()]
    if not given:
        return "unknown"
    ints = sum(_is(int, cell) for cell in given)
    numbers = sum(_is(float, cell) for cell in given)
    words = sum(flag(cell) is not None for cell in given) if numbers < len(given) else 0
    if (numbers + words) * 10 < len(given) * 9:
        return "text"
    if not numbers:
        return "flag"
    return "int" if ints == numbers else "float"


def _is(kind: Callable[[str], float | int], cell: str) -> bool:
    try:
        kind(cell)
    except ValueError:
        return False
    return "_" not in cell


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN else text[:_SHOWN] + " ..."
