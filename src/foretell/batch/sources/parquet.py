"""Parquet files: shards are ranges of rows, and only the columns that are asked for are read."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from foretell.batch.address import is_address
from foretell.batch.block import Block
from foretell.batch.files import Files, ObjectFile, Span
from foretell.batch.job import Condition
from foretell.batch.shards import InputFile, Shard, ShardSize, cut, joined_groups, numbered
from foretell.batch.sources.arrow_kinds import first_line, has_views, kind_of, without_views
from foretell.batch.sources.row_groups import may_match
from foretell.batch.sources.source import Field, Source, same_fields, unreadable
from foretell.errors import InvalidInput
from foretell.extras import needs
from foretell.forms.record import Record

_BUFFER_BYTES = 2**16
_SIGNATURE_BYTES = 28
_FETCHED_BYTES = 16 * 2**20
"""Of an object: how much of small groups of rows is fetched at a time."""


@dataclass(slots=True)
class _Reading:
    """A file that is being read, the row at which it stands, and the one before which it ends."""

    file: int
    columns: tuple[str, ...]
    rows: int
    batches: Iterator[Any]
    at: int
    stop: int
    views: bool
    """Whether a column holds views of strings."""
    rest: Any = None
    kinds: Mapping[str, str] | None = None


class ParquetSource(Source):
    """One or more Parquet files with the same columns."""

    whole_columns = True
    sets_aside = True

    def __init__(self, files: Sequence[InputFile], options: Mapping[str, Any]) -> None:
        super().__init__(files, options)
        self._files = Files()
        self._open: dict[int, Any] = {}
        self._object: ObjectFile | None = None
        self._reading: _Reading | None = None
        self._where: Sequence[Condition] = ()

    def narrow(self, where: Sequence[Condition]) -> None:
        self._where = where

    def fields(self) -> tuple[Field, ...]:
        first, *others = self.whole
        fields = self.file_fields(first)
        self._forget(first)
        for number in others:
            same_fields(fields, self.files[first].path, self.file_fields(number), self.files[number].path)
            self._forget(number)
        return fields

    def file_fields(self, number: int) -> tuple[Field, ...]:
        """The columns of one file."""
        return tuple(
            Field(field.name, kind_of(field.type), str(field.type)) for field in self._file(number).schema_arrow
        )

    def shards(self, size: ShardSize) -> list[Shard]:
        whole = self.asked
        metas = [self._file(number).metadata for number in whole]
        groups = [[meta.row_group(at) for at in range(meta.num_row_groups)] for meta in metas]
        rows = sum(meta.num_rows for meta in metas)
        raw = sum(group.total_byte_size for each in groups for group in each)
        most = size.for_data(rows, raw).rows_of(raw / max(1, rows))
        made: list[Shard] = []
        for number, each in zip(whole, groups, strict=True):
            for begin, counts in self._runs(each):
                for start, stop in joined_groups(counts, most):
                    for left, right in cut(stop - start, most, first=not made):
                        first = begin + start + left
                        made.append(Shard(0, number, first, first + right - left, first, right - left))
        return numbered(made)

    def _runs(self, groups: Sequence[Any]) -> Iterator[tuple[int, list[int]]]:
        """Neighbouring groups that may hold a row that is asked for: the first row, and the rows of each."""
        row, begin, counts = 0, 0, list[int]()
        for group in groups:
            if may_match(group, self._where):
                begin = begin if counts else row
                counts.append(group.num_rows)
            elif counts:
                yield begin, counts
                counts = []
            row += group.num_rows
        if counts:
            yield begin, counts

    def empty(self, name: str) -> Any:
        import pyarrow as pa

        return without_views(pa.nulls(0, self._file(self.whole[0]).schema_arrow.field(name).type))

    def read(self, shard: Shard, columns: Sequence[str], rows: int) -> Iterator[Block]:
        """Goes on where the last shard ended, if it can: rows in the middle of a row group are found by reading."""
        reading = self._reading
        wanted = shard.file, tuple(columns), rows, shard.start
        if (
            reading is None
            or (reading.file, reading.columns, reading.rows, reading.at) != wanted
            or (reading.stop < shard.stop)
        ):
            reading = self._begun(shard, tuple(columns), rows)
        self._reading = None
        while reading.at < shard.stop:
            batch = reading.rest if reading.rest is not None else self._next(reading)
            reading.rest = None
            over = reading.at + batch.num_rows - shard.stop
            if over > 0:
                batch, reading.rest = batch.slice(0, batch.num_rows - over), batch.slice(batch.num_rows - over)
            record = Record(batch, reading.kinds)
            reading.kinds = record.kinds
            block = Block(record, batch.num_rows, shard.file, reading.at)
            reading.at += batch.num_rows
            yield block
        self._reading = reading

    def close(self) -> None:
        self._reading = None
        for number in list(self._open):
            self._forget(number)
        self._files.close()

    def _begun(self, shard: Shard, columns: tuple[str, ...], rows: int) -> _Reading:
        file = self._file(shard.file)
        first, before = 0, 0
        while before + file.metadata.row_group(first).num_rows <= shard.start:
            before += file.metadata.row_group(first).num_rows
            first += 1
        last, stop = first, before
        # Of an object only what the shard needs, since it is fetched; a local file is read on for the next shard.
        while last < file.metadata.num_row_groups and (stop < shard.stop or self._object is None):
            stop += file.metadata.row_group(last).num_rows
            last += 1
        groups = list(range(first, last))
        if self._object is not None:
            self._object.expect(_spans(file.metadata, groups, columns))
        batches = file.iter_batches(batch_size=rows, row_groups=groups, columns=list(columns), use_threads=False)
        views = any(has_views(field.type) for field in file.schema_arrow if field.name in columns)
        reading = _Reading(shard.file, columns, rows, batches, before, stop, views)
        while reading.at < shard.start:
            batch = self._next(reading)
            over = reading.at + batch.num_rows - shard.start
            if over > 0:
                reading.rest = batch.slice(batch.num_rows - over)
                reading.at = shard.start
            else:
                reading.at += batch.num_rows
        return reading

    def _next(self, reading: _Reading) -> Any:
        import pyarrow as pa

        path = self.files[reading.file].path
        try:
            batch = next(reading.batches)
            if not reading.views:
                return batch
            columns = [without_views(column) for column in batch.columns]
            return pa.RecordBatch.from_arrays(columns, batch.schema.names)
        except StopIteration:
            error = InvalidInput("the file has fewer rows than it says", where=f"{path}, row {reading.at}")
            raise unreadable(reading.file, error) from None
        except (pa.ArrowException, OSError) as error:
            what = f"the file cannot be read: {first_line(error)}"
            told = InvalidInput(what, where=f"{path}, near row {reading.at}", fix="write it again")
            raise unreadable(reading.file, told) from None

    def _file(self, number: int) -> Any:
        if number not in self._open:
            for other in list(self._open):
                self._forget(other)
            file = self.files[number]
            self._object = self._files.open_object(file) if is_address(file.path) else None
            try:
                self._open[number] = _opened(self._object or file.path, file.path)
            except InvalidInput as error:
                raise unreadable(number, error) from None
        return self._open[number]

    def _forget(self, number: int) -> None:
        file = self._open.pop(number, None)
        if file is not None:
            file.close()
            self._object = None


def _opened(file: str | ObjectFile, path: str) -> Any:
    with needs("pyarrow", "data", "reading Parquet"):
        import pyarrow as pa
        import pyarrow.parquet as pq
    try:
        opened = pq.ParquetFile(file, buffer_size=_BUFFER_BYTES, pre_buffer=False, page_checksum_verification=True)
        if file == path and _is_encrypted(path, opened.metadata.serialized_size):
            opened.close()
            raise InvalidInput("columns of the file are encrypted", where=path, fix="write it without encryption")
    except (pa.ArrowException, OSError) as error:
        what = f"not a readable Parquet file: {first_line(error)}"
        raise InvalidInput(what, where=path, fix="write it again, or leave it out") from None
    return opened


def _is_encrypted(path: str, footer_bytes: int) -> bool:
    """Whether a footer that can be read is signed, as it is where columns are encrypted: pyarrow ends the process when
    it is asked for one of them. The signature stands behind the footer ("Parquet Modular Encryption", 4.2)."""
    with open(path, "rb") as stream:
        stream.seek(-8, os.SEEK_END)
        return int.from_bytes(stream.read(4), "little") == footer_bytes + _SIGNATURE_BYTES


def _spans(metadata: Any, groups: Sequence[int], columns: Sequence[str]) -> list[list[Span]]:
    """Where the columns of some groups of rows stand in their file: small groups that are neighbours together."""
    sets: list[list[Span]] = []
    held = 0
    for number in groups:
        group = metadata.row_group(number)
        chunks = [group.column(at) for at in range(group.num_columns)]
        spans = [_span(chunk) for chunk in chunks if _is_one_of(chunk.path_in_schema, columns)]
        size = sum(stop - start for start, stop in spans)
        if not sets or held + size > _FETCHED_BYTES:
            sets.append([])
            held = 0
        sets[-1] += spans
        held += size
    return sets


def _span(chunk: Any) -> Span:
    start = min(chunk.data_page_offset, chunk.dictionary_page_offset or chunk.data_page_offset)
    return start, start + chunk.total_compressed_size


def _is_one_of(path: str, columns: Sequence[str]) -> bool:
    return any(path == name or path.startswith(f"{name}.") for name in columns)
