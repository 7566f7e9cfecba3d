"""Texts of which each line is a row."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, BinaryIO

from foretell.batch.block import Block
from foretell.batch.files import Files, read_on
from foretell.batch.shards import MOST_SHARDS, InputFile, Shard, ShardSize, numbered
from foretell.batch.sources.source import Field, Source
from foretell.batch.sources.texts import MOST_BLOCK_BYTES, MOST_BYTES, checked
from foretell.errors import InvalidInput, RowError

_SHARD_LINES = 2048
_FIRST_LINES = _SHARD_LINES // 16
_READ_BYTES = 2**20


class LineSource(Source):
    """Lines of UTF-8, without what ends them ("\\n" or "\\r\\n"); an empty line is an empty text. Shards are ranges of
    bytes that begin and end with a line, so that whoever reads one looks at nothing before it."""

    content = "text"

    def __init__(self, files: Sequence[InputFile], options: Mapping[str, Any]) -> None:
        super().__init__(files, options)
        self._opening = Files()

    def fields(self) -> tuple[Field, ...]:
        return (Field(self.content, "text", "lines"),)

    def shards(self, size: ShardSize) -> list[Shard]:
        marks = [self._marks(number) for number in range(len(self.files))]
        rows = sum(count for _, count in marks)
        together = max(1, rows // MOST_SHARDS // _SHARD_LINES)
        made: list[Shard] = []
        for number, (starts, count) in enumerate(marks):
            made += _ranges(starts, count, self.files[number].size, number, together)
        if not made:
            raise InvalidInput("there are no lines", where=self.files[0].path)
        return numbered(made)

    def read(self, shard: Shard, columns: Sequence[str], rows: int) -> Iterator[Block]:
        path = self.files[shard.file].path
        texts: list[bytes] = []
        bad: dict[int, RowError] = {}
        first, size = shard.first_row, 0
        with self._open(shard.file) as file:
            read_on(file, shard.start, shard.stop)
            for number in range(shard.first_row, shard.first_row + (shard.rows or 0)):
                line = self._line(file, f"{path}, line {number + 1}", first=number == 0)
                if isinstance(line, RowError):
                    bad[len(texts)] = line
                texts.append(b"" if isinstance(line, RowError) else line)
                size += len(texts[-1])
                if len(texts) == rows or size >= MOST_BLOCK_BYTES:
                    yield Block({self.content: texts}, len(texts), shard.file, first, bad)
                    first, size, texts, bad = number + 1, 0, [], {}
        if texts:
            yield Block({self.content: texts}, len(texts), shard.file, first, bad)

    def close(self) -> None:
        self._opening.close()

    def _open(self, number: int) -> BinaryIO:
        try:
            return self._opening.open(self.files[number])
        except OSError as error:
            what = f"the file cannot be read: {error.strerror or error}"
            raise InvalidInput(what, where=self.files[number].path) from None

    def _line(self, file: BinaryIO, where: str, *, first: bool) -> bytes | RowError:
        line = file.readline(MOST_BYTES + len(b"\r\n") + 1)
        text = line.removesuffix(b"\n").removesuffix(b"\r")
        if len(text) > MOST_BYTES:
            while line and not line.endswith(b"\n"):
                line = file.readline(_READ_BYTES)
            expected = f"at most {MOST_BYTES:,} bytes"
            return RowError.of(InvalidInput("the line is too long", where=where, expected=expected))
        try:
            return checked(text, where, first=first)
        except InvalidInput as error:
            return RowError.of(error)

    def _marks(self, number: int) -> tuple[array[int], int]:
        """Where each shard begins, the first one a small one, and how many lines there are."""
        starts, lines, at, last = array("q", [0]), 0, 0, b"\n"
        wanted = _FIRST_LINES
        with self._open(number) as content:
            read_on(content, 0, self.files[number].size)
            while chunk := content.read(_READ_BYTES):
                found = chunk.count(b"\n")
                position, seen = 0, lines
                while lines + found >= wanted:
                    for _ in range(wanted - seen):
                        position = chunk.index(b"\n", position) + 1
                    seen = wanted
                    starts.append(at + position)
                    wanted += _SHARD_LINES
                lines, at, last = lines + found, at + len(chunk), chunk[-1:]
        return starts, lines + (last != b"\n")


def _ranges(starts: array[int], count: int, size: int, number: int, together: int) -> list[Shard]:
    """Shards of a file that begin where `starts` say; of so many of them `together`, but for the first."""
    chosen = [0, *range(1, len(starts), together)]
    rows = [_FIRST_LINES + (at - 1) * _SHARD_LINES if at else 0 for at in chosen] + [count]
    bytes_ = [starts[at] for at in chosen] + [size]
    made = []
    for at in range(len(chosen)):
        if rows[at + 1] > rows[at]:
            made.append(Shard(0, number, bytes_[at], bytes_[at + 1], rows[at], rows[at + 1] - rows[at]))
    return made
