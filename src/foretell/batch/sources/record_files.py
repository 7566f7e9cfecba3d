"""Files of text whose rows stand in lines: what CSV and JSON Lines have in common."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from io import BufferedReader
from typing import Any, ClassVar, cast

from foretell.batch.block import Block
from foretell.batch.files import ChangedInput, Files, read_on
from foretell.batch.shards import InputFile, Shard, ShardSize
from foretell.batch.sources.marks import Marks, marks_of, pieces, shards_of, step_of
from foretell.batch.sources.records import Records
from foretell.batch.sources.source import Field, Source, unreadable
from foretell.compression import compression_of
from foretell.errors import InvalidInput, RowError
from foretell.forms.cells import CellKind, Cells, cell_kind
from foretell.forms.expanded import Expanded
from foretell.types import DataType, ModelSpec, TensorSpec

_MARGIN = 1.1
_LEAST_BYTES, _MOST_BYTES = 2**16, 2**26
_BUFFER_BYTES = 2**20


@dataclass(frozen=True, slots=True)
class Parsed:
    """Rows as cells. `bad`: rows that could not be read, by their number, and why."""

    columns: Mapping[str, Cells]
    bad: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Sampled:
    """What the beginning of the files tells: columns in order, and what each file has in them."""

    names: tuple[str, ...]
    kinds: tuple[Mapping[str, str], ...]
    """For each file: column -> "int", "float", "flag", "text", "other", or "unknown" where all is empty."""
    examples: Mapping[str, str] = field(default_factory=dict)
    """Column -> what makes it text, for people."""

    def kind(self, name: str) -> str:
        """Of the first file that tells."""
        return next((k for each in self.kinds if (k := each.get(name, "unknown")) != "unknown"), "unknown")


class RecordsSource(Source):
    """Shards are ranges of bytes, cut between two rows at places that one pass over the files has found: bytes of the
    text, where a file is compressed. Of those one stays open, so that reading on in it is cheap."""

    whole_columns: ClassVar[bool] = True
    sets_aside: ClassVar[bool] = True

    def __init__(self, files: Sequence[InputFile], options: Mapping[str, Any]) -> None:
        super().__init__(files, options)
        self._tensors: Mapping[str, TensorSpec | None] = {}
        self._sampled: Sampled | None = None
        self._files = Files()
        self._expanded: tuple[int, BufferedReader] | None = None

    @abstractmethod
    def sample(self) -> Sampled:
        """Looks at the beginning of every file. Raises `InvalidInput` for one that is none of these."""

    @abstractmethod
    def begin(self, file: int) -> tuple[int, int]:
        """Where the first row may begin: bytes and lines before it."""

    @abstractmethod
    def find(self, data: bytes, final: bool) -> Records:
        """The records of some bytes."""

    @abstractmethod
    def parse(self, data: bytes, records: Records, columns: Mapping[str, CellKind], file: int) -> Parsed:
        """The rows of some bytes."""

    def fields(self) -> tuple[Field, ...]:
        sampled = self.sampled
        flag = "text" if self.cells_are_text else "other"
        words: Mapping[str, Any] = {"int": "number", "float": "number", "flag": flag}
        kinds = {name: sampled.kind(name) for name in sampled.names}
        told = {name: f"text, such as {example}" for name, example in sampled.examples.items()}
        return tuple(
            Field(name, words.get(kind, kind), told.get(name, words.get(kind, kind)), kind == "flag")
            for name, kind in kinds.items()
        )

    def check(self, columns: Sequence[str]) -> None:
        for number, kinds in enumerate(self.sampled.kinds):
            for name, tensor in self._tensors.items():
                datatype = tensor.datatype if tensor is not None else None
                wants_number = datatype not in (None, DataType.BYTES, DataType.BOOL)
                if kinds.get(name) == "text" and datatype is not None and wants_number:
                    raise InvalidInput(f"column {name!r} holds text, where the model takes numbers",
                                       where=self.files[number].path, expected=datatype.value,
                                       fix="leave the file out, or correct the column")  # fmt: skip

    def suit(self, spec: ModelSpec, columns: Mapping[str, Sequence[str]]) -> None:
        tensors = {name: spec.input(name) for name in columns}
        self._tensors = {source: tensor for name, tensor in tensors.items() for source in columns[name]}

    def shards(self, size: ShardSize) -> list[Shard]:
        marks: dict[int, Marks] = {}
        for number in self.asked:
            file = self.files[number]
            start, lines = self.begin(number)
            with self.open(number) as stream:
                read_on(stream, start, file.size)
                known = None if compression_of(file.path) else file.size
                marks[number] = marks_of(stream, file, start, known, lines, step_of(size), self.find)
        return shards_of(marks, size)

    def read(self, shard: Shard, columns: Sequence[str], rows: int) -> Iterator[Block]:
        file, size = self.files[shard.file], shard.stop - shard.start
        kinds = {name: self.kind(name) for name in columns}
        first, lines = shard.first_row, shard.lines
        row_bytes = size / max(1, shard.rows or 1)
        most = int(min(_MOST_BYTES, max(_LEAST_BYTES, rows * row_bytes * _MARGIN)))
        with self._kept_open(shard.file) as stream:
            read_on(stream, shard.start, shard.stop)
            for data, records in pieces(stream, file, size, self.find, lines, most, rows):
                parsed = self.parse(data, records, kinds, shard.file)
                count = len(records.row_ends)
                bad = self._bad(file.path, data, records, lines, parsed.bad)
                if count:
                    yield Block(parsed.columns, count, shard.file, first, bad)
                first, lines = first + count, lines + data.count(b"\n")
        if first != shard.first_row + (shard.rows or 0):
            what = f"it had {shard.rows:,} rows from row {shard.first_row:,} on, and has {first - shard.first_row:,}"
            raise ChangedInput(f"the input changed while it was read: {what}", where=file.path,
                               fix="run with --fresh once it is at rest, to score what it holds then")  # fmt: skip

    def close(self) -> None:
        self._sampled = None
        self._forget()
        self._files.close()

    def open(self, number: int) -> BufferedReader:
        """The text of a file, from its beginning. Raises `InvalidInput` where it cannot be read."""
        file = self.files[number]
        kind = compression_of(file.path)
        if kind is None:
            return self._stored(number)
        opened, said = partial(self._stored_whole, number), partial(unreadable, number)
        expanded = Expanded(file.path, file.size, kind, opened, said)
        return BufferedReader(expanded, _BUFFER_BYTES)

    def _stored_whole(self, number: int) -> BufferedReader:
        stream = self._stored(number)
        read_on(stream, 0, self.files[number].size)
        return stream

    @contextmanager
    def _kept_open(self, number: int) -> Iterator[BufferedReader]:
        """The same for `read`, standing anywhere: of a compressed file it is the one that was read last."""
        if compression_of(self.files[number].path) is None:
            with self.open(number) as stream:
                yield stream
            return
        if self._expanded is None or self._expanded[0] != number:
            self._forget()
            self._expanded = number, self.open(number)
        try:
            yield self._expanded[1]
        except BaseException:
            self._forget()  # after an error it stands nowhere
            raise

    def _forget(self) -> None:
        if self._expanded is not None:
            self._expanded[1].close()
            self._expanded = None

    def _stored(self, number: int) -> BufferedReader:
        file = self.files[number]
        try:
            return cast("BufferedReader", self._files.open(file))
        except OSError as error:
            told = InvalidInput(f"the file cannot be read: {error.strerror or error}", where=file.path)
            raise unreadable(number, told) from None

    @property
    def sampled(self) -> Sampled:
        self._sampled = self._sampled or self.sample()
        return self._sampled

    def kind(self, name: str) -> CellKind:
        """What the model takes; where nobody tells, what the files begin with; a key stays as it stands there."""
        if name not in self._tensors:
            return "any"
        tensor = self._tensors[name]
        known = tensor is not None and tensor.datatype is not None
        sampled = "" if known else self.sampled.kind(name)
        return "flag" if sampled == "flag" and self.cells_are_text else cell_kind(tensor, sampled)

    def _bad(self, path: str, data: bytes, records: Records, lines: int, bad: Mapping[int, str]) -> dict[int, RowError]:
        starts = records.row_starts
        told: dict[int, RowError] = {}
        for row, why in bad.items():
            line = lines + data.count(b"\n", 0, int(starts[row])) + 1
            told[row] = RowError(InvalidInput.code, f"{path}, line {line}: {why}")
        return told
