"""Parquet files: the pages are copied as they are, and the footer tells where they stand now.

Source: `parquet.thrift` of Apache Parquet. All that a footer says of places in its file is moved by as much as the
pages were.
"""

from __future__ import annotations

from collections.abc import Iterable
from io import BufferedReader
from pathlib import Path

from foretell.batch.joins.compact import BINARY, I16, I32, I64, LIST, STRUCT, Struct, Value, decoded, encoded
from foretell.batch.joins.written import Written

MAGIC = b"PAR1"
_TAIL = 8
_VERSION, _SCHEMA, _NUM_ROWS, _ROW_GROUPS = 1, 2, 3, 4
_NAME, _CHILDREN = 4, 5
_COLUMNS, _GROUP_OFFSET, _ORDINAL = 1, 5, 7
_CHUNK_PLACES = (2, 4, 6)
"""Of a column chunk: file_offset, offset_index_offset, column_index_offset."""
_META = 3
_META_PLACES = (9, 10, 11, 14)
"""Of its metadata: the pages of data, of an index, of a dictionary, and a Bloom filter."""


def join_parquet(parts: Iterable[Path], joined: Written) -> None:
    """Raises `ValueError` where the columns of the parts are not the same, or one is no Parquet file."""
    footer: Struct | None = None
    groups: list[Value] = []
    rows = 0
    joined.write(MAGIC)
    for part in parts:
        with part.open("rb") as file:
            more, size = _footer(file)
            _move(more, joined.size - len(MAGIC), len(groups))
            file.seek(len(MAGIC))
            joined.copy(file, size - len(MAGIC))
        footer = footer or more
        if footer.get(_SCHEMA) != more.get(_SCHEMA):
            raise ValueError("the columns are not those of the parts before")
        groups += more.structs(_ROW_GROUPS)
        rows += more.integer(_NUM_ROWS)
    footer = footer or _empty()
    footer.put(_ROW_GROUPS, LIST, (STRUCT, groups))
    footer.put(_NUM_ROWS, I64, rows)
    content = encoded(footer)
    joined.write(content + len(content).to_bytes(4, "little") + MAGIC)


def _footer(file: BufferedReader) -> tuple[Struct, int]:
    """The footer of a file, and how many bytes stand before it."""
    size = file.seek(0, 2)
    file.seek(max(0, size - _TAIL))
    tail = file.read(_TAIL)
    length = int.from_bytes(tail[:4], "little")
    if size < _TAIL + len(MAGIC) or tail[4:] != MAGIC or length > size - _TAIL - len(MAGIC):
        raise ValueError("it is no Parquet file")
    file.seek(size - _TAIL - length)
    return decoded(file.read(length)), size - _TAIL - length


def _move(footer: Struct, by: int, groups: int) -> None:
    """As the footer is where the pages stand `by` bytes further on, after so many groups of rows."""
    for number, group in enumerate(footer.structs(_ROW_GROUPS)):
        _shift(group, (_GROUP_OFFSET,), by)
        if _ORDINAL in group.fields:
            group.put(_ORDINAL, I16, groups + number)
        for chunk in group.structs(_COLUMNS):
            _shift(chunk, _CHUNK_PLACES, by)
            meta = chunk.get(_META)
            if not isinstance(meta, Struct):
                raise ValueError("a column has no metadata")
            _shift(meta, _META_PLACES, by)


def _shift(struct: Struct, places: Iterable[int], by: int) -> None:
    for place in places:
        if struct.get(place):  # 0 says that the place is not told
            struct.put(place, I64, struct.integer(place) + by)


def _empty() -> Struct:
    """Of a file without columns and rows."""
    root = Struct({_NAME: (BINARY, b"schema"), _CHILDREN: (I32, 0)})
    return Struct({_VERSION: (I32, 2), _SCHEMA: (LIST, (STRUCT, [root]))})
