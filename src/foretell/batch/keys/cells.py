"""The cells of a key in NumPy, without a Python object for each, and without `pyarrow.compute`, which takes 0.1 s to
import."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from foretell.batch.block import Block
from foretell.batch.where import is_null
from foretell.columns import Array, Index, Mask
from foretell.forms.cells import Cells
from foretell.forms.form import Kind, library

MOST_DIGITS = 18
"""Of a text that is followed as a number."""
_ZERO = np.uint8(ord("0"))
_WORD = 8
_ALL = np.uint64(2**64 - 1)


@dataclass(frozen=True, slots=True, eq=False)
class Numbers:
    """Whole numbers, dates or times. `nulls`: None where there are none; their `values` mean nothing."""

    values: Array
    nulls: Mask | None

    def take(self, rows: Index) -> Numbers:
        return Numbers(self.values[rows], None if self.nulls is None else self.nulls[rows])


@dataclass(frozen=True, slots=True, eq=False)
class Texts:
    """Strings of bytes: where each begins in `data`, and how long it is."""

    starts: Index
    lengths: Index
    data: Array
    nulls: Mask | None

    @classmethod
    def of(cls, items: Sequence[bytes]) -> Texts:
        lengths = np.fromiter(map(len, items), np.int64, len(items))
        return cls(np.cumsum(lengths) - lengths, lengths, np.frombuffer(b"".join(items), np.uint8), None)

    def take(self, rows: Index) -> Texts:
        nulls = None if self.nulls is None else self.nulls[rows]
        return Texts(self.starts[rows], self.lengths[rows], self.data, nulls)

    def words(self) -> Words:
        return Words(self)

    def numbers(self) -> Array | None:
        """What they say as whole numbers, where all are written in digits. Different numbers are different texts."""
        lengths = self.lengths
        if not len(lengths) or lengths.min() < 1 or lengths.max() > MOST_DIGITS:
            return None
        begin, end = int(self.starts.min()), int((self.starts + lengths).max())
        digits = self.data[begin:end] - _ZERO
        if (digits > 9).any():
            return None
        values, last = np.zeros(len(lengths), np.int64), self.starts - begin + lengths - 1
        for place in range(int(lengths.max())):
            here = digits[np.maximum(last - place, 0)].astype(np.int64) * 10**place
            values += here if lengths.min() > place else np.where(lengths > place, here, 0)
        return values


class Words:
    """Strings as whole numbers of eight bytes each: in their order, and filled up with zeros."""

    def __init__(self, texts: Texts) -> None:
        begin, end = int(texts.starts.min()), int((texts.starts + texts.lengths).max())
        self.count = -(-int(texts.lengths.max()) // _WORD)
        """Of the longest."""
        held = np.concatenate([texts.data[begin:end], np.zeros(_WORD, np.uint8)])
        self._each = np.ndarray((len(held) - _WORD + 1,), ">u8", buffer=held.data, strides=(1,))
        self._starts, self._lengths = texts.starts - begin, texts.lengths

    def get(self, number: int, rows: Index) -> Array:
        """The word of this number of some of the strings; zero where they have ended."""
        left = self._lengths[rows] - number * _WORD
        words = self._each[np.where(left > 0, self._starts[rows] + number * _WORD, 0)].astype(np.uint64)
        beyond = (8 * np.clip(_WORD - left, 0, _WORD - 1)).astype(np.uint64)
        return np.where(left > 0, words & (_ALL << beyond), np.uint64(0))


def asked_keys(block: Block, names: Sequence[str]) -> tuple[list[Cells], Index | None]:
    """The columns of a key, and the rows of the block whose key counts, None for all.

    Those that nobody asks for do not count, nor those that were not read as far as to their key.
    """
    columns = [block.columns[name] for name in names]
    if block.set_aside is None and not block.bad:
        return columns, None
    wanted = np.ones(block.rows, np.bool_) if block.set_aside is None else ~block.set_aside
    for row in block.bad:
        wanted[row] &= not any(is_null(cells, row) for cells in columns)
    return columns, np.flatnonzero(wanted)


def plain(cells: Cells) -> Numbers | Texts | None:
    """The cells as they lie in memory; None for kinds that lie otherwise."""
    if library(cells) is Kind.ARROW:
        return _arrow(cells)
    if not isinstance(cells, np.ndarray) or cells.ndim != 1 or cells.dtype.kind not in "iuMm":
        return None
    nulls = np.ma.getmaskarray(cells) if isinstance(cells, np.ma.MaskedArray) else None
    values = np.asarray(cells.data if isinstance(cells, np.ma.MaskedArray) else cells)
    return Numbers(values if values.dtype.kind in "iu" else values.view(np.int64), nulls)


def _arrow(array: Any) -> Numbers | Texts | None:
    import pyarrow as pa

    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    kinds, kind = pa.types, array.type
    buffers = array.buffers() if len(array) else []
    if kinds.is_integer(kind) or (kinds.is_temporal(kind) and not kinds.is_interval(kind)):
        dtype = np.dtype(f"{'u' if kinds.is_unsigned_integer(kind) else ''}int{kind.bit_width}")
        values = np.frombuffer(buffers[1], dtype, len(array), array.offset * dtype.itemsize) if buffers else ()
        return Numbers(np.asarray(values, dtype), _nulls(array))
    wide = kinds.is_large_string(kind) or kinds.is_large_binary(kind)
    if not wide and not kinds.is_string(kind) and not kinds.is_binary(kind):
        return None
    if not buffers:
        return Texts.of([])
    dtype = np.dtype(np.int64 if wide else np.int32)
    bounds = np.frombuffer(buffers[1], dtype, len(array) + 1, array.offset * dtype.itemsize).astype(np.int64)
    data = np.frombuffer(buffers[2], np.uint8) if buffers[2] is not None else np.zeros(0, np.uint8)
    return Texts(bounds[:-1], np.diff(bounds), data, _nulls(array))


def _nulls(array: Any) -> Mask | None:
    """From the bits themselves: Arrow's own way imports `pyarrow.compute`."""
    if not array.null_count:
        return None
    bits = array.buffers()[0]
    if bits is None:
        return np.ones(len(array), np.bool_)
    first = array.offset // 8
    taken = np.frombuffer(bits, np.uint8)[first : (array.offset + len(array) + 7) // 8]
    skipped = array.offset - 8 * first
    return np.asarray(np.unpackbits(taken, bitorder="little")[skipped : skipped + len(array)] == 0)
