"""Where a text may be cut: one pass over a file, and shards out of what it has found."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from io import BufferedReader

import numpy as np

from foretell.batch.shards import InputFile, Shard, ShardSize, numbered
from foretell.batch.sources.records import Records
from foretell.errors import InvalidInput

_READ_BYTES = 2**20
MOST_RECORD_BYTES = 64 * 2**20
_FIRST_SHARE = 16
_STEPS = 64

Find = Callable[[bytes, bool], Records]
"""The records of some bytes; True: they are the end of the file."""


@dataclass(slots=True)
class Marks:
    """Places of a file between two rows, in order: bytes, rows and lines before each."""

    offsets: array[int] = field(default_factory=lambda: array("q"))
    rows: array[int] = field(default_factory=lambda: array("q"))
    lines: array[int] = field(default_factory=lambda: array("q"))

    def add(self, offset: int, row: int, line: int) -> None:
        self.offsets.append(offset)
        self.rows.append(row)
        self.lines.append(line)


def marks_of(
    stream: BufferedReader, file: InputFile, start: int, size: int | None, line: int, step: int, find: Find
) -> Marks:
    """Places about every `step` rows, from `start` on, where `line` lines have ended. `size`: of the text, where it is
    known. Raises `InvalidInput`."""
    marks = Marks()
    marks.add(start, 0, line)
    row, offset = 0, start
    stream.seek(start)
    for data, records in pieces(stream, file, None if size is None else size - start, find, line):
        row_ends = records.row_ends
        lines = np.flatnonzero(np.frombuffer(data, np.uint8) == 10)
        chosen = row_ends[np.arange(step - row % step - 1, len(row_ends), step)]
        passed = np.searchsorted(lines, chosen).tolist()
        for at, (end, before) in enumerate(zip(chosen.tolist(), passed, strict=True)):
            marks.add(offset + end, row - row % step + (at + 1) * step, line + before)
        row, line, offset = row + len(row_ends), line + len(lines), offset + len(data)
        if offset != marks.offsets[-1]:
            marks.add(offset, row, line)
    return marks


def pieces(
    stream: BufferedReader,
    file: InputFile,
    size: int | None,
    find: Find,
    line: int,
    most: int = _READ_BYTES,
    rows: int | None = None,
) -> Iterator[tuple[bytes, Records]]:
    """`size` bytes from where the stream stands, or all to its end, in pieces of about `most` bytes, and at most `rows`
    rows, that begin and end with a record.

    Raises `InvalidInput` where there are fewer, and for a record of more than `MOST_RECORD_BYTES`. `line`: how many
    lines have ended before the first.
    """
    rest, left, least = b"", sys.maxsize if size is None else size, 0
    while left or rest:
        wanted = min(left, max(most - len(rest), least))
        read = stream.read(wanted)
        if size is None and not stream.peek(1):
            left = len(read)
        elif len(read) < wanted:
            raise InvalidInput("the file is shorter than it was", where=file.path, fix="score it once it is at rest")
        left -= len(read)
        data = rest + read
        if not data:
            return
        records = find(data, not left)
        if not len(records.ends):
            if len(data) > MOST_RECORD_BYTES:
                limit = f"at most {MOST_RECORD_BYTES // 2**20} MiB"
                raise InvalidInput("a record does not end", where=f"{file.path}, line {line + 1}", expected=limit,
                                   fix="close the quote that was opened there")  # fmt: skip
            rest, least = data, len(data)  # a long record doubles what is looked at
            continue
        if rows is not None:
            records = records.head(rows)
        whole = int(records.ends[-1])
        rest, least = data[whole:], 0
        line += data.count(b"\n", 0, whole)
        yield data[:whole], records


def shards_of(every: Mapping[int, Marks], size: ShardSize) -> list[Shard]:
    """Shards of all files, by their numbers, each from one mark to another."""
    total = sum(marks.rows[-1] for marks in every.values())
    size = size.for_data(total, sum(marks.offsets[-1] for marks in every.values()))
    made: list[Shard] = []
    for number, marks in every.items():
        last, begin = len(marks.offsets) - 1, 0
        while begin < last:
            share = 1 if made else _FIRST_SHARE
            end = _furthest(marks, begin, size.rows // share, size.bytes // share)
            rows = marks.rows[end] - marks.rows[begin]
            if rows:
                made.append(Shard(0, number, marks.offsets[begin], marks.offsets[end], marks.rows[begin], rows,
                                  marks.lines[begin]))  # fmt: skip
            begin = end
    return numbered(made)


def step_of(size: ShardSize) -> int:
    """How many rows may lie between two marks."""
    return max(1, size.rows // _STEPS)


def _furthest(marks: Marks, begin: int, rows: int, most_bytes: int) -> int:
    """The last mark that both limits allow, or the next one."""
    end = begin + 1
    while end + 1 < len(marks.offsets):
        if marks.rows[end + 1] - marks.rows[begin] > rows:
            break
        if marks.offsets[end + 1] - marks.offsets[begin] > most_bytes:
            break
        end += 1
    return end
