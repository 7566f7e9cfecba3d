"""Does a batch fit what the model takes? Wrong columns end the call; a bad row ends alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from foretell.columns import Array, Batch, Bytes, Column, Dense, Index, Mask, Ragged
from foretell.errors import InvalidInput, RowError, nearest
from foretell.types import DataType, ModelSpec, Shape, TensorSpec

Fault = tuple[Mask, str]

_BF16_NAN = np.uint16(0x7FC0)
_NULL = "the row is null"


def check_batch(batch: Batch, spec: ModelSpec) -> Batch:
    """The batch as the model takes it: its columns, in its datatypes; only what `spec` knows is checked.

    A Dense column of another datatype is converted where its kind stays the same (integers to floats, floats to
    floats, integers to integers). Rows with a null (NaN in a float column), with a NaN where the model refuses it,
    of a wrong length, or with a number the datatype cannot hold go to `Batch.errors`. Raises `InvalidInput` for a
    missing or extra column, a wrong datatype and a wrong shape of the rows.
    """
    inputs = spec.inputs
    if inputs is None:
        check_lengths(batch)
        return batch
    columns, rows = batch.columns, batch.rows
    if len(columns) == len(inputs):
        for tensor in inputs:
            if not _fits(columns.get(tensor.name), tensor, rows):
                break
        else:
            return batch
    _check_names(columns, inputs)
    errors: dict[int, RowError] = {}
    checked = {tensor.name: _Check(tensor, rows, errors).column(columns[tensor.name]) for tensor in inputs}
    return Batch(checked, rows, {**errors, **batch.errors} if errors else batch.errors)


def check_lengths(batch: Batch) -> None:
    """Raises `InvalidInput` for columns of another length than the batch, which would shift the rows beside them."""
    for name, column in batch.columns.items():
        if isinstance(column, Dense) and not column.data.ndim:
            raise InvalidInput("a single value is no column", where=f"input {name!r}", expected="an axis of rows")
        if len(column) != batch.rows:
            where = f"input {name!r}"
            raise InvalidInput("wrong number of rows", where=where, expected=batch.rows, got=len(column))


def _fits(column: Column | None, tensor: TensorSpec, rows: int) -> bool:
    """Whether the column can go to the model as it is; False where that takes a closer look."""
    if isinstance(column, Dense):
        data, kind = column.data, tensor.datatype
        if column.valid is not None or not data.shape or data.shape[0] != rows:
            return False
        if kind is not None and (kind is DataType.BYTES or data.dtype != kind.numpy):
            return False
        certain = tensor.allow_nan or (data.dtype.kind in "iub" and kind is not DataType.BF16)
        return certain and (data.shape[1:] == tensor.shape or _shape_fits(data.shape[1:], tensor.shape))
    if isinstance(column, Bytes) and column.valid is None and len(column) == rows:
        return tensor.datatype in (DataType.BYTES, None) and _shape_fits(column.row_shape, tensor.shape)
    return False


def _shape_fits(given: tuple[int, ...], shape: Shape | None) -> bool:
    if shape is None or given == shape:
        return True
    return len(given) == len(shape) and all(
        want is None or want == size for want, size in zip(shape, given, strict=True)
    )


def _check_names(columns: Mapping[str, Column], inputs: tuple[TensorSpec, ...]) -> None:
    names = [tensor.name for tensor in inputs]
    extra = [name for name in columns if name not in names]
    missing = [name for name in names if name not in columns]
    if extra:
        fix = nearest(extra[0], missing or names)
        raise InvalidInput(f"there is no input {extra[0]!r}", expected=_listed(names), got=_listed(columns), fix=fix)
    if missing:
        fix = f"give {missing[0]!r} too"
        raise InvalidInput(f"input {missing[0]!r} is missing", expected=_listed(names), got=_listed(columns), fix=fix)


def _listed(names: Any) -> str:
    return ", ".join(map(repr, names)) or "no inputs"


class _Check:
    """The closer look at one column. Bad rows go into `errors`."""

    def __init__(self, tensor: TensorSpec, rows: int, errors: dict[int, RowError]) -> None:
        self._tensor, self._rows, self._errors = tensor, rows, errors
        self._where = f"input {tensor.name!r}"

    def column(self, column: Column) -> Column:
        if isinstance(column, Dense) and not column.data.shape:
            raise self._invalid("a single value is no column", expected=self._tensor.describe(), got="no axis of rows")
        if len(column) != self._rows:
            raise self._invalid("wrong number of rows", expected=self._rows, got=len(column))
        if isinstance(column, Ragged):
            return self._ragged(column)
        self._check_shape(column, (len(column), *column.row_shape), column.row_shape)
        if isinstance(column, Bytes):
            self._check_bytes()
            return self._without_nulls(column)
        checked, faults = self._dense(column)
        for bad, what in faults:
            self._refuse(np.flatnonzero(bad), what)
        return checked

    def _ragged(self, column: Ragged) -> Column:
        values = column.values
        self._check_shape(column, ("rows of different length",), (None, *values.row_shape))
        faults: list[Fault] = []
        checked: Dense | Bytes
        if isinstance(values, Dense):
            checked, faults = self._dense(values)
        else:
            self._check_bytes()
            checked = Bytes(values.offsets, values.data, values.row_shape)
            if values.valid is not None:
                faults = [(~values.valid, _NULL)]
        for bad, what in faults:
            rows = np.searchsorted(column.offsets, np.flatnonzero(bad), "right") - 1
            self._refuse(rows[(rows >= 0) & (rows < self._rows)], what)
        width = self._tensor.shape[0] if self._tensor.shape else None
        whole = Ragged(checked, column.offsets)
        return whole if width is None else self._of_width(whole, width)

    def _of_width(self, column: Ragged, width: int) -> Column:
        """Rows that all have to have `width` values; those that have not end here."""
        wrong = column.lengths != width
        self._refuse(np.flatnonzero(wrong), "the row has the wrong length")
        good = np.flatnonzero(~wrong)
        starts = column.offsets[:-1].copy()
        starts[wrong] = column.offsets[good[0]] if len(good) else 0
        at = (starts[:, None] + np.arange(width)).reshape(-1)
        if not len(good):
            at = at[:0]
        values = column.values.take(at)
        rows = len(starts) if len(good) else 0
        if isinstance(values, Dense):
            shaped: Dense | Bytes = Dense(values.data.reshape(rows, width, *values.row_shape))
        else:
            shaped = Bytes(values.offsets, values.data, (width, *values.row_shape))
        return shaped if rows else self._blank(shaped, width)

    def _blank(self, column: Dense | Bytes, width: int) -> Column:
        """Cells for rows that all failed."""
        if isinstance(column, Dense):
            return Dense(np.zeros((self._rows, *column.row_shape), column.data.dtype))
        return Bytes.of([b""] * (self._rows * int(np.prod(column.row_shape))), column.row_shape)

    def _dense(self, column: Dense) -> tuple[Dense, list[Fault]]:
        """The column in the datatype of the tensor, and which of its rows are bad, and why."""
        tensor = self._tensor
        data, faults = self._converted(column.data)
        if column.valid is not None and not tensor.nullable:
            if data.dtype.kind == "f" or tensor.datatype is DataType.BF16:
                data = data.copy()
                data[~column.valid] = _BF16_NAN if tensor.datatype is DataType.BF16 else np.nan
            else:
                faults.append((~column.valid, _NULL))
        if not tensor.allow_nan:
            faults.append((_has_nan(data, tensor.datatype), "the row holds NaN, which the model does not take"))
        return Dense(data, column.valid if tensor.nullable else None), faults

    def _converted(self, data: Array) -> tuple[Array, list[Fault]]:
        kind = self._tensor.datatype
        if not data.dtype.isnative:
            data = data.astype(data.dtype.newbyteorder("="))
        if kind is None or (kind is not DataType.BYTES and data.dtype == kind.numpy):
            return data, []
        given = DataType.of(data.dtype)
        if given is None or not _keeps_kind(given, kind):
            raise self._invalid("wrong datatype", expected=kind, got=given or data.dtype, fix="convert the values")
        if kind.is_integer:
            info = np.iinfo(kind.numpy)
            bad = (data < info.min) | (data > info.max)
            made = data.astype(kind.numpy)
        else:
            with np.errstate(over="ignore"):
                made = data.astype(kind.numpy)
            bad = np.isinf(made) & np.isfinite(data)
        return made, [(_any_per_row(bad), f"the row has a number that {kind} cannot hold")]

    def _without_nulls(self, column: Bytes) -> Bytes:
        if column.valid is None or self._tensor.nullable:
            return column
        self._refuse(np.flatnonzero(~column.valid), _NULL)
        return Bytes(column.offsets, column.data, column.row_shape)

    def _check_bytes(self) -> None:
        if self._tensor.datatype not in (DataType.BYTES, None):
            raise self._invalid("wrong datatype", expected=self._tensor.datatype, got="BYTES", fix="give numbers")

    def _check_shape(self, column: Column, given: tuple[object, ...], row_shape: Shape) -> None:
        shape = self._tensor.shape
        if shape is None:
            return
        fits = len(shape) == len(row_shape) and all(
            want is None or size is None or want == size for want, size in zip(shape, row_shape, strict=True)
        )
        if not fits:
            got = given[0] if isinstance(given[0], str) else list(given)
            raise self._invalid("wrong shape", expected=self._tensor.describe(), got=got, fix="reshape the rows")

    def _refuse(self, rows: Index, what: str) -> None:
        if len(rows):
            error = RowError.of(self._invalid(what, expected=self._tensor.describe()))
            for row in rows.tolist():
                self._errors.setdefault(row, error)

    def _invalid(self, what: str, *, expected: object = "", got: object = "", fix: str = "") -> InvalidInput:
        return InvalidInput(what, where=self._where, expected=expected, got=got, fix=fix)


def _keeps_kind(given: DataType, kind: DataType) -> bool:
    if kind in (DataType.BF16, DataType.BYTES) or given is DataType.BYTES:
        return False
    if kind.is_float:
        return given.is_float or given.is_integer
    return kind.is_integer and given.is_integer


def _has_nan(data: Array, kind: DataType | None) -> Mask:
    if kind is DataType.BF16:
        return _any_per_row((data & np.uint16(0x7FFF)) > np.uint16(0x7F80))
    return _any_per_row(np.isnan(data)) if data.dtype.kind == "f" else np.zeros(len(data), np.bool_)


def _any_per_row(mask: Array) -> Mask:
    return np.asarray(mask.any(axis=tuple(range(1, mask.ndim))))
