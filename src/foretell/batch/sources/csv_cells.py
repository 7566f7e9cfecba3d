"""Records of CSV as cells, without any library: the answer that all faster ways must give."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence

from foretell.batch.sources.records import Records

Cells = list[list[bytes]]


class NotCsv(ValueError):
    """What is wrong with a record."""


def cells_of(data: bytes, records: Records, width: int, delimiter: bytes) -> tuple[Cells, dict[int, str]]:
    """The cells of every row, each row of `width`; a row that has others, or none, is empty, and stands in the dict."""
    bad: dict[int, str] = {}
    made: Cells = []
    if records.regular and b'"' not in data:
        made = [line.split(delimiter) for line in _lines(data, records, width)]
        if set(map(len, made)) <= {width}:
            return made, bad
    else:
        for row, (start, stop) in enumerate(zip(records.row_starts.tolist(), records.row_ends.tolist(), strict=True)):
            try:
                made.append(split(data[start:stop], delimiter))
            except NotCsv as error:
                bad[row] = str(error)
                made.append([b""] * width)
    for row, cells in enumerate(made):
        if len(cells) != width:
            bad[row] = f"the line has another number of cells than the header; expected {width}, got {len(cells)}"
            made[row] = [b""] * width
    return made, bad


def _lines(data: bytes, records: Records, width: int) -> list[bytes]:
    if b"\r" in data:
        data = data.replace(b"\r\n", b"\n")
    lines = data.split(b"\n")
    if data.endswith(b"\n"):
        lines.pop()
    return [line for line in lines if line] if records.blank.any() else lines


def split(record: bytes, delimiter: bytes) -> list[bytes]:
    """The cells of one record, whose line end counts for nothing. Raises `NotCsv`."""
    record = record.removesuffix(b"\n").removesuffix(b"\r")
    if b'"' not in record and b"\r" not in record:
        return record.split(delimiter)
    pattern, cells, at = _cell(delimiter), list[bytes](), 0
    while True:
        found = pattern.match(record, at)
        if found is None:
            raise NotCsv("not valid CSV: a quote is never closed")
        quoted, plain = found.group(1), found.group(2)
        if quoted is not None and plain:
            raise NotCsv(f"not valid CSV: {delimiter.decode()!r} expected after '\"'")
        if b"\r" in plain:
            raise NotCsv("not valid CSV: a carriage return outside of quotes")
        cells.append(plain if quoted is None else quoted.replace(b'""', b'"'))
        at = found.end()
        if at == len(record):
            return cells
        at += 1
        if at == len(record):
            return [*cells, b""]


@functools.lru_cache(maxsize=8)
def _cell(delimiter: bytes) -> re.Pattern[bytes]:
    rest = rb"([^" + re.escape(delimiter) + rb"]*+)"
    return re.compile(rb'(?:"([^"]*+(?:""[^"]*+)*+)"|(?!"))' + rest)


def column(cells: Sequence[Sequence[bytes]], at: int) -> list[bytes]:
    """The cells of one column."""
    return [row[at] for row in cells]
