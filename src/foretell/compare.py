"""How far answers to the same rows are apart. Pure, and small enough to be done again by another script.

A row without a value (a null) is as one with NaN: floats have no other null. All NaN are one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from foretell.certificate import Difference
from foretell.columns import Array, Batch, Bytes, Column, Dense, Index, Mask, Ragged

Answered = Iterable[tuple[Index, Batch]]
"""The rows of each call, and the answer to them."""

_SAME = Difference()


def compare(reference: Batch, answered: Answered) -> tuple[dict[str, Difference], int]:
    """By output, and the rows that failed on one side only. `reference`: the answers to all rows, in their order."""
    found = dict.fromkeys(reference.columns, _SAME)
    failed = 0
    for rows, answer in answered:
        bad = {at for at, row in enumerate(rows.tolist()) if row in reference.errors}
        failed += len(bad ^ set(answer.errors))
        good = np.array([at for at in range(len(rows)) if at not in bad and at not in answer.errors], np.int64)
        if not len(good):
            continue
        for name in dict.fromkeys((*reference.columns, *answer.columns)):
            each = difference(reference.columns.get(name), answer.columns.get(name), rows[good], good)
            found[name] = merged(found.get(name, _SAME), each)
    return found, failed


@dataclass(frozen=True, slots=True)
class Gaps:
    """How far rows are apart: each an array [rows].

    `same`: to the bit. `absolute`, `relative`: the largest in the row; infinite where a text, a whole number, NaN, an
    infinity, a null or a shape differs, for which no number says how far.
    """

    same: Mask
    absolute: Array
    relative: Array


def difference(expected: Column | None, got: Column | None, rows: Index, places: Index) -> Difference:
    """Of one output: rows `rows` of what was expected, rows `places` of what came. None: there is no such output."""
    found = gaps(_taken(expected, rows), _taken(got, places))
    differing = np.flatnonzero(~found.same)
    if not len(differing):
        return _SAME
    absolute = found.absolute[differing]
    worst = int(absolute.argmax())
    row = int(rows[differing[worst]])
    if np.isinf(absolute[worst]):
        return Difference(len(differing), None, None, row)
    return Difference(len(differing), float(absolute[worst]), float(found.relative[differing].max()), row)


def _taken(column: Column | None, rows: Index) -> Column | None:
    return None if column is None else column.take(rows)


def gaps(first: Column | None, second: Column | None) -> Gaps:
    """Of as many rows in both. None, for at most one of them: all its rows differ."""
    if first is None or second is None:
        known = second if first is None else first
        return _unlike(0 if known is None else len(known))
    plain = first.valid is None and second.valid is None
    if plain and isinstance(first, Dense) and isinstance(second, Dense) and first.data.shape == second.data.shape:
        return _of_arrays(first.data, second.data)
    each = [_of_values(one, other) for one, other in zip(values_of(first), values_of(second), strict=True)]
    if not each:
        return _alike(0)
    parts = [[g.same for g in each], [g.absolute for g in each], [g.relative for g in each]]
    return Gaps(*map(np.concatenate, parts))


def merged(one: Difference, other: Difference) -> Difference:
    """Of all rows of both."""
    if not one.rows or not other.rows:
        return one if one.rows else other
    rows = one.rows + other.rows
    if one.absolute is None or other.absolute is None:
        return Difference(rows, None, None, one.row if one.absolute is None else other.row)
    worst = one if one.absolute >= other.absolute else other
    relative = max(one.relative or 0.0, other.relative or 0.0)
    return Difference(rows, worst.absolute, relative, worst.row)


def _alike(rows: int) -> Gaps:
    return Gaps(np.ones(rows, bool), np.zeros(rows), np.zeros(rows))


def _unlike(rows: int) -> Gaps:
    return Gaps(np.zeros(rows, bool), np.full(rows, np.inf), np.full(rows, np.inf))


def _of_arrays(first: Array, second: Array) -> Gaps:
    """Of arrays [rows, ...] of one shape."""
    if not first.size:
        return _alike(len(first))
    if first.dtype != second.dtype:
        return _unlike(len(first))
    same = _same_bits(first, second).reshape((len(first), -1))
    found = _alike(len(first))
    found.same[:] = same.all(axis=1)
    differing = np.flatnonzero(~found.same)
    if first.dtype.kind != "f":
        found.absolute[differing] = found.relative[differing] = np.inf
    if first.dtype.kind != "f" or not len(differing):
        return found
    first, second = (each.reshape((len(each), -1))[differing] for each in (first, second))
    same = same[differing]
    comparable = same | (np.isfinite(first) & np.isfinite(second))
    wide = [np.where(comparable & ~same, each, 0).astype(np.float64) for each in (first, second)]
    size = np.maximum(np.abs(wide[0]), np.abs(wide[1]))
    with np.errstate(over="ignore"):  # of the largest numbers; a certificate has no infinity
        gap = np.minimum(np.abs(wide[0] - wide[1]), np.finfo(np.float64).max)
    relative = np.divide(gap, size, out=np.zeros_like(gap), where=size > 0)
    told = comparable.all(axis=1)
    found.absolute[differing] = np.where(told, gap.max(axis=1), np.inf)
    found.relative[differing] = np.where(told, relative.max(axis=1), np.inf)
    return found


def _of_values(one: Array | None, other: Array | None) -> Gaps:
    """Of one row, where rows differ in length, are strings, or are null."""
    if one is None or other is None:
        return _alike(1) if _is_none(one) and _is_none(other) else _unlike(1)
    if one.shape == other.shape and "O" not in (one.dtype.kind, other.dtype.kind):
        return _of_arrays(one[None], other[None])
    same = one.shape == other.shape and one.tolist() == other.tolist()
    return _alike(1) if same else _unlike(1)


def _same_bits(first: Array, second: Array) -> Mask:
    """Element by element, of arrays of one type; all NaN are one."""
    if first.dtype.kind != "f":
        return np.asarray(first == second)
    whole = f"u{first.dtype.itemsize}"
    bits = np.ascontiguousarray(first).view(whole) == np.ascontiguousarray(second).view(whole)
    return np.asarray(bits | (np.isnan(first) & np.isnan(second)))


def _is_none(value: Array | None) -> bool:
    return value is None or (value.dtype.kind == "f" and value.size > 0 and bool(np.isnan(value).all()))


def values_of(column: Column) -> list[Array | None]:
    """One array for each row; None for a null."""
    if isinstance(column, Ragged):
        inner = _flat(column.values)
        return [inner[start:stop] for start, stop in zip(column.offsets[:-1], column.offsets[1:], strict=True)]
    valid = [True] * len(column) if column.valid is None else column.valid.tolist()
    return [np.asarray(each) if is_value else None for each, is_value in zip(_flat(column), valid, strict=True)]


def _flat(column: Dense | Bytes) -> Array:
    if isinstance(column, Dense):
        return column.data
    items = column.items()
    texts = np.empty(len(items), object)
    texts[:] = items
    return texts.reshape((len(column), *column.row_shape))
