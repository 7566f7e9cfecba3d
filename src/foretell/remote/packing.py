"""A `Batch` to its note and its bytes, and back."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from foretell.columns import Array, Batch, Bytes, Column, Dense, Index, Mask, Ragged
from foretell.errors import RowError
from foretell.remote.memory import HEADER_BYTES, Memory, Reader, Writer, aligned
from foretell.remote.messages import BatchNote, BytesNote, ColumnNote, DenseNote, Piece, RaggedNote, RowNote

_MOST_INLINE_BYTES = 32 * 2**10
"""Of all pieces of one message together. Sending so much costs less than mapped memory that two processes touch."""

_KINDS = "biufcmMSU"

Bring = Callable[[Array], Array]


def pack(batch: Batch, writer: Writer) -> BatchNote:
    """Writes the columns to where the reader can see them; every large array is copied once.

    Raises `TypeError` for an array of Python objects, and what `Writer.reserve` raises.
    """
    packer = _Packer()
    columns = {str(name): packer.column(column) for name, column in batch.columns.items()}
    memory = writer.reserve(packer.size)
    for start, array in packer.waiting:
        target = memory[start : start + array.nbytes].view(array.dtype).reshape(array.shape)
        np.copyto(target, array, casting="no")
    file, size = writer.place
    return BatchNote(batch.rows, columns, row_notes(batch.errors) if batch.errors else {}, file, size)


class _Packer:
    """`waiting`: what is to be written where, as soon as there is room for `size` bytes."""

    __slots__ = ("_inline", "size", "waiting")

    def __init__(self) -> None:
        self.size = 0
        self.waiting: list[tuple[int, Array]] = []
        self._inline = _MOST_INLINE_BYTES

    def column(self, column: Column) -> ColumnNote:
        if isinstance(column, Ragged):
            return RaggedNote(self._flat(column.values), self._piece(np.asarray(column.offsets, np.int64)))
        return self._flat(column)

    def _flat(self, column: Dense | Bytes) -> DenseNote | BytesNote:
        valid = None if column.valid is None else self._piece(np.asarray(column.valid, np.bool_))
        if isinstance(column, Dense):
            data = np.asarray(column.data)
            if data.dtype.kind not in _KINDS:
                raise TypeError(f"an array of {data.dtype}")
            return DenseNote(data.dtype.str, data.shape, self._piece(data), valid)
        column = column.compact()
        offsets = self._piece(np.asarray(column.offsets, np.int64))
        return BytesNote(offsets, self._piece(np.asarray(column.data, np.uint8)), tuple(column.row_shape), valid)

    def _piece(self, array: Array) -> Piece:
        size = array.nbytes
        if size <= self._inline:
            self._inline -= size
            return array.tobytes()
        start = HEADER_BYTES + self.size
        self.size += aligned(size)
        self.waiting.append((start, array))
        return start, size


def unpack(note: BatchNote, reader: Reader, bring: Bring) -> Batch:
    """The batch of a note. `bring`: what becomes of each array, which is only to look at until the next call.

    Raises `ValueError` (or `TypeError`) where the note is not one that `pack` makes.
    """
    unpacker = _Unpacker(reader.at(note.file, note.size), bring)
    columns = {name: unpacker.column(column) for name, column in note.columns.items()}
    return Batch(columns, note.rows, row_errors(note.errors) if note.errors else {})


def as_it_is(array: Array) -> Array:
    return array


def copied(array: Array) -> Array:
    return array.copy()


class _Unpacker:
    __slots__ = ("_bring", "_memory")

    def __init__(self, memory: Memory, bring: Bring) -> None:
        self._memory, self._bring = memory, bring

    def column(self, note: ColumnNote) -> Column:
        if isinstance(note, RaggedNote):
            return Ragged(self._flat(note.values), self._index(note.offsets))
        return self._flat(note)

    def _flat(self, note: DenseNote | BytesNote) -> Dense | Bytes:
        valid: Mask | None = None if note.valid is None else self._array(note.valid, np.dtype(np.bool_), None)
        if isinstance(note, BytesNote):
            data = self._array(note.data, np.dtype(np.uint8), None)
            return Bytes(self._index(note.offsets), data, note.row_shape, valid)
        dtype = np.dtype(note.dtype)
        if dtype.kind not in _KINDS:
            raise TypeError(f"an array of {dtype}")
        return Dense(self._array(note.data, dtype, note.shape), valid)

    def _index(self, piece: Piece) -> Index:
        return self._array(piece, np.dtype(np.int64), None)

    def _array(self, piece: Piece, dtype: np.dtype[Any], shape: tuple[int, ...] | None) -> Array:
        if isinstance(piece, tuple):
            start, size = piece
            if start < HEADER_BYTES or size < 0 or start + size > len(self._memory):
                raise ValueError(f"no {size} bytes at {start}")
            flat = self._memory[start : start + size].view(dtype)
        elif dtype.itemsize:
            flat = np.frombuffer(piece, dtype)
        else:
            flat = np.zeros(math.prod(shape or (0,)), dtype)  # texts without a character have no bytes to count
        return self._bring(flat if shape is None else flat.reshape(shape))


def row_notes(errors: Mapping[int, RowError]) -> dict[int, RowNote]:
    return {int(row): (text(error.code), text(error.message), int(error.attempts)) for row, error in errors.items()}


def row_errors(notes: Mapping[int, RowNote]) -> dict[int, RowError]:
    return {row: RowError(*note) for row, note in notes.items()}


def text(value: object) -> str:
    """As UTF-8 can carry it: names of files may hold bytes that are no text."""
    return str(value).encode("utf-8", "backslashreplace").decode()
