"""Lists, nested lists and arrays of Python objects, read into `Raw`.

The kinds of the elements are looked at before anything is converted: NumPy alone would turn `[1, "a"]` into two
strings without a word. Booleans among numbers are 0 and 1, but not for a model that takes booleans.
"""

from __future__ import annotations

import datetime
import math
import numbers
from collections.abc import Sequence
from decimal import Decimal
from itertools import chain
from typing import Any

import numpy as np

from foretell.columns import Index, Mask
from foretell.errors import InvalidInput, RowError
from foretell.forms.raw import Raw, read_array, refuse, refuse_decimal, refuse_temporal, text, wants_float
from foretell.types import DataType, TensorSpec

_WORDS = {"bool": "booleans", "int": "numbers", "float": "numbers", "text": "strings"}


MAX_AXES = 32
"""As many as NumPy once had; nesting beyond it is no tensor but an attack or a mistake."""


def read_sequence(items: Sequence[Any], where: str, spec: TensorSpec | None, depth: int = 1) -> Raw:
    """Rows in a list: values, nested lists, arrays; None is a null. Rows of different length become ragged."""
    if depth > MAX_AXES:
        raise InvalidInput("the lists are nested too deeply", where=where, expected=f"at most {MAX_AXES} axes")
    kinds = {kind: kind_of_cell(kind) for kind in set(map(type, items))}
    if "array" in kinds.values():
        items = [_unwrapped(item, where) if kinds[type(item)] == "array" else item for item in items]
        kinds = {kind: kind_of_cell(kind) for kind in set(map(type, items))}
    if "nested" in kinds.values() or "array" in kinds.values():
        return _nested(items, set(kinds.values()), where, spec, depth)
    return _leaves(items, kinds, where, spec)


def kind_of_cell(kind: type) -> str:
    """What values of this type are in a tensor; "other" for what is no value of one."""
    if kind is type(None) or kind.__name__ in {"NAType", "MaskedConstant"}:
        return "null"
    if issubclass(kind, (bool, np.bool_)):
        return "bool"
    if issubclass(kind, (str, bytes, bytearray, memoryview)):
        return "text"
    if issubclass(kind, (list, tuple, range)):
        return "nested"
    if issubclass(kind, (datetime.date, datetime.time, datetime.timedelta, np.datetime64, np.timedelta64)):
        return "time"
    if issubclass(kind, (int, np.integer)):
        return "int"
    if issubclass(kind, (float, np.floating)):
        return "float"
    if issubclass(kind, Decimal):
        return "decimal"
    if issubclass(kind, numbers.Number):
        return "other"
    if issubclass(kind, np.ndarray) or hasattr(kind, "__array__"):
        return "array"
    return "other"


def _unwrapped(item: Any, where: str) -> Any:
    """An array of objects as lists, one without axes as its value, any other as a plain array."""
    try:
        array = item if isinstance(item, np.ma.MaskedArray) else np.asarray(item)
    except Exception as error:
        raise InvalidInput(f"{type(item).__name__} cannot be read as an array: {error}", where=where) from error
    if array.ndim == 0 or array.dtype.kind == "O":
        return array.tolist()
    return array


def _nested(items: Sequence[Any], kinds: set[str], where: str, spec: TensorSpec | None, depth: int) -> Raw:
    if not kinds <= {"nested", "array", "null"}:
        raise InvalidInput("rows and single values are mixed", where=where, fix="give every row the same shape")
    masked = any(isinstance(item, np.ma.MaskedArray) for item in items)
    if kinds == {"array"} and not masked and len({(item.shape, item.dtype) for item in items}) == 1:
        return read_array(np.stack([np.asarray(item) for item in items]), where)
    if kinds == {"array"} and not masked and len({(item.shape[1:], item.dtype) for item in items}) == 1:
        whole = read_array(np.concatenate([np.asarray(item) for item in items]), where)
        return Raw(whole.data, whole.nulls, np.cumsum([0, *map(len, items)]))
    rows: list[Any] = [item.tolist() if isinstance(item, np.ndarray) else item for item in items]
    lengths = np.array([-1 if _is_null(row) else len(row) for row in rows], np.int64)
    known = set(lengths.tolist()) - {-1}
    if len(known) == 1:
        width = known.pop()
        flat = list(chain.from_iterable([None] * width if _is_null(row) else row for row in rows))
        inner = read_sequence(flat, where, spec, depth + 1)
        return _folded(inner, len(rows), width, where)
    return _ragged(rows, lengths, where, spec, depth)


