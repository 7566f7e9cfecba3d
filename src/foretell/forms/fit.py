"""Fits what was read to what a model takes: datatype and shape of a row. Nothing changes its kind silently, but a
boolean is 0 or 1 wherever numbers are taken."""

from __future__ import annotations

import math

import numpy as np

from foretell.columns import Array, Bytes, Column, Dense, Index, Mask, Ragged
from foretell.errors import InvalidInput, RowError
from foretell.forms.raw import Raw
from foretell.types import DataType, Shape, TensorSpec


def fit(raw: Raw, where: str, spec: TensorSpec | None) -> Column:
    """The column a model takes. Raises `InvalidInput` where a value or the shape does not fit."""
    if raw.count == 0 and raw.offsets is None and not raw.row_shape and spec is not None:
        return empty(spec)
    raw = _widened(raw, spec)
    datatype = spec.datatype if spec is not None else None
    data, nulls = _without_kind(raw, datatype)
    if spec is not None and spec.category and not isinstance(data, Bytes) and data.dtype.kind in "iub":
        data = Bytes.of([str(int(number)) for number in data.reshape(-1).tolist()], raw.row_shape)
    if isinstance(data, Bytes):
        if datatype not in (None, DataType.BYTES):
            raise _wrong_kind("strings", datatype, where, "give numbers")
    elif datatype is not None:
        data, nulls = _converted(data, nulls, raw.offsets, datatype, where)
    elif nulls is not None and data.dtype.kind == "f":
        data, nulls = np.where(nulls, np.nan, data).astype(data.dtype, copy=False), None
    column = _column(data, nulls, raw.offsets)
    if spec is None or spec.shape is None:
        return column
    return _shaped(column, spec, spec.shape, where)


def _widened(raw: Raw, spec: TensorSpec | None) -> Raw:
    """Rows all of which are null have no shape of their own: they take the one wanted, as null rows beside others
    do."""
    shape = spec.shape if spec is not None else None
    if not shape or None in shape or raw.row_shape or raw.offsets is not None or isinstance(raw.data, Bytes):
        return raw
    absent = raw.nulls if raw.data.dtype.kind != "f" else np.isnan(raw.data)
    if absent is None or not absent.all():
        return raw
    whole = (raw.count, *(size for size in shape if size is not None))
    return Raw(np.full(whole, np.nan), np.ones(whole, np.bool_))


def _converted(
    data: Array, nulls: Mask | None, offsets: Index | None, to: DataType, where: str
) -> tuple[Array, Mask | None]:
    try:
        return convert(data, nulls, to, where)
    except InvalidInput as error:
        if offsets is None or not error.rows:
            raise
        rows = {int(np.searchsorted(offsets, at, "right")) - 1: reason for at, reason in error.rows.items()}
        named = f"{where}, row {min(rows)}"
        again = InvalidInput(error.what, where=named, expected=error.expected, got=error.got, fix=error.fix)
        again.rows = rows
        raise again from None


def empty(spec: TensorSpec | None) -> Column:
    """No rows of what `spec` describes."""
    shape = tuple(size or 0 for size in (spec.shape if spec is not None else None) or ())
    if spec is not None and spec.datatype is DataType.BYTES:
        return Bytes(np.zeros(1, np.int64), np.zeros(0, np.uint8), shape)
    dtype = spec.datatype.numpy if spec is not None and spec.datatype is not None else np.dtype(np.float64)
    return Dense(np.zeros((0, *shape), dtype))


def convert(data: Array, nulls: Mask | None, to: DataType, where: str) -> tuple[Array, Mask | None]:
    """Numbers or bools as datatype `to`, and the nulls that are left: a float column marks them with NaN."""
    if to is DataType.BYTES:
        raise _wrong_kind(_word(data), to, where, "give strings")
    if to is DataType.BOOL:
        if data.dtype.kind != "b":
            raise _wrong_kind(_word(data), to, where, "give booleans")
        return data, nulls
    if to is DataType.BF16 and data.dtype == np.uint16 and nulls is None:
        return data, None
    if to.is_float:
        return _floats(data, nulls, to, where), None
    return _integers(data, nulls, to, where)


