"""Big data in pieces: cut rows of any form apart, and put the answers together again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from foretell.errors import InvalidInput
from foretell.forms.form import Kind, is_frame, library
from foretell.forms.intake import is_single
from foretell.forms.rank import rank
from foretell.forms.values import objects
from foretell.types import ModelSpec


def count_rows(data: object, spec: ModelSpec) -> int | None:
    """The rows of data in memory, 1 for a single row; None for what has no length, such as an iterator."""
    if hasattr(data, "__next__") or not (hasattr(data, "__len__") or rank(data) == 0):
        return None
    if is_single(data, spec):
        return 1
    return _length(data)


def chunks(data: object, size: int) -> Iterator[object]:
    """`data`, which is rows (see `is_single`), in pieces of at most `size` rows, in order and in its own form.

    Arrays, frames and tables are not copied. Data without rows gives one empty piece, so that it has an answer, too.
    """
    if size < 1:
        raise InvalidInput("a chunk needs rows", expected="at least 1", got=size)
    rows = _length(data)
    for start in range(0, max(rows, 1), size):
        yield cut(data, start, min(start + size, rows))


def _length(data: Any) -> int:
    if not isinstance(data, Mapping):
        return int(data.num_rows) if hasattr(data, "num_rows") else len(data)
    lengths = {str(name): len(values) for name, values in data.items() if _is_column(values)}
    if len(set(lengths.values())) > 1:
        got = ", ".join(f"{rows} of {name!r}" for name, rows in lengths.items())
        raise InvalidInput("the columns differ in length", expected="one value for each row", got=got)
    return next(iter(lengths.values()), 0)


def _is_column(values: Any) -> bool:
    """Whether a dict's value has rows; what has none is no input, and reading it says so."""
    sized = hasattr(values, "__len__") and getattr(values, "ndim", 1) != 0
    return sized and not isinstance(values, (str, bytes, Mapping))


def cut(data: Any, start: int, stop: int) -> Any:
    """The rows from `start` to `stop` of data that is rows, in its own form."""
    match library(data):
        case Kind.PANDAS:
            return data.iloc[start:stop] if hasattr(data, "iloc") else data[start:stop]
        case Kind.POLARS | Kind.ARROW:
            return data.slice(start, stop - start)
    if isinstance(data, Mapping):
        return {name: cut(values, start, stop) if _is_column(values) else values for name, values in data.items()}
    return data[start:stop]


def join(parts: list[Any]) -> object:
    """The answers of pieces as one answer of their form, in order. `parts`: one or more, from `from_batch` or hooks."""
    if len(parts) == 1:
        return parts[0]
    if not parts:
        raise ValueError("there is nothing to join")
    first = parts[0]
    if is_frame(first):
        return _join_frames(parts, library(first))
    if isinstance(first, Mapping):
        return {name: _join_values([part[name] for part in parts]) for name in first}
    return _join_values(parts)


def _join_frames(parts: list[Any], kind: Kind | None) -> object:
    if kind is Kind.PANDAS:
        import pandas as pd

        # Parts of one index go on where those before them end; rows that were counted anew in each are counted again.
        counted = all(isinstance(part.index, pd.RangeIndex) and part.index.start == 0 for part in parts)
        return pd.concat(parts, ignore_index=counted)
    if kind is Kind.POLARS:
        import polars as pl

        return pl.concat(parts, how="vertical_relaxed")
    import pyarrow as pa

    try:
        return pa.concat_tables(parts, promote_options="permissive")
    except pa.ArrowInvalid:
        # Vectors that have one length in one piece and differ in another: a fixed size cannot hold them all.
        return pa.concat_tables([_without_fixed_sizes(part) for part in parts], promote_options="permissive")


def _without_fixed_sizes(table: Any) -> Any:
    import pyarrow as pa

    schema = pa.schema([
        pa.field(f.name, pa.large_list(f.type.value_type) if pa.types.is_fixed_size_list(f.type) else f.type)
        for f in table.schema
    ])  # fmt: skip
    return table.cast(schema)


def _join_values(parts: list[Any]) -> Any:
    if isinstance(parts[0], list):
        return [row for part in parts for row in part]
    if len({part.shape[1:] for part in parts}) == 1:
        return np.concatenate(parts)
    return objects([row for part in parts for row in part])
