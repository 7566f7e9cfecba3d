"""Polars frames and series <-> columns. Imported only where Polars already is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from foretell.columns import Bytes, Column, Dense, Ragged
from foretell.forms.mapping import Sort
from foretell.forms.raw import Raw, nullable_text, read_array, refuse, refuse_decimal, refuse_temporal, wants_float
from foretell.forms.sequences import read_sequence
from foretell.forms.values import to_python
from foretell.types import TensorSpec


def table(data: Any) -> dict[str, Any]:
    """The columns of a frame by name."""
    return {series.name: series for series in data.get_columns()}


def sort(cells: Any) -> Sort:
    import polars as pl

    if cells.dtype == pl.Boolean:
        return "flag"
    return "number" if cells.dtype.is_integer() or cells.dtype.is_float() else "other"


def read(series: Any, where: str, spec: TensorSpec | None) -> Raw:
    """The cells of a series; categoricals as their strings, lists as rows of one length or ragged."""
    import polars as pl

    dtype = series.dtype
    if dtype.is_temporal():
        raise refuse_temporal(where, str(dtype))
    if dtype.is_decimal():
        if not wants_float(spec):
            raise refuse_decimal(where)
        series = series.cast(pl.Float64)
    if dtype in (pl.Struct, pl.Object):
        raise refuse("a cell holds no plain value", where, "select its fields", str(dtype))
    if dtype in (pl.Categorical, pl.Enum):
        series = series.cast(pl.String)
    if series.dtype.is_numeric() or series.dtype == pl.Boolean:
        return _flat(series, where)
    if series.dtype in (pl.String, pl.Binary):
        return nullable_text(series.to_list(), where)
    if isinstance(series.dtype, pl.List) and not series.null_count():
        return _lists(series, where, spec)
    if isinstance(series.dtype, pl.Array) and not series.null_count():
        shape = series.dtype.shape
        inner = read(series.reshape((-1,)) if len(series) else series.explode(), where, spec)
        return _reshaped(inner, len(series), shape)
    return read_sequence(series.to_list(), where, spec)


def _flat(series: Any, where: str) -> Raw:
    if not series.null_count():
        return read_array(series.to_numpy(), where)
    blank = False if series.dtype.to_python() is bool else 0
    return Raw(read_array(series.fill_null(blank).to_numpy(), where).data, series.is_null().to_numpy())


def _lists(series: Any, where: str, spec: TensorSpec | None) -> Raw:
    lengths = series.list.len().to_numpy().astype(np.int64)
    inner = read(series.filter(series.list.len() > 0).explode(), where, spec)
    if len(lengths) and len(set(lengths.tolist())) == 1 and lengths[0] and inner.offsets is None:
        return inner.folded(int(lengths[0]))
    if inner.offsets is not None:
        return read_sequence(series.to_list(), where, spec)
    return Raw(inner.data, inner.nulls, np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)]))


def _reshaped(inner: Raw, rows: int, shape: tuple[int, ...]) -> Raw:
    nulls = None if inner.nulls is None else inner.nulls.reshape(rows, *shape)
    if isinstance(inner.data, Bytes):
        return Raw(Bytes(inner.data.offsets, inner.data.data, shape), nulls)
    return Raw(inner.data.reshape(rows, *shape), nulls)


def frame(columns: Mapping[str, Column], missing: Sequence[int]) -> Any:
    """A frame with one column per output; rows in `missing` are null. Vectors are lists."""
    import polars as pl

    return pl.DataFrame([_series(name, column, missing, pl) for name, column in columns.items()])


def _series(name: str, column: Column, missing: Sequence[int], pl: Any) -> Any:
    if not isinstance(column, Dense) or column.data.ndim > 2 or (column.data.ndim == 2 and not column.data.size):
        cells = to_python(column)
        for row in missing:
            cells[row] = None
        return _of_cells(name, cells, column, pl)
    data = column.data.astype(np.float32) if column.data.dtype == np.float16 else column.data
    series = pl.Series(name, np.ascontiguousarray(data))
    if data.ndim == 2:
        series = series.arr.to_list()
    if column.valid is None and not missing:
        return series
    keep = np.ones(len(data), np.bool_) if column.valid is None else column.valid.copy()
    keep[list(missing)] = False
    return pl.select(pl.when(pl.Series(keep)).then(series).alias(name)).to_series()


def _of_cells(name: str, cells: list[Any], column: Column, pl: Any) -> Any:
    if isinstance(column, Bytes) and any(isinstance(cell, bytes) for cell in cells):
        return pl.Series(name, [c.encode() if isinstance(c, str) else c for c in cells], dtype=pl.Binary)
    if cells:
        return pl.Series(name, cells)
    inner: Any = pl.String
    values = column.values if isinstance(column, Ragged) else column
    if isinstance(values, Dense):
        inner = pl.Series(np.zeros(0, values.data.dtype)).dtype
    return pl.Series(name, cells, dtype=inner if isinstance(column, Bytes) else pl.List(inner))
