"""Arrays as `numpy.save` writes them: axis 0 is the rows, which are the one input of the model."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, ClassVar

import numpy as np
from numpy.lib import format as npy

from foretell.batch.block import Block
from foretell.batch.files import Files
from foretell.batch.job import Condition
from foretell.batch.shards import InputFile, Shard, ShardSize, cut, numbered
from foretell.batch.sources.arrow_kinds import first_line
from foretell.batch.sources.source import Field, FieldKind, Source, same_fields, unreadable
from foretell.columns import Array
from foretell.errors import InvalidInput
from foretell.forms.table import to_batch
from foretell.types import ModelSpec

_KINDS: Mapping[str, FieldKind] = {"i": "number", "u": "number", "f": "number", "U": "text", "S": "text"}
_MOST_SAID = 200
"""Characters of what NumPy says of a header, which it repeats."""
_MOST_EMPTY = 2**32
"""Rows of nothing: a file of any size may say that it has any number of them."""
_READERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


@dataclass(frozen=True, slots=True)
class _Head:
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    fortran: bool
    offset: int

    @property
    def row_bytes(self) -> int:
        return self.dtype.itemsize * math.prod(self.shape[1:])

    @property
    def field(self) -> Field:
        described = f"{self.dtype.name}{list(self.shape[1:]) if len(self.shape) > 1 else ''}"
        return Field(NpySource.content, _KINDS.get(self.dtype.kind, "other"), described)


class NpySource(Source):
    """Only the rows that are asked for are read, in either order of axes. They are not mapped into memory: a file that
    becomes shorter while it is read is an error, where a map would end the process."""

    content: ClassVar[str] = "rows"
    sets_aside: ClassVar[bool] = True

    def __init__(self, files: Sequence[InputFile], options: Mapping[str, Any]) -> None:
        super().__init__(files, options)
        self._files = Files()
        self._known: tuple[int, _Head] | None = None
        self._suited: tuple[ModelSpec, Mapping[str, Sequence[str]]] | None = None

    def fields(self) -> tuple[Field, ...]:
        first, *others = self.whole
        fields = (self._head(first).field,)
        for number in others:
            same_fields(fields, self.files[first].path, (self._head(number).field,), self.files[number].path)
        return fields

    def suit(self, spec: ModelSpec, columns: Mapping[str, Sequence[str]]) -> None:
        self._suited = spec, columns

    def check(self, columns: Sequence[str]) -> None:
        """Tries one row of nothing: what is wrong with its shape or its type is so in all of them."""
        number = self.whole[0]
        head = self._head(number)
        if self._suited is None or not head.shape[0]:
            return
        spec, chosen = self._suited
        plan = {name: tuple(columns) for name, columns in chosen.items()}
        try:
            to_batch({self.content: np.zeros((1, *head.shape[1:]), head.dtype)}, 1, spec, plan)
        except InvalidInput as error:
            raise InvalidInput(error.what, where=self.files[number].path, expected=error.expected, got=error.got,
                               fix=error.fix) from None  # fmt: skip

    def narrow(self, where: Sequence[Condition]) -> None:
        """Raises `InvalidInput` for a condition on rows that are no single values."""
        head = self._head(self.whole[0])
        if where and len(head.shape) > 1:
            raise InvalidInput("--where compares rows of several values", where=self.files[self.whole[0]].path,
                               got=head.field.described, fix="write a table with named columns")  # fmt: skip

    def shards(self, size: ShardSize) -> list[Shard]:
        whole = self.asked
        heads = [self._head(number) for number in whole]
        size = size.for_data(sum(head.shape[0] for head in heads), sum(file.size for file in self.files))
        made: list[Shard] = []
        for number, head in zip(whole, heads, strict=True):
            most = size.rows_of(head.row_bytes)
            for start, stop in cut(head.shape[0], most, first=not made):
                made.append(Shard(0, number, start, stop, start, stop - start))
        return numbered(made)

    def read(self, shard: Shard, columns: Sequence[str], rows: int) -> Iterator[Block]:
        head = self._head(shard.file)
        with self._open(shard.file) as stream:
            for start in range(shard.start, shard.stop, rows):
                stop = min(start + rows, shard.stop)
                array = _rows(stream, head, start, stop, self.files[shard.file].path)
                yield Block(dict.fromkeys(columns, array), stop - start, shard.file, start)

    def close(self) -> None:
        self._known = None
        self._files.close()

    def _head(self, number: int) -> _Head:
        if self._known is None or self._known[0] != number:
            try:
                self._known = number, self._read_head(number)
            except InvalidInput as error:
                raise unreadable(number, error) from None
        return self._known[1]

    def _read_head(self, number: int) -> _Head:
        file = self.files[number]
        fix = "save a plain array of numbers or strings with numpy.save"
        with self._open(number) as stream:
            try:
                read = _READERS.get(npy.read_magic(stream))
                if read is None:
                    raise ValueError("another version of the format")
                shape, fortran, dtype = read(stream)
            except (ValueError, EOFError) as error:
                what = f"not a readable .npy file: {first_line(error)[:_MOST_SAID]}"
                raise InvalidInput(what, where=file.path, fix=fix) from None
            head = _Head(shape, dtype, fortran, stream.tell())
        if any(size < 0 for size in shape) or (not head.row_bytes and shape and shape[0] > _MOST_EMPTY):
            raise InvalidInput("this is no array of rows", where=file.path, got=f"shape {shape} of {dtype}", fix=fix)
        if dtype.hasobject or dtype.names or dtype.subdtype or not shape:
            got = "Python objects" if dtype.hasobject else "a single value" if not shape else "records"
            raise InvalidInput("this is no array of rows", where=file.path, got=got, fix=fix)
        if file.size < head.offset + head.row_bytes * shape[0]:
            raise InvalidInput("the file has fewer rows than it says", where=file.path, expected=f"{shape[0]:,}",
                               got=f"{max(0, file.size - head.offset) // max(1, head.row_bytes):,}")  # fmt: skip
        return head

    def _open(self, number: int) -> BinaryIO:
        file = self.files[number]
        try:
            return self._files.open(file)
        except OSError as error:
            raise InvalidInput(f"the file cannot be read: {error.strerror or error}", where=file.path) from None


def _rows(stream: BinaryIO, head: _Head, start: int, stop: int, path: str) -> Array:
    """Rows [start, stop). In Fortran's order the cells of one column stand together."""
    rows, inner, item = head.shape[0], head.shape[1:], head.dtype.itemsize
    if not head.fortran or not inner:
        content = _bytes(stream, head.offset + start * head.row_bytes, (stop - start) * head.row_bytes, path)
        return np.frombuffer(content, head.dtype).reshape(stop - start, *inner)
    columns = [
        np.frombuffer(_bytes(stream, head.offset + (at * rows + start) * item, (stop - start) * item, path), head.dtype)
        for at in range(math.prod(inner))
    ]
    array = np.stack(columns, axis=1) if columns else np.zeros((stop - start, 0), head.dtype)
    turned = array.reshape(stop - start, *reversed(inner)).transpose(0, *range(len(inner), 0, -1))
    return np.ascontiguousarray(turned)


def _bytes(stream: BinaryIO, offset: int, size: int, path: str) -> bytes:
    stream.seek(offset)
    content = stream.read(size)
    if len(content) != size:
        raise InvalidInput("the file is shorter than it was", where=path, fix="score it once it is at rest")
    return content
