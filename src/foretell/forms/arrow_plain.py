"""The cells of Arrow arrays as columns. Imported only where pyarrow already is."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as kinds

from foretell.columns import Bytes, Column, Dense
from foretell.forms.arrow_form import read


def plain_arrow(array: Any) -> Column | list[Any]:
    """Numbers, flags and text as columns; dates and times as text in ISO 8601; all else as Python values."""
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    if isinstance(array, pa.ExtensionArray):
        array = array.storage
    if kinds.is_dictionary(array.type):
        array = array.dictionary_decode()
    if kinds.is_temporal(array.type):
        array = time_texts(array)
    if kinds.is_float16(array.type):
        array = array.cast(pa.float32())
    if _is_simple(array.type):
        raw = read(array, "the key", None)
        valid = None if raw.nulls is None else ~raw.nulls
        if isinstance(raw.data, Bytes):
            return Bytes(raw.data.offsets, raw.data.data, (), valid)
        return Dense(raw.data, valid)
    items: list[Any] = array.to_pylist()
    return items


def time_texts(array: Any) -> Any:
    """Dates and times as text in ISO 8601, of a zone in UTC; durations as whole numbers."""
    kind = array.type
    if kinds.is_interval(kind):
        return array
    if kinds.is_duration(kind):
        return array.cast(pa.int64())
    if kinds.is_timestamp(kind) and kind.tz is not None:
        array = array.cast(pa.timestamp(kind.unit, "UTC"))  # the name of a zone needs a database to be read
    text = array.cast(pa.string())
    return pc.replace_substring(text, " ", "T", max_replacements=1) if kinds.is_timestamp(kind) else text


def _is_simple(kind: Any) -> bool:
    number = kinds.is_integer(kind) or kinds.is_floating(kind) or kinds.is_boolean(kind)
    text = kinds.is_string(kind) or kinds.is_large_string(kind) or kinds.is_string_view(kind)
    binary = kinds.is_binary(kind) or kinds.is_large_binary(kind) or kinds.is_binary_view(kind)
    return bool(number or text or binary or kinds.is_fixed_size_binary(kind))
