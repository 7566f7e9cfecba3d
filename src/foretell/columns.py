"""Rows in memory: a `Batch` of named columns, axis 0 being the rows. The one form of data between all the rooms.

Immutable by convention: nobody writes into a column or batch it was given (they are not frozen, because making a frozen
object costs twice as much, several times in every call). Slices share memory with their source.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foretell.errors import RowError

Array = NDArray[Any]
Mask = NDArray[np.bool_]
Index = NDArray[np.int64]


@dataclass(slots=True, eq=False)
class Dense:
    """Rows of one shape. `data`: any numeric or bool dtype, shape [rows, ...]. `valid`: bool [rows], False: a null."""

    data: Array
    valid: Mask | None = None

    def __len__(self) -> int:
        return len(self.data)

    @property
    def row_shape(self) -> tuple[int, ...]:
        return tuple(self.data.shape[1:])

    def slice(self, start: int, stop: int) -> Dense:
        return Dense(self.data[start:stop], None if self.valid is None else self.valid[start:stop])

    def take(self, rows: Index) -> Dense:
        return Dense(self.data[rows], None if self.valid is None else self.valid[rows])


@dataclass(slots=True, eq=False)
class Bytes:
    """Rows of byte strings (text is UTF-8).

    `offsets`: int64 [elements + 1], ascending from any start; element i is `data[offsets[i]:offsets[i + 1]]`.
    `data`: uint8. `row_shape`: shape of one row in elements, () for one string a row. `valid`: bool [rows].
    """

    offsets: Index
    data: NDArray[np.uint8]
    row_shape: tuple[int, ...] = ()
    valid: Mask | None = None

    def __len__(self) -> int:
        per_row = self._per_row
        return (len(self.offsets) - 1) // per_row if per_row else 0

    @property
    def _per_row(self) -> int:
        return math.prod(self.row_shape)

    @classmethod
    def of(cls, items: Iterable[bytes | str | None], row_shape: tuple[int, ...] = ()) -> Bytes:
        """From flat elements; None is a null (only for `row_shape` ())."""
        elements = list(items)
        encoded = [b"" if e is None else e.encode() if isinstance(e, str) else e for e in elements]
        offsets = np.zeros(len(encoded) + 1, np.int64)
        np.cumsum([len(e) for e in encoded], out=offsets[1:])
        valid = np.array([e is not None for e in elements]) if None in elements else None
        return cls(offsets, np.frombuffer(b"".join(encoded), np.uint8), row_shape, valid)

    def items(self) -> list[bytes]:
        """The elements, flat, row after row."""
        raw, bounds = self.data.tobytes(), self.offsets.tolist()
        return [raw[start:stop] for start, stop in pairwise(bounds)]

    def slice(self, start: int, stop: int) -> Bytes:
        start, stop, _ = slice(start, stop).indices(len(self))
        stop, per_row = max(start, stop), self._per_row
        return Bytes(
            self.offsets[start * per_row : stop * per_row + 1],
            self.data,
            self.row_shape,
            None if self.valid is None else self.valid[start:stop],
        ).compact()

    def take(self, rows: Index) -> Bytes:
        items, per_row = self.items(), self._per_row
        chosen = [item for row in rows.tolist() for item in items[row * per_row : (row + 1) * per_row]]
        taken = Bytes.of(chosen, self.row_shape)
        return Bytes(taken.offsets, taken.data, self.row_shape, None if self.valid is None else self.valid[rows])

    def compact(self) -> Bytes:
        """The same rows without the bytes that no element uses at either end; offsets from 0."""
        if not len(self.offsets) or (self.offsets[0] == 0 and self.offsets[-1] == len(self.data)):
            return self
        first, last = int(self.offsets[0]), int(self.offsets[-1])
        return Bytes(self.offsets - first, self.data[first:last], self.row_shape, self.valid)


@dataclass(slots=True, eq=False)
class Ragged:
    """Rows of different length. Row i is `values[offsets[i]:offsets[i + 1]]`; `offsets`: int64 [rows + 1]."""

    values: Dense | Bytes
    offsets: Index

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def valid(self) -> Mask | None:
        return None

    @property
    def lengths(self) -> Index:
        return np.diff(self.offsets)

    def slice(self, start: int, stop: int) -> Ragged:
        start, stop, _ = slice(start, stop).indices(len(self))
        stop = max(start, stop)
        first, last = int(self.offsets[start]), int(self.offsets[stop])
        return Ragged(self.values.slice(first, last), self.offsets[start : stop + 1] - first)

    def take(self, rows: Index) -> Ragged:
        bounds = [(int(self.offsets[row]), int(self.offsets[row + 1])) for row in rows]
        inner = np.concatenate([np.arange(a, b) for a, b in bounds]) if bounds else np.zeros(0, np.int64)
        offsets = np.zeros(len(bounds) + 1, np.int64)
        np.cumsum([b - a for a, b in bounds], out=offsets[1:])
        return Ragged(self.values.take(inner), offsets)


Column = Dense | Bytes | Ragged


@dataclass(slots=True, eq=False)
class Batch:
    """`rows` rows of every column. `errors`: rows that have no answer, and why; their cells mean nothing."""

    columns: Mapping[str, Column]
    rows: int
    errors: Mapping[int, RowError] = field(default_factory=dict)

    @classmethod
    def of(cls, **arrays: Array) -> Batch:
        """From NumPy arrays [rows, ...] of numbers, for tests and simple models."""
        columns = {name: Dense(np.asarray(array)) for name, array in arrays.items()}
        return cls(columns, len(next(iter(columns.values()))) if columns else 0)

    def dense(self, name: str) -> Array:
        """The array of a dense column."""
        column = self.columns[name]
        if not isinstance(column, Dense):
            raise TypeError(f"column {name!r} is {type(column).__name__}, not Dense")
        return column.data

    def slice(self, start: int, stop: int) -> Batch:
        start, stop, _ = slice(start, stop).indices(self.rows)
        stop = max(start, stop)
        errors = {row - start: error for row, error in self.errors.items() if start <= row < stop}
        return Batch({name: column.slice(start, stop) for name, column in self.columns.items()}, stop - start, errors)

    def take(self, rows: Index) -> Batch:
        errors = {new: self.errors[old] for new, old in enumerate(rows.tolist()) if old in self.errors}
        return Batch({name: column.take(rows) for name, column in self.columns.items()}, len(rows), errors)

    def with_columns(self, columns: Mapping[str, Column]) -> Batch:
        return Batch(columns, self.rows, self.errors)

    def with_errors(self, errors: Mapping[int, RowError]) -> Batch:
        return Batch(self.columns, self.rows, {**self.errors, **errors})


def concat(batches: Sequence[Batch]) -> Batch:
    """The rows of `batches`, at least one, in order. All must have the same columns; raises ValueError otherwise."""
    if len(batches) == 1:
        return batches[0]
    if not batches:
        raise ValueError("there is nothing to join")
    names = list(batches[0].columns)
    for batch in batches:
        if set(batch.columns) != set(names):
            raise ValueError(f"cannot join batches with columns {names} and {list(batch.columns)}")
    errors: dict[int, RowError] = {}
    rows = 0
    for batch in batches:
        errors.update({rows + row: error for row, error in batch.errors.items()})
        rows += batch.rows
    return Batch({name: concat_columns([b.columns[name] for b in batches]) for name in names}, rows, errors)


def concat_columns(columns: Sequence[Column]) -> Column:
    """Joins columns of one kind. Rows whose shapes differ in their first axis join as `Ragged`."""
    first = columns[0]
    if len(columns) == 1:
        return first
    if all(isinstance(c, Dense) for c in columns):
        if len({c.data.shape[1:] for c in columns if isinstance(c, Dense)}) == 1:
            dense = [c for c in columns if isinstance(c, Dense)]
            return Dense(np.concatenate([c.data for c in dense]), _join_valid(dense))
    elif all(isinstance(c, Bytes) and c.row_shape == getattr(first, "row_shape", None) for c in columns):
        return _concat_bytes([c for c in columns if isinstance(c, Bytes)])
    parts = [_as_ragged(column) for column in columns]
    ends = np.cumsum([0, *(int(p.offsets[-1] - p.offsets[0]) for p in parts)])
    offsets = [p.offsets[1:] - p.offsets[0] + end for p, end in zip(parts, ends, strict=False)]
    values = concat_columns([p.values for p in parts])
    if isinstance(values, Ragged):
        raise ValueError("cannot join rows whose inner shapes differ")
    return Ragged(values, np.concatenate([np.zeros(1, np.int64), *offsets]))


def _as_ragged(column: Column) -> Ragged:
    if isinstance(column, Ragged):
        start, stop = int(column.offsets[0]), int(column.offsets[-1])
        return Ragged(column.values.slice(start, stop), column.offsets - start)
    if column.valid is not None and not column.valid.all():
        raise ValueError("cannot join rows with nulls with rows of another length")
    if not column.row_shape:
        raise ValueError("cannot join rows of one value with rows of another shape")
    rows, (width, *inner) = len(column), column.row_shape
    offsets = np.arange(rows + 1, dtype=np.int64) * width
    if isinstance(column, Bytes):
        return Ragged(Bytes(column.offsets, column.data, tuple(inner)), offsets)
    return Ragged(Dense(column.data.reshape((rows * width, *inner))), offsets)


def _concat_bytes(columns: Sequence[Bytes]) -> Bytes:
    parts = [column.compact() for column in columns]
    ends = np.cumsum([0, *(len(p.data) for p in parts)])
    offsets = [p.offsets[1:] + end for p, end in zip(parts, ends, strict=False)]
    return Bytes(
        np.concatenate([np.zeros(1, np.int64), *offsets]),
        np.concatenate([p.data for p in parts]),
        parts[0].row_shape,
        _join_valid(parts),
    )


def _join_valid(columns: Sequence[Dense | Bytes]) -> Mask | None:
    if all(c.valid is None for c in columns):
        return None
    return np.concatenate([np.ones(len(c), np.bool_) if c.valid is None else c.valid for c in columns])


def copied(batch: Batch) -> Batch:
    """The same rows in memory of their own."""
    return batch.with_columns({name: copied_column(column) for name, column in batch.columns.items()})


def copied_column(column: Column) -> Column:
    """The same values in memory of their own."""
    if isinstance(column, Ragged):
        values = copied_column(column.values)
        return column if isinstance(values, Ragged) else Ragged(values, column.offsets.copy())
    valid = None if column.valid is None else column.valid.copy()
    if isinstance(column, Dense):
        return Dense(column.data.copy(), valid)
    compact = column.compact()
    return Bytes(compact.offsets.copy(), compact.data.copy(), compact.row_shape, valid)


def row_bytes(batch: Batch) -> int:
    """About how many bytes one row of a batch has."""
    return sum(_column_bytes(column) for column in batch.columns.values()) // max(1, batch.rows)


def _column_bytes(column: Column) -> int:
    return _column_bytes(column.values) if isinstance(column, Ragged) else int(column.data.nbytes)


def spread(column: Column, at: Index, rows: int) -> Column:
    """A column of `rows` rows that has row i of `column` at `at[i]`, and zeros or empty values elsewhere."""
    if isinstance(column, Dense):
        data = np.zeros((rows, *column.row_shape), column.data.dtype)
        data[at] = column.data
        return Dense(data, _spread_valid(column.valid, at, rows))
    if isinstance(column, Bytes):
        per_row, items = column._per_row, column.items()
        flat = [b""] * (rows * per_row)
        for i, row in enumerate(at.tolist()):
            flat[row * per_row : (row + 1) * per_row] = items[i * per_row : (i + 1) * per_row]
        spreaded = Bytes.of(flat, column.row_shape)
        return Bytes(spreaded.offsets, spreaded.data, column.row_shape, _spread_valid(column.valid, at, rows))
    lengths = np.zeros(rows, np.int64)
    lengths[at] = column.lengths
    return Ragged(column.values, np.cumsum([column.offsets[0], *lengths], dtype=np.int64))


def _spread_valid(valid: Mask | None, at: Index, rows: int) -> Mask | None:
    if valid is None:
        return None
    whole = np.ones(rows, np.bool_)
    whole[at] = valid
    return whole