def _floats(data: Array, nulls: Mask | None, to: DataType, where: str) -> Array:
    target = np.dtype(np.float32) if to is DataType.BF16 else to.numpy
    made = data
    if data.dtype != target:
        with np.errstate(over="ignore"):
            made = data.astype(target)
        _check_overflow(data, made, to, where)
    if nulls is not None:
        made = np.where(nulls, target.type(np.nan), made)
    if to is not DataType.BF16:
        return made
    bits = bfloat16_bits(made)
    _check_overflow(made, bfloat16_floats(bits), to, where)
    return bits


def _check_overflow(given: Array, made: Array, to: DataType, where: str) -> None:
    endless = np.isinf(made)
    if not endless.any():
        return
    bad = endless if given.dtype.kind != "f" else endless & ~np.isinf(given)
    if bad.any():
        raise _bad_value("a number is too large", bad, given, to, where)


def _integers(data: Array, nulls: Mask | None, to: DataType, where: str) -> tuple[Array, Mask | None]:
    target = to.numpy
    if data.dtype.kind == "f":
        absent = np.isnan(data)
        if absent.any():
            nulls = absent if nulls is None else nulls | absent
            data = np.where(absent, 0, data)
        bad = data != np.trunc(data)
        if bad.any():
            raise _bad_value("a number has a fraction", bad, data, to, where)
    if data.dtype == np.float16:
        data = data.astype(np.float32)  # which the ends of every type of integers fit into
    if data.dtype.kind == "f" or not np.can_cast(data.dtype, target):
        info = np.iinfo(target)
        # A float of 2**63 equals int64's upper end plus one, so the end is tested as "below max + 1".
        above = data >= float(info.max) + 1.0 if data.dtype.kind == "f" else data > info.max
        bad = above | (data < info.min)
        if bad.any():
            raise _bad_value("a number is out of range", bad, data, to, where)
    return data.astype(target, copy=False), nulls


def bfloat16_bits(data: Array) -> Array:
    """float32 as the bits of bfloat16 (uint16), rounded to nearest, ties to even; NaN stays NaN."""
    whole = np.ascontiguousarray(data, np.float32).view(np.uint32)
    rounded = ((whole + (np.uint32(0x7FFF) + ((whole >> np.uint32(16)) & np.uint32(1)))) >> np.uint32(16)).astype(
        np.uint16
    )
    return np.where(np.isnan(data), np.uint16(0x7FC0), rounded)


def bfloat16_floats(bits: Array) -> Array:
    """The bits of bfloat16 (uint16) as float32."""
    return (bits.astype(np.uint32) << np.uint32(16)).view(np.float32)


def _without_kind(raw: Raw, to: DataType | None) -> tuple[Array | Bytes, Mask | None]:
    """Rows without any value (no elements, or nulls only) have no kind of their own: they take the one wanted."""
    data, nulls = raw.data, raw.nulls
    if isinstance(data, Bytes) or to is None:
        return data, nulls
    if data.dtype.kind == "f" and not to.is_float and not to.is_integer and data.size:
        absent = np.isnan(data) if nulls is None else nulls | np.isnan(data)
        if not absent.all():
            return data, nulls
        nulls = absent
    elif data.size:
        return data, nulls
    if to is not DataType.BYTES:
        return np.zeros(data.shape, to.numpy), nulls
    return Bytes(np.zeros(data.size + 1, np.int64), np.zeros(0, np.uint8), raw.row_shape), nulls


def _column(data: Array | Bytes, nulls: Mask | None, offsets: Index | None) -> Column:
    inner = Dense(data) if not isinstance(data, Bytes) else Bytes(data.offsets, data.data, data.row_shape)
    if nulls is None:
        return inner if offsets is None else Ragged(inner, offsets)
    valid = ~_any_per_row(nulls)
    masked = Dense(inner.data, valid) if isinstance(inner, Dense) else _with_valid(inner, valid)
    return masked if offsets is None else Ragged(masked, offsets)


