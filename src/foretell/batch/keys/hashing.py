"""Hashes of keys: the same in every process, and for every way in which the same cells may lie in memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from foretell.batch.keys.cells import Numbers, Texts, plain
from foretell.columns import Array
from foretell.forms.cells import Cells, items, plain_value

_STEP = np.uint64(0x9E3779B97F4A7C15)
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_NULL = np.uint64(0x6E756C6C)
_OF_NUMBERS, _OF_TEXTS = np.uint64(1), np.uint64(2)


def hashes(columns: Sequence[Cells]) -> Array:
    """One of 64 bits for each row, of all columns of its key together."""
    made = np.zeros(len(columns[0]), np.uint64)
    for cells in columns:
        made = _mixed(made * _STEP + _hashes(cells))
    return made


def listed(cells: Cells) -> list[Any]:
    """The cells as values of Python, as JSON can hold them."""
    return [None if item is np.ma.masked else plain_value(item) for item in items(cells)]


def _hashes(cells: Cells) -> Array:
    known = plain(cells)
    if isinstance(known, Numbers):
        return _or_null(_of_numbers(known.values), known.nulls)
    if isinstance(known, Texts):
        return _or_null(_of_texts(known), known.nulls)
    return _of_list(listed(cells))


def _of_list(items: list[Any]) -> Array:
    """Numbers and texts have the hash that they have in an array."""
    made = np.full(len(items), _NULL)
    numbers = [row for row, item in enumerate(items) if type(item) is int and -(2**63) <= item < 2**64]
    if numbers:
        values = [items[row] % 2**64 for row in numbers]
        made[numbers] = _of_numbers(np.array(values, np.uint64))
    others = set(numbers)
    texts = [row for row, item in enumerate(items) if item is not None and item == item and row not in others]  # noqa: PLR0124 (a NaN is not itself)
    if texts:
        made[texts] = _of_texts(Texts.of([_bytes(items[row]) for row in texts]))
    return made


def _bytes(item: Any) -> bytes:
    if isinstance(item, str):
        return item.encode("utf-8", "surrogatepass")
    return b"\0" + msgspec.json.encode(item)


def _of_numbers(values: Array) -> Array:
    return _mixed(values.astype(np.uint64) ^ _OF_NUMBERS)


def _of_texts(texts: Texts) -> Array:
    made = _mixed(texts.lengths.astype(np.uint64) * _STEP + _OF_TEXTS)
    if not len(made):
        return made
    words, rows = texts.words(), np.arange(len(made))
    for number in range(words.count):
        rows = rows[texts.lengths[rows] > 8 * number]
        made[rows] = _mixed(made[rows] * _STEP + words.get(number, rows))
    return made


def _or_null(made: Array, nulls: Array | None) -> Array:
    return made if nulls is None else np.where(nulls, _NULL, made)


def _mixed(values: Array) -> Array:
    """The last steps of SplitMix64 (Steele, Lea and Flood, 2014): each bit depends on all bits."""
    values = (values ^ (values >> np.uint64(30))) * _FIRST
    values = (values ^ (values >> np.uint64(27))) * _SECOND
    return np.asarray(values ^ (values >> np.uint64(31)))
