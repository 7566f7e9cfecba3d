"""Arrow tables, record batches and arrays <-> columns. Imported only where pyarrow already is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from foretell.columns import Bytes, Column, Dense, Ragged
from foretell.errors import InvalidInput
from foretell.forms.mapping import Sort
from foretell.forms.raw import Raw, read_array, refuse, refuse_decimal, refuse_temporal, wants_float
from foretell.forms.record import Record
from foretell.forms.sequences import read_sequence
from foretell.types import TensorSpec


def table(data: Any) -> dict[str, Any]:
    """The columns of a table or record batch by name. Raises `InvalidInput` where two have the same name."""
    names = list(data.schema.names)
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InvalidInput(f"two columns are named {twice!r}", fix="rename one")
    return dict(zip(names, data.columns, strict=True))


def sort(cells: Any) -> Sort:
    import pyarrow as pa

    kind = cells.type.value_type if pa.types.is_dictionary(cells.type) else cells.type
    if pa.types.is_boolean(kind):
        return "flag"
    return "number" if pa.types.is_integer(kind) or pa.types.is_floating(kind) else "other"


def read(array: Any, where: str, spec: TensorSpec | None) -> Raw:  # noqa: PLR0912 (one branch per Arrow type)
    """The cells of an array or chunked array; dictionaries as their values, lists of one length or ragged."""
    import pyarrow as pa

    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks() if array.num_chunks != 1 else array.chunk(0)
        if isinstance(array, pa.ChunkedArray):
            array = array.chunk(0)
    kinds = pa.types
    if isinstance(array, pa.ExtensionArray):
        shape = getattr(array.type, "shape", None)
        array = array.storage
        if shape is not None and not array.null_count:
            return _reshaped(read(array.flatten(), where, spec), len(array), tuple(shape))
    if kinds.is_dictionary(array.type):
        array = array.dictionary_decode()
    if kinds.is_temporal(array.type):
        raise refuse_temporal(where, str(array.type))
    if kinds.is_decimal(array.type):
        if not wants_float(spec):
            raise refuse_decimal(where)
        array = array.cast(pa.float64())
    if kinds.is_integer(array.type) or kinds.is_floating(array.type) or kinds.is_boolean(array.type):
        return _flat(array, where)
    if _is_text(array.type):
        return _strings(array)
    if kinds.is_fixed_size_list(array.type) and not array.null_count:
        return _reshaped(read(array.flatten(), where, spec), len(array), (array.type.list_size,))
    if kinds.is_list(array.type) or kinds.is_large_list(array.type):
        return _lists(array, where, spec)
    if kinds.is_null(array.type) or kinds.is_fixed_size_list(array.type):
        return read_sequence(array.to_pylist(), where, spec)
    raise refuse("a cell holds no plain value", where, "select its fields or convert it", str(array.type))


def _flat(array: Any, where: str) -> Raw:
    import pyarrow as pa

    if not array.null_count:
        plain = _numbers(array)
        return read_array(array.to_numpy(zero_copy_only=False) if plain is None else plain, where)
    blank = pa.scalar(False if pa.types.is_boolean(array.type) else 0).cast(array.type)
    data = array.fill_null(blank).to_numpy(zero_copy_only=False)
    return Raw(read_array(data, where).data, array.is_null().to_numpy(zero_copy_only=False))


def _numbers(array: Any) -> np.ndarray[Any, Any] | None:
    """The numbers of an array without nulls, in its own memory; None for what is packed otherwise.

    Straight from the buffer: pyarrow's own way to NumPy imports pandas where it is installed, which costs 0.4 s and
    50 MB in every process that needs nothing else of it.
    """
    dtype = _NUMPY.get(str(array.type))
    data = array.buffers()[1] if dtype is not None else None
    return None if data is None else np.frombuffer(data, dtype, len(array), array.offset * np.dtype(dtype).itemsize)


_NUMPY = {
    **{f"{sign}int{bits}": f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)},
    "halffloat": "float16", "float": "float32", "double": "float64",
}  # fmt: skip
_ARROW = {numpy: arrow for arrow, numpy in _NUMPY.items()}


def side_by_side(columns: Sequence[Any]) -> np.ndarray[Any, Any] | None:
    """Columns of numbers of one type and without nulls as an array [rows, columns]; None for any others."""
    import pyarrow as pa

    kinds = {str(column.type) for column in columns}
    if len(kinds) != 1 or kinds.isdisjoint(_NUMPY) or any(column.null_count for column in columns):
        return None
    if any(isinstance(column, pa.ChunkedArray) for column in columns):
        return None
    names = [str(number) for number in range(len(columns))]
    made = pa.RecordBatch.from_arrays(list(columns), names).to_tensor(row_major=True).to_numpy()
    return np.asarray(made)


def numbers_of(record: Record, names: Sequence[str]) -> np.ndarray[Any, Any] | None:
    """The same for columns of a record batch, by name."""
    import pyarrow as pa

    kinds = {record.kinds[name] for name in names}
    if len(kinds) != 1 or kinds.isdisjoint(_NUMPY):
        return None
    try:
        return np.asarray(record.batch.select(names).to_tensor(row_major=True).to_numpy())
    except pa.ArrowException:
        return None  # there are nulls


def _is_text(kind: Any) -> bool:
    import pyarrow as pa

    return any(
        check(kind)
        for check in (
            pa.types.is_string, pa.types.is_large_string, pa.types.is_binary, pa.types.is_large_binary,
            pa.types.is_string_view, pa.types.is_binary_view, pa.types.is_fixed_size_binary,
        )
    )  # fmt: skip


def _strings(array: Any) -> Raw:
    """Straight from the buffers: no Python object per string."""
    import pyarrow as pa

    is_string = pa.types.is_string(array.type) or pa.types.is_string_view(array.type)
    if is_string:
        array = array.cast(pa.large_string())
    elif not pa.types.is_large_string(array.type):
        array = array.cast(pa.binary()).cast(pa.large_binary())
    _, offsets, data = array.buffers()
    rows = len(array)
    bounds = np.zeros(rows + 1, np.int64)
    if offsets is not None and rows:
        bounds = np.frombuffer(offsets, np.int64, rows + 1, array.offset * 8)
    raw = np.frombuffer(data, np.uint8) if data is not None else np.zeros(0, np.uint8)
    nulls = array.is_null().to_numpy(zero_copy_only=False) if array.null_count else None
    return Raw(Bytes(bounds, raw).compact(), nulls)


def _lists(array: Any, where: str, spec: TensorSpec | None) -> Raw:
    if array.null_count:
        return read_sequence(array.to_pylist(), where, spec)
    inner = read(array.flatten(), where, spec)
    if inner.offsets is not None:
        return read_sequence(array.to_pylist(), where, spec)
    offsets = array.offsets.to_numpy().astype(np.int64)
    offsets = offsets - offsets[0]
    lengths = np.diff(offsets)
    if len(lengths) and lengths[0] and (lengths == lengths[0]).all():
        return inner.folded(int(lengths[0]))
    return Raw(inner.data, inner.nulls, offsets)


def _reshaped(inner: Raw, rows: int, shape: tuple[int, ...]) -> Raw:
    shape = (*shape, *inner.row_shape)
    nulls = None if inner.nulls is None else inner.nulls.reshape(rows, *shape)
    if isinstance(inner.data, Bytes):
        return Raw(Bytes(inner.data.offsets, inner.data.data, shape), nulls)
    return Raw(inner.data.reshape(rows, *shape), nulls)


def to_table(columns: Mapping[str, Column], missing: Sequence[int]) -> Any:
    """A table with one column per output; rows in `missing` are null. Vectors are lists, fixed-size where they are."""
    import pyarrow as pa

    return pa.table({name: array_of(column, missing) for name, column in columns.items()})


def array_of(column: Column, missing: Sequence[int] = ()) -> Any:
    """One column as an Arrow array; text where every element is UTF-8, else binary."""
    import pyarrow as pa

    nulls = mask = None
    if missing or column.valid is not None:
        nulls = np.zeros(len(column), np.bool_)
        nulls[list(missing)] = True
        if column.valid is not None:
            nulls |= ~column.valid
        mask = pa.array(nulls) if nulls.any() else None
    if isinstance(column, Ragged):
        offsets = column.offsets - column.offsets[0]
        inner = column.values.slice(int(column.offsets[0]), int(column.offsets[-1]))
        return pa.LargeListArray.from_arrays(pa.array(offsets), array_of(inner), mask=mask)
    shape = column.row_shape
    flat = _flat_array(column) if shape else _flat_array(column, nulls)
    for size in reversed(shape[1:]):
        flat = pa.FixedSizeListArray.from_arrays(flat, size)
    return pa.FixedSizeListArray.from_arrays(flat, shape[0], mask=mask) if shape else flat


def _flat_array(column: Dense | Bytes, nulls: Any = None) -> Any:
    import pyarrow as pa

    mask = nulls if nulls is not None and nulls.any() else None
    if isinstance(column, Dense):
        data = np.ascontiguousarray(column.data).reshape(-1)
        named = _ARROW.get(data.dtype.name)
        if mask is None and named is not None and data.dtype.isnative:  # without pandas, see `_numbers`
            return pa.Array.from_buffers(pa.type_for_alias(named), len(data), [None, pa.py_buffer(data)])
        return pa.array(data, mask=mask)
    compact = column.compact()
    validity = None if mask is None else pa.array(~mask).buffers()[1]
    buffers = [validity, pa.py_buffer(np.ascontiguousarray(compact.offsets)), pa.py_buffer(compact.data)]
    raw = pa.Array.from_buffers(pa.large_binary(), len(compact.offsets) - 1, buffers)
    try:
        return raw.cast(pa.large_string())
    except pa.ArrowInvalid:
        return raw
