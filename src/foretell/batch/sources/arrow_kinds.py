"""What Arrow's types are to a model."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np

from foretell.batch.sources.source import FieldKind


def kind_of(kind: Any) -> FieldKind:
    """Of a type of Arrow."""
    import pyarrow as pa

    kinds = pa.types
    if kinds.is_dictionary(kind):
        kind = kind.value_type
    if kinds.is_integer(kind) or kinds.is_floating(kind) or kinds.is_decimal(kind):
        return "number"
    if kinds.is_string(kind) or kinds.is_large_string(kind) or kinds.is_string_view(kind):
        return "text"
    if kinds.is_boolean(kind):
        return "bool"
    return "time" if kinds.is_date(kind) or kinds.is_timestamp(kind) else "other"


def has_views(kind: Any) -> bool:
    """Whether `without_views` changes an array of this type."""
    return bool(_without_views(kind) != kind)


def without_views(array: Any) -> Any:
    """The same cells without views of strings, which Arrow's own functions know little of. Views of lists stay, and are
    refused: their cast of pyarrow 26 loses the last list."""
    kind = _without_views(array.type)
    return array if kind == array.type else array.cast(kind)


def _without_views(kind: Any) -> Any:
    import pyarrow as pa

    kinds = pa.types
    if kinds.is_string_view(kind):
        return pa.large_string()
    if kinds.is_binary_view(kind):
        return pa.large_binary()
    if kinds.is_dictionary(kind):
        return pa.dictionary(kind.index_type, _without_views(kind.value_type), kind.ordered)
    if kinds.is_struct(kind):
        return pa.struct([field.with_type(_without_views(field.type)) for field in kind])
    if kinds.is_fixed_size_list(kind):
        return pa.list_(_without_views(kind.value_type), kind.list_size)
    if (kinds.is_list(kind) or kinds.is_large_list(kind)) and has_views(kind.value_type):
        return pa.large_list(_without_views(kind.value_type))
    return kind


def first_line(error: Exception) -> str:
    """What pyarrow says, without its trace."""
    return str(error).strip().partition("\n")[0]


def plain_cells(array: Any) -> Any:
    """The cells of an array in NumPy or Python: numbers without nulls as an array, all else as a list."""
    import pyarrow as pa

    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    if kind_of(array.type) == "number" and not array.null_count and not pa.types.is_dictionary(array.type):
        if pa.types.is_decimal(array.type):
            array = array.cast(pa.float64())
        return array.to_numpy(zero_copy_only=False)
    if pa.types.is_integer(array.type) or pa.types.is_floating(array.type):
        absent = array.is_null().to_numpy(zero_copy_only=False)
        blank = pa.scalar(0).cast(array.type)
        return np.ma.MaskedArray(array.fill_null(blank).to_numpy(zero_copy_only=False), absent)
    cells = array.to_pylist()
    return [float(cell) if isinstance(cell, Decimal) else cell for cell in cells]


def as_numbers(array: Any) -> Any:
    """Booleans, dates and times as the numbers that stand for them: see `moments.number_of`."""
    import pyarrow as pa

    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if pa.types.is_boolean(array.type):
        return array.cast(pa.uint8())
    return array.view(pa.int32() if pa.types.is_date32(array.type) else pa.int64())


def unit_of(kind: Any) -> str:
    """Of a date or a time: "D", "s", "ms", "us" or "ns"."""
    import pyarrow as pa

    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if pa.types.is_date32(kind):
        return "D"
    return "ms" if pa.types.is_date64(kind) else str(kind.unit)
