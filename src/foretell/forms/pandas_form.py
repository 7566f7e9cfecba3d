"""pandas frames and series <-> columns. Imported only where pandas already is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from foretell.columns import Column, Dense
from foretell.errors import InvalidInput
from foretell.forms.mapping import Sort
from foretell.forms.raw import Raw, nullable_text, read_array, refuse_temporal
from foretell.forms.sequences import read_sequence
from foretell.forms.values import objects, to_numpy
from foretell.types import TensorSpec


def table(data: Any) -> dict[str, Any]:
    """The columns of a frame by name. Raises `InvalidInput` where two have the same name."""
    names = [str(name) for name in data.columns]
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InvalidInput(f"two columns are named {twice!r}", fix="rename one")
    return {name: series for name, (_, series) in zip(names, data.items(), strict=True)}


def sort(cells: Any) -> Sort:
    from pandas.api.types import is_bool_dtype, is_complex_dtype, is_numeric_dtype

    dtype = getattr(cells, "dtype", None)
    if dtype is None:
        return "other"  # a single value of pandas' own: NA, a timestamp
    if hasattr(dtype, "categories"):
        dtype = dtype.categories.dtype
    if is_bool_dtype(dtype):
        return "flag"
    return "number" if is_numeric_dtype(dtype) and not is_complex_dtype(dtype) else "other"


def read(series: Any, where: str, spec: TensorSpec | None) -> Raw:
    """The cells of a series or an index; categoricals as their values, missing cells as nulls."""
    if not hasattr(series, "array"):
        import pandas as pd

        series = pd.Series(series)
    dtype = series.dtype
    if hasattr(dtype, "categories") and hasattr(dtype, "ordered"):
        return _categorical(series, where, spec)
    if hasattr(dtype, "pyarrow_dtype") or getattr(dtype, "storage", None) == "pyarrow":
        from foretell.forms.arrow_form import read as read_arrow

        return read_arrow(series.array.__arrow_array__(), where, spec)
    if hasattr(dtype, "storage"):
        return nullable_text(series.tolist(), where)
    if hasattr(dtype, "numpy_dtype") and hasattr(dtype, "na_value"):
        nulls = np.asarray(series.isna())
        data = series.to_numpy(dtype=dtype.numpy_dtype, na_value=0) if nulls.any() else series.to_numpy()
        return Raw(read_array(np.asarray(data, dtype.numpy_dtype), where).data, nulls if nulls.any() else None)
    if dtype.kind in "mM" or type(dtype).__name__ in {"PeriodDtype", "IntervalDtype"}:
        raise refuse_temporal(where, str(dtype))
    values = np.asarray(series)
    return read_sequence(values.tolist(), where, spec) if values.dtype.kind == "O" else read_array(values, where)


def _categorical(series: Any, where: str, spec: TensorSpec | None) -> Raw:
    categories = series.dtype.categories
    if categories.dtype.kind in "mM":
        raise refuse_temporal(where, f"categories of {categories.dtype}")
    values = np.array(series.astype(object), object)
    values[np.asarray(series.isna())] = None
    return read_sequence(values.tolist(), where, spec)


def frame(columns: Mapping[str, Column], missing: Sequence[int], rows: int, index: Any) -> Any:
    """A frame with one column per output; rows in `missing` are null. Vectors are arrays, one in each cell."""
    import pandas as pd

    if index is None:
        index = pd.RangeIndex(rows)
    cells = {name: pd.Series(_cells(column, missing, pd), index=index) for name, column in columns.items()}
    return pd.DataFrame(cells, index=index)


def _cells(column: Column, missing: Sequence[int], pd: Any) -> Any:
    if isinstance(column, Dense) and not column.row_shape:
        if column.valid is None or column.data.dtype.kind == "f":
            return to_numpy(column)
        kind = pd.arrays.BooleanArray if column.data.dtype.kind == "b" else pd.arrays.IntegerArray
        return kind(column.data, ~column.valid)
    cells = objects(list(to_numpy(column)))
    cells[list(missing)] = None
    if column.valid is not None:
        cells[~column.valid] = None
    return cells
