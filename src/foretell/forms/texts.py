"""Columns as texts: a cell of JSON, or a cell of CSV, for each row. No Python object is made for a number."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from itertools import chain, pairwise, repeat
from typing import Any

import numpy as np
import orjson

from foretell.columns import Array, Bytes, Dense, Mask, Ragged
from foretell.forms.plain import Plain

Texts = list[bytes]

_OPTIONS = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS
_JSON_SPECIAL = re.compile(rb'["\\\x00-\x1f]')
_CSV_SPECIAL = re.compile(rb'[",\r\n]')
_SEPARATOR = b"\x7f"


def json_texts(column: Plain) -> Texts:
    """Each row as JSON. Vectors are lists; nulls, NaN and infinities are null; a float has the fewest digits that give
    the same float of its own size. Raises UnicodeDecodeError for bytes that are no text."""
    if isinstance(column, list):
        return [_json(value) for value in column]
    if isinstance(column, Ragged):
        inner, bounds = json_texts(column.values), column.offsets.tolist()
        return [_listed(inner[start:stop]) for start, stop in pairwise(bounds)]
    if isinstance(column, Dense):
        return _with_nulls(_numbers(column.data), column.valid, b"null")
    texts = _strings(column)
    for size in reversed(column.row_shape):
        rows = len(texts) // size if size else len(column)
        texts = [_listed(texts[at * size : (at + 1) * size]) for at in range(rows)]
    return _with_nulls(texts, column.valid, b"null")


def json_lines(table: Mapping[str, Texts], rows: int) -> bytes:
    """One object a line; `table`: the texts of each of its fields, in order."""
    if not table:
        return b"{}\n" * rows
    pieces = [repeat(orjson.dumps(name) + b":") for name in table]
    marks = [repeat(mark) for mark in (b"{", *[b","] * (len(table) - 1))]
    columns = chain.from_iterable(zip(marks, pieces, table.values(), strict=True))
    return b"".join(chain.from_iterable(zip(*columns, repeat(b"}\n"), strict=False)))


def csv_texts(column: Plain) -> Texts:
    """Each row as one cell of CSV, quoted where RFC 4180 asks for it.

    A null is empty, an empty text is `""`; NaN and infinities are `NaN`, `inf` and `-inf`; a vector is its JSON. Raises
    UnicodeDecodeError for bytes that are no text.
    """
    if isinstance(column, list):
        return [_csv(value) for value in column]
    if isinstance(column, Dense) and not column.row_shape:
        texts = _numbers(column.data)
        if column.data.dtype.kind == "f":
            for row in np.flatnonzero(~np.isfinite(column.data)).tolist():
                texts[row] = _endless(float(column.data[row]))
        return _with_nulls(texts, column.valid, b"")
    if isinstance(column, Bytes) and not column.row_shape:
        return _with_nulls(quoted(_decodable(column)), column.valid, b"")
    return _with_nulls(quoted(json_texts(column)), column.valid, b"")


def quoted(texts: Sequence[bytes]) -> Texts:
    """The same as cells of CSV."""
    if not _CSV_SPECIAL.search(_SEPARATOR.join(texts)):
        return [text or b'""' for text in texts]
    return [_quoted(text) for text in texts]


def _quoted(text: bytes) -> bytes:
    return b'"' + text.replace(b'"', b'""') + b'"' if _CSV_SPECIAL.search(text) or not text else text


def _numbers(data: Array) -> Texts:
    """Numbers or flags [rows, ...] as JSON, written in one piece and then cut at its commas."""
    rows, inner = len(data), data.shape[1:]
    if not rows:
        return []
    if 0 in inner:
        return [orjson.dumps(data[0].tolist())] * rows
    if data.dtype.kind == "f" and data.dtype.itemsize not in (4, 8):
        data = data.astype(np.float32 if data.dtype.itemsize < 4 else np.float64)
    native = data if data.dtype.isnative else data.astype(data.dtype.newbyteorder("="))
    whole = orjson.dumps(np.ascontiguousarray(native), option=_OPTIONS)
    depth = len(inner)
    opening, closing = b"[" * depth, b"]" * depth
    cut = whole[depth + 1 : -depth - 1].split(closing + b"," + opening)
    return [opening + text + closing for text in cut] if depth else cut


def _strings(column: Bytes) -> Texts:
    items = _decodable(column)
    if not _JSON_SPECIAL.search(_SEPARATOR.join(items)):
        return [b'"' + item + b'"' for item in items]
    return [orjson.dumps(item.decode()) for item in items]


def _decodable(column: Bytes) -> Texts:
    items = column.items()
    _SEPARATOR.join(items).decode()
    return items


def _listed(texts: Sequence[bytes]) -> bytes:
    return b"[" + b",".join(texts) + b"]"


def _with_nulls(texts: Texts, valid: Mask | None, null: bytes) -> Texts:
    if valid is not None:
        for row in np.flatnonzero(~valid).tolist():
            texts[row] = null
    return texts


def _json(value: Any) -> bytes:
    if type(value) is int:
        return str(value).encode()  # orjson stops at 64 bits
    try:
        return orjson.dumps(value, default=_other, option=_OPTIONS)
    except orjson.JSONEncodeError as error:
        if isinstance(error.__cause__, UnicodeError):
            raise error.__cause__ from None
        raise


def _other(value: Any) -> Any:
    if isinstance(value, Decimal):
        return orjson.Fragment(str(value)) if value.is_finite() else None
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value).decode()
    if isinstance(value, (np.ndarray, np.generic)):
        return value.tolist()
    return str(value)


def _csv(value: Any) -> bytes:
    if value is None:
        return b""
    if isinstance(value, float) and not np.isfinite(value):
        return _endless(value)
    text = _json(value)
    return _quoted(orjson.loads(text).encode() if text.startswith(b'"') else text)


def _endless(value: float) -> bytes:
    return b"NaN" if value != value else b"inf" if value > 0 else b"-inf"  # noqa: PLR0124 (a NaN is not itself)