def _any_per_row(mask: Mask) -> Mask:
    return np.asarray(mask.reshape(len(mask), math.prod(mask.shape[1:])).any(axis=1))


def _with_valid(column: Bytes, valid: Mask) -> Bytes:
    return Bytes(column.offsets, column.data, column.row_shape, valid)


def _shaped(column: Column, spec: TensorSpec, shape: Shape, where: str) -> Column:
    if isinstance(column, Ragged):
        return _fit_ragged(column, spec, shape, where)
    given = column.row_shape
    if given == () and shape == (1,):
        if isinstance(column, Bytes):
            return Bytes(column.offsets, column.data, (1,), column.valid)
        return Dense(column.data.reshape(-1, 1), column.valid)
    if not _matches(given, shape):
        raise _wrong_shape(_describe(column), spec, where)
    return column


def _fit_ragged(column: Ragged, spec: TensorSpec, shape: Shape, where: str) -> Column:
    if not shape or not _matches(column.values.row_shape, shape[1:]):
        raise _wrong_shape("rows of different length", spec, where)
    if shape[0] is None:
        return column
    bad = np.flatnonzero(column.lengths != shape[0])
    if not len(bad):  # as of a table without rows
        inner = column.values.slice(int(column.offsets[0]), int(column.offsets[-1]))
        row = (shape[0], *inner.row_shape)
        return (
            Bytes(inner.offsets, inner.data, row)
            if isinstance(inner, Bytes)
            else Dense(inner.data.reshape((len(column), *row)))
        )
    first = int(bad[0])
    error = InvalidInput(
        f"row {first} has the wrong length",
        where=where,
        expected=f"{shape[0]} values ({spec.describe()})",
        got=int(column.lengths[first]),
        fix="give every row that many values",
    )
    reason = f"{where}: the row has the wrong length; expected {shape[0]} values, got "
    error.rows = {row: RowError(InvalidInput.code, reason + str(column.lengths[row])) for row in bad.tolist()}
    raise error


def _matches(given: tuple[int, ...], shape: Shape) -> bool:
    return len(given) == len(shape) and all(
        want is None or want == size for want, size in zip(shape, given, strict=True)
    )


def _describe(column: Dense | Bytes) -> str:
    datatype = DataType.BYTES if isinstance(column, Bytes) else DataType.of(column.data.dtype)
    inner = ", ".join(map(str, (len(column), *column.row_shape)))
    return f"{datatype.value if datatype else '?'}[{inner}]"


def _wrong_shape(got: str, spec: TensorSpec, where: str) -> InvalidInput:
    width = spec.width
    fix = f"give rows of {width} values" if spec.shape and len(spec.shape) == 1 and width else "reshape the rows"
    return InvalidInput("wrong shape", where=where, expected=spec.describe(), got=got, fix=fix)


def _word(data: Array) -> str:
    return {"b": "booleans", "f": "numbers with a decimal point"}.get(data.dtype.kind, "integers")


def _wrong_kind(got: str, to: DataType | None, where: str, fix: str) -> InvalidInput:
    expected = to.value if to is not None else "numbers"
    return InvalidInput("wrong datatype", where=where, expected=expected, got=got, fix=fix)


def _bad_value(what: str, bad: Mask, data: Array, to: DataType, where: str) -> InvalidInput:
    """The error of the first bad element; `rows` names every bad row where the rows are axis 0 of `data`."""
    rows = np.flatnonzero(_any_per_row(bad))
    value = data[bad].flat[0]
    error = InvalidInput(
        what, where=f"{where}, row {rows[0]}", expected=to.value, got=value, fix=f"give values that {to.value} can hold"
    )
    message = f"{where}: {what}; expected {to.value}"
    error.rows = {row: RowError(InvalidInput.code, message) for row in rows.tolist()}
    return error