def _is_null(row: Any) -> bool:
    return not isinstance(row, (list, tuple, range))


def _folded(inner: Raw, rows: int, width: int, where: str) -> Raw:
    if inner.offsets is not None:
        raise InvalidInput("only the rows may differ in length", where=where, fix="pad the inner lists to one length")
    if width:
        return inner.folded(width)
    return Raw(np.zeros((rows, 0)))


def _ragged(rows: Sequence[Any], lengths: Index, where: str, spec: TensorSpec | None, depth: int) -> Raw:
    empty = np.flatnonzero(lengths < 0)
    if len(empty):
        error = InvalidInput(f"row {empty[0]} is null among rows of different length", where=where)
        error.rows = {row: RowError(InvalidInput.code, f"{where}: the row is null") for row in empty.tolist()}
        raise error
    inner = read_sequence(list(chain.from_iterable(rows)), where, spec, depth + 1)
    if inner.offsets is not None:
        raise InvalidInput("only the rows may differ in length", where=where, fix="pad the inner lists to one length")
    offsets = np.zeros(len(rows) + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return Raw(inner.data, inner.nulls, offsets)


def _leaves(items: Sequence[Any], kinds: dict[type, str], where: str, spec: TensorSpec | None) -> Raw:
    found = set(kinds.values()) - {"null"}
    _check_kinds(items, kinds, found, where, spec)
    nulls: Mask | None = None
    if "text" in found:
        absent = [kinds[type(item)] != "text" for item in items]
        if len(found) > 1 and not _only_nan(items, kinds, found):
            raise _mixed(found, where)
        if any(absent):
            nulls = np.array(absent, np.bool_)
            items = [None if gone else item for item, gone in zip(items, absent, strict=True)]
        return Raw(text([bytes(i) if isinstance(i, (bytearray, memoryview)) else i for i in items], where), nulls)
    if "bool" in found and len(found) > 1 and _takes_no_numbers(spec):
        if not _only_nan(items, kinds, found):
            raise _mixed(found, where)
        items = [None if kinds[type(item)] == "float" else item for item in items]
        return _leaves(items, {kind: kind_of_cell(kind) for kind in set(map(type, items))}, where, spec)
    if "null" in kinds.values():
        nulls = np.array([kinds[type(item)] == "null" for item in items], np.bool_)
        blank = math.nan if found <= {"float", "decimal"} else False if found == {"bool"} else 0
        items = [blank if gone else item for item, gone in zip(items, nulls.tolist(), strict=True)]
    return Raw(_numbers(items, found, where), nulls)


def _numbers(items: Sequence[Any], found: set[str], where: str) -> Any:
    if "decimal" in found or not found:
        return np.array([float(item) for item in items], np.float64)
    items = items if isinstance(items, (list, tuple)) else list(items)
    array = np.array(items)
    if array.dtype.kind == "f" and found <= {"int", "bool"} and min(items) >= 0:
        array = np.array(items, np.uint64)
    if array.dtype.kind not in ("biu" if found <= {"int", "bool"} else "f") or array.ndim != 1:
        raise InvalidInput("a number is too large", where=where, expected="numbers of at most 64 bits")
    return read_array(array, where).data


def _check_kinds(
    items: Sequence[Any], kinds: dict[type, str], found: set[str], where: str, spec: TensorSpec | None
) -> None:
    if "time" in found:
        raise refuse_temporal(where, next(kind.__name__ for kind, name in kinds.items() if name == "time"))
    if "decimal" in found and not wants_float(spec):
        raise refuse_decimal(where)
    if "other" in found:
        row = next(i for i, item in enumerate(items) if kinds[type(item)] == "other")
        kind = type(items[row]).__name__
        raise refuse(f"element {row} is no tensor value", where, "convert it first", kind)


def _takes_no_numbers(spec: TensorSpec | None) -> bool:
    return spec is not None and spec.datatype in (DataType.BOOL, DataType.BYTES) and not spec.category


def _only_nan(items: Sequence[Any], kinds: dict[type, str], found: set[str]) -> bool:
    """Whether the numbers among strings or booleans are all NaN, as pandas marks what is missing."""
    if found not in ({"text", "float"}, {"bool", "float"}):
        return False
    return all(math.isnan(item) for item in items if kinds[type(item)] == "float")


def _mixed(found: set[str], where: str) -> InvalidInput:
    words = sorted({_WORDS.get(kind, "numbers") for kind in found})
    return InvalidInput(
        f"{' and '.join(words)} are mixed", where=where, expected="values of one kind", fix="give one tensor per kind"
    )
