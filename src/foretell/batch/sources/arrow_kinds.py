"""What Arrow's types are to a model."""

from __future__ import annotations

from typing import Any

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
    return "other"


def first_line(error: Exception) -> str:
    """What pyarrow says, without its trace."""
    return str(error).strip().partition("\n")[0]
