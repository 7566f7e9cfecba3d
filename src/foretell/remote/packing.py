"""A `Batch` to its note and its bytes, and back."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from foretell.columns import Array, Batch, Bytes, Column, Dense, Index, Mask, Ragged
from foretell.remote.faults import row_errors, row_notes
from foretell.remote.memory import HEADER_BYTES, Memory, Reader, TooLarge, Writer, aligned
from foretell.remote.messages import BatchNote, BytesNote, ColumnNote, DenseNote, Piece, RaggedNote

_MOST_INLINE_BYTES = 32 * 2**10
"""Of all pieces of one message together. Sending so much costs less than mapped memory that two processes touch."""

_KINDS = "biufcmMSU"

_INT64, _UINT8, _BOOL = np.dtype(np.int64), np.dtype(np.uint8), np.dtype(np.bool_)


def pack(batch: Batch, writer: Writer, *, inline: bool = False) -> BatchNote:
    """Writes the columns to where the reader can see them; every large array is copied once.

    With `inline` the memory is left alone. Raises `TooLarge` for what would need it, `TypeError` for an array of Python
    objects, and what `Writer.reserve` raises.
    """
    packer = _Packer()
    columns = {name: packer.column(column) for name, column in batch.columns.items()}
    if packer.waiting and inline:
        raise TooLarge(f"{packer.size} bytes")
    if packer.waiting:
        packer.write(writer.reserve(packer.size))
    elif not inline:
        writer.rest()
    file, size = writer.place
    errors = row_notes(batch.errors) if batch.errors else {}
    return BatchNote(batch.rows, columns, errors, file, size, bool(packer.waiting))


class _Packer:
    """`waiting`: what is to be written where, as soon as there is room for `size` bytes."""

    __slots__ = ("_inline", "size", "waiting")

    def __init__(self) -> None:
        self.size = 0
        self.waiting: list[tuple[int, Array]] = []
        self._inline = _MOST_INLINE_BYTES

    def column(self, column: Column) -> ColumnNote:
        if isinstance(column, Dense):
            return self._dense(column)
        if isinstance(column, Bytes):
            return self._bytes(column)
        values = column.values
        inner = self._dense(values) if isinstance(values, Dense) else self._bytes(values)
        return RaggedNote(inner, self._piece(np.asarray(column.offsets, np.int64)))

    def write(self, memory: Memory) -> None:
        for start, array in self.waiting:
            target: Array = np.ndarray(array.shape, array.dtype, memory[start : start + array.nbytes])
            np.copyto(target, array, casting="no")

    def _dense(self, column: Dense) -> DenseNote:
        data = np.asarray(column.data)
        if data.dtype.kind not in _KINDS:
            raise TypeError(f"an array of {data.dtype}")
        return DenseNote(data.dtype.str, data.shape, self._piece(data), self._valid(column))

    def _bytes(self, column: Bytes) -> BytesNote:
        column = column.compact()
        offsets, data = np.asarray(column.offsets, np.int64), np.asarray(column.data, np.uint8)
        return BytesNote(self._piece(offsets), self._piece(data), tuple(column.row_shape), self._valid(column))

    def _valid(self, column: Dense | Bytes) -> Piece | None:
        return None if column.valid is None else self._piece(np.asarray(column.valid, np.bool_))

    def _piece(self, array: Array) -> Piece:
        size = array.nbytes
        if size <= self._inline:
            self._inline -= size
            return bytearray(array.tobytes())
        start = HEADER_BYTES + self.size
        self.size += aligned(size)
        self.waiting.append((start, array))
        return start, size


def unpack(note: BatchNote, reader: Reader, *, copy: bool) -> Batch:
    """The batch of a note. Without `copy`, large arrays are only to look at, until the next call.

    Raises `ValueError` (or `TypeError`) where the note is not one that `pack` makes.
    """
    unpacker = _Unpacker(reader.at(note.file, note.size), copy)
    columns = {name: unpacker.column(column) for name, column in note.columns.items()}
    return Batch(columns, note.rows, row_errors(note.errors) if note.errors else {})


class _Unpacker:
    __slots__ = ("_copy", "_memory")

    def __init__(self, memory: Memory, copy: bool) -> None:
        self._memory, self._copy = memory, copy

    def column(self, note: ColumnNote) -> Column:
        if isinstance(note, DenseNote):
            return self._dense(note)
        if isinstance(note, BytesNote):
            return self._bytes(note)
        values = note.values
        inner = self._dense(values) if isinstance(values, DenseNote) else self._bytes(values)
        return Ragged(inner, self._flat(note.offsets, _INT64))

    def _dense(self, note: DenseNote) -> Dense:
        valid: Mask | None = None if note.valid is None else self._flat(note.valid, _BOOL)
        return Dense(self._array(note.data, _dtype(note.dtype), note.shape), valid)

    def _bytes(self, note: BytesNote) -> Bytes:
        valid: Mask | None = None if note.valid is None else self._flat(note.valid, _BOOL)
        offsets: Index = self._flat(note.offsets, _INT64)
        return Bytes(offsets, self._flat(note.data, _UINT8), note.row_shape, valid)

    def _flat(self, piece: Piece, dtype: np.dtype[Any]) -> Array:
        size = piece[1] if isinstance(piece, tuple) else len(piece)
        return self._array(piece, dtype, (size // dtype.itemsize,))

    def _array(self, piece: Piece, dtype: np.dtype[Any], shape: tuple[int, ...]) -> Array:
        """Whatever is inline has come with the message, and is nobody else's."""
        if not isinstance(piece, tuple):
            return np.ndarray(shape, dtype, piece)
        start, size = piece
        if start < HEADER_BYTES or size < 0 or start + size > len(self._memory):
            raise ValueError(f"no {size} bytes at {start}")
        array: Array = np.ndarray(shape, dtype, self._memory[start : start + size])
        return array.copy() if self._copy else array


@lru_cache(256)
def _dtype(name: str) -> np.dtype[Any]:
    dtype = np.dtype(name)
    if dtype.kind not in _KINDS:
        raise TypeError(f"an array of {dtype}")
    return dtype
