"""Image files, of which each is a row: pixels for models of numbers, the file itself for models of BYTES."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from foretell.batch.block import Block
from foretell.batch.shards import InputFile, Shard
from foretell.batch.sources.files import FILE, FileSource
from foretell.batch.sources.holders import Entry
from foretell.batch.sources.image_options import NAMES, ImageOptions
from foretell.batch.sources.image_rows import ImageRows
from foretell.batch.sources.texts import MOST_BLOCK_BYTES
from foretell.columns import Array
from foretell.errors import InvalidInput, InvalidSetting, RowError
from foretell.forms.cells import Cells
from foretell.types import DataType, ModelSpec


@dataclass(slots=True)
class _Pending:
    """Rows of a block that is not full yet."""

    first: int
    names: list[str] = field(default_factory=list)
    cells: Any = field(default_factory=list)
    bad: dict[int, RowError] = field(default_factory=dict)
    size: int = 0


class ImageSource(FileSource):
    """Decodes in the process that scores, one image after the other.

    A row that cannot be read is a bad row. Where the model leaves the size of images open, a block has images of one
    size only, since a tensor can have no others.
    """

    kind, content, content_kind = "images", "image", "unknown"
    shard_files = 64
    known_options = NAMES
    most_bytes = 256 * 2**20

    def __init__(self, files: Sequence[InputFile], options: Mapping[str, Any]) -> None:
        super().__init__(files, options)
        self._given = ImageOptions.of(options)
        self._rows: ImageRows | None = None

    def suit(self, spec: ModelSpec, columns: Mapping[str, Sequence[str]]) -> None:
        name = next((name for name, sources in columns.items() if self.content in sources), "")
        tensor = spec.input(name)
        if tensor is not None and tensor.datatype is not DataType.BYTES:
            self._rows = ImageRows(tensor, spec, self._given)
            return
        self._rows = None
        if self.options:
            given = ", ".join(f"--{name}" for name in sorted(self.options))
            raise InvalidSetting(f"{given} would do nothing: the model takes the files as they are", fix="leave it out")

    @property
    def row_bytes(self) -> int | None:
        if self._rows is None or self._rows.shape is None:
            return None
        return int(np.prod(self._rows.shape)) * self._rows.dtype.itemsize

    def read(self, shard: Shard, columns: Sequence[str], rows: int) -> Iterator[Block]:
        entries = self.holder(shard.file).read(shard)
        if self._rows is None:
            return self._files(entries, shard, rows)
        return self._fixed(entries, shard, rows) if self._rows.shape is not None else self._free(entries, shard, rows)

    def _fixed(self, entries: Iterator[Entry], shard: Shard, rows: int) -> Iterator[Block]:
        """Rows of one shape, each written where it belongs in the tensor of its block."""
        maker, at, end = self._maker(), shard.first_row, shard.first_row + (shard.rows or 0)
        while at < end:
            many = min(rows, end - at)
            pending = _Pending(at, cells=np.empty((many, *(maker.shape or ())), maker.dtype))
            for row in range(many):
                entry = next(entries)
                pending.names.append(entry.name)
                why = self._refused(entry, at + row)
                try:
                    if why is None:
                        maker.write(entry.content, entry.where, pending.cells[row])
                except InvalidInput as error:
                    why = RowError.of(error)
                if why is not None:
                    pending.bad[row] = why
            yield self._block(pending, shard.file)
            at += many

    def _free(self, entries: Iterator[Entry], shard: Shard, rows: int) -> Iterator[Block]:
        maker, pending, shape = self._maker(), _Pending(shard.first_row), None
        for number, entry in enumerate(entries, shard.first_row):
            why, made = self._refused(entry, number), None
            try:
                made = maker.made(entry.content, entry.where) if why is None else None
            except InvalidInput as error:
                why = RowError.of(error)
            other = made is not None and shape is not None and made.shape != shape
            if len(pending.names) == rows or other or pending.size >= MOST_BLOCK_BYTES:
                yield self._block(pending, shard.file, shape)
                pending, shape = _Pending(number), None
            if made is not None:
                shape, pending.size = made.shape, pending.size + made.nbytes
            if why is not None:
                pending.bad[len(pending.names)] = why
            pending.names.append(entry.name)
            pending.cells.append(made)
        if pending.names:
            yield self._block(pending, shard.file, shape)

    def _files(self, entries: Iterator[Entry], shard: Shard, rows: int) -> Iterator[Block]:
        pending = _Pending(shard.first_row)
        for number, entry in enumerate(entries, shard.first_row):
            if len(pending.names) == rows or pending.size >= MOST_BLOCK_BYTES:
                yield self._block(pending, shard.file)
                pending = _Pending(number)
            why = entry.why
            if why is None and not entry.content:
                why = RowError.of(InvalidInput("the file is empty", where=entry.where))
            if why is not None:
                pending.bad[len(pending.names)] = why
            pending.names.append(entry.name)
            pending.cells.append(entry.content)
            pending.size += len(entry.content)
        if pending.names:
            yield self._block(pending, shard.file)

    def _maker(self) -> ImageRows:
        if self._rows is None:
            raise RuntimeError("the model takes files")
        return self._rows

    def _refused(self, entry: Entry, row: int) -> RowError | None:
        """Why a row is not to be decoded; else whoever looks on is told that it will be."""
        why = self.left_out.get(row, entry.why)
        if why is None:
            self.decodes(row)
        return why

    def _block(self, pending: _Pending, file: int, shape: tuple[int, ...] | None = None) -> Block:
        cells: Cells = pending.cells
        if shape is not None:  # rows without an image have room that means nothing
            empty: Array = np.zeros(shape, next(made.dtype for made in cells if made is not None))
            cells = np.stack([empty if made is None else made for made in cells])
        columns = {FILE: pending.names, self.content: cells}
        return Block(columns, len(pending.names), file, pending.first, pending.bad)
