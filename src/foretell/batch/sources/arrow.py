"""Arrow IPC files, which Feather is, too, and Arrow streams: shards are ranges of rows."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, ClassVar

from foretell.batch.address import is_address
from foretell.batch.block import Block
from foretell.batch.files import Files
from foretell.batch.shards import InputFile, Shard, ShardSize, cut, joined_groups, numbered
from foretell.batch.sources.arrow_kinds import first_line, kind_of, without_views
from foretell.batch.sources.source import Field, Source, same_fields, unreadable
from foretell.errors import InvalidInput
from foretell.extras import needs


@dataclass(slots=True)
class _Batches:
    """The record batches of a file. Those of a stream come in order: one before the last is found from the start."""

    reader: Any
    is_file: bool
    stream: Any
    next: int = 0

    def count(self) -> list[int]:
        if self.is_file:
            return [self.reader.get_batch(at).num_rows for at in range(self.reader.num_record_batches)]
        return [batch.num_rows for batch in self.reader]

    def get(self, at: int) -> Any:
        if self.is_file:
            return self.reader.get_batch(at)
        while self.next < at:
            self.reader.read_next_batch()
            self.next += 1
        self.next += 1
        return self.reader.read_next_batch()


class ArrowSource(Source):
    """One or more files with the same columns; only the columns that are asked for are read."""

    whole_columns: ClassVar[bool] = True
    sets_aside: ClassVar[bool] = True

    def __init__(self, files: Sequence[InputFile], options: Mapping[str, Any]) -> None:
        super().__init__(files, options)
        self._files = Files()
        self._counts: tuple[int, list[int]] | None = None
        self._open: tuple[int, tuple[str, ...], _Batches] | None = None

    def fields(self) -> tuple[Field, ...]:
        fields: dict[int, tuple[Field, ...]] = {}
        for number in self.whole:
            file = self.files[number]
            batches = self._opened(number, None)
            schema = batches.reader.schema
            batches.stream.close()
            names = schema.names
            if twice := [name for name in names if names.count(name) > 1]:
                raise InvalidInput(f"two columns are named {twice[0]!r}", where=file.path, fix="rename one")
            mine = tuple(Field(field.name, kind_of(field.type), str(field.type)) for field in schema)
            for first, known in fields.items():
                same_fields(known, self.files[first].path, mine, file.path)
            fields = fields or {number: mine}
        return next(iter(fields.values()))

    def shards(self, size: ShardSize) -> list[Shard]:
        whole = self.asked
        counts = [self._rows(number) for number in whole]
        total, stored = sum(map(sum, counts)), sum(file.size for file in self.files)
        most = size.for_data(total, stored).rows_of(stored / max(1, total))
        made: list[Shard] = []
        for number, each in zip(whole, counts, strict=True):
            for start, stop in joined_groups(each, most):
                for left, right in cut(stop - start, most, first=not made):
                    made.append(Shard(0, number, start + left, start + right, start + left, right - left))
        return numbered(made)

    def empty(self, name: str) -> Any:
        import pyarrow as pa

        batches = self._opened(self.whole[0], None)
        batches.stream.close()
        return without_views(pa.nulls(0, batches.reader.schema.field(name).type))

    def read(self, shard: Shard, columns: Sequence[str], rows: int) -> Iterator[Block]:
        import pyarrow as pa

        ends = list(accumulate(self._rows(shard.file)))
        at, row = bisect_right(ends, shard.start), shard.start
        held: list[Any] = []
        first, count = row, 0
        while row < shard.stop:
            batch = self._batch(shard.file, tuple(columns), at, row)
            begin = ends[at] - batch.num_rows
            stop = min(ends[at], shard.stop)
            while row < stop:
                piece = batch.slice(row - begin, min(stop - row, rows - count))
                held.append(piece)
                row, count = row + piece.num_rows, count + piece.num_rows
                if count == rows or row == shard.stop:
                    table = pa.Table.from_batches(held)
                    yield Block({name: without_views(table[name]) for name in columns}, count, shard.file, first)
                    held, first, count = [], row, 0
            at += 1

    def close(self) -> None:
        self._forget()
        self._counts = None
        self._files.close()

    def _rows(self, number: int) -> list[int]:
        """Rows of each batch."""
        if self._counts is None or self._counts[0] != number:
            batches = self._opened(number, ())
            try:
                self._counts = number, self._told(number, 0, batches.count)
            finally:
                batches.stream.close()
        return self._counts[1]

    def _batch(self, number: int, columns: tuple[str, ...], at: int, row: int) -> Any:
        known = self._open
        if known is None or known[:2] != (number, columns) or (not known[2].is_file and known[2].next > at):
            self._forget()
            known = self._open = number, columns, self._opened(number, columns)
        batches = known[2]
        batch = self._told(number, row, lambda: batches.get(at))
        return batch.select(columns)

    def _told(self, number: int, row: int, read: Any) -> Any:
        import pyarrow as pa

        try:
            return read()
        except (pa.ArrowException, OSError, StopIteration) as error:
            what = f"the file cannot be read: {first_line(error) or 'it ends too early'}"
            where = f"{self.files[number].path}, near row {row}"
            raise unreadable(number, InvalidInput(what, where=where, fix="write it again")) from None

    def _forget(self) -> None:
        if self._open is not None:
            self._open[2].stream.close()
        self._open = None

    def _opened(self, number: int, columns: tuple[str, ...] | None) -> _Batches:
        """`columns`: those that are read; no name: only as much as tells how many rows there are."""
        with needs("pyarrow", "data", "reading Arrow files"):
            import pyarrow as pa
        file = self.files[number]
        try:
            stream = pa.PythonFile(self._files.open(file)) if is_address(file.path) else pa.OSFile(file.path)
        except OSError as error:
            told = InvalidInput(f"the file cannot be read: {error.strerror or error}", where=file.path)
            raise unreadable(number, told) from None
        try:
            return _reader(stream, columns)
        except (pa.ArrowException, OSError, EOFError) as error:
            stream.close()
            what = f"not a readable Arrow file: {first_line(error)}"
            told = InvalidInput(what, where=file.path, fix="write it again, or leave it out")
            raise unreadable(number, told) from None


def _reader(stream: Any, columns: tuple[str, ...] | None) -> _Batches:
    import pyarrow as pa

    beginning = stream.read(6)
    if beginning.startswith(b"FEA1"):
        raise OSError("it is Feather of version 1, and version 2 is read")
    is_file = beginning == b"ARROW1"
    stream.seek(0)
    open_ = pa.ipc.open_file if is_file else pa.ipc.open_stream
    reader = open_(stream)
    if columns is None:
        return _Batches(reader, is_file, stream)
    names = reader.schema.names
    chosen = [names.index(name) for name in columns] if columns else list(range(min(1, len(names))))
    stream.seek(0)
    options = pa.ipc.IpcReadOptions(use_threads=False, included_fields=chosen)
    return _Batches(open_(stream, options=options), is_file, stream)
