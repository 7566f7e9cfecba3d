"""Queries of SQLite whose columns hold cells of several types: it has types for cells, and none for columns."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator, Sequence
from typing import Any

from foretell.batch.sql.address import Database
from foretell.batch.sql.columns import checked_names
from foretell.batch.sql.rows import Rows
from foretell.batch.sql.sqlite_rows import check_reads, opened, told
from foretell.errors import InvalidInput

_ROWS = 8192
_WIDTH = (type(None), int, float, str)
"""Types of cells, each of which can say what those before it can; bytes go with nothing but null."""


@contextlib.contextmanager
def cell_rows(database: Database, query: str) -> Iterator[Rows]:
    """Whole numbers beside others become float64, and numbers beside texts become text, from the row on where that is
    first seen; who reads the rows reads those before it so, too."""
    with contextlib.closing(opened(database)) as connection:
        check_reads(connection, database, query)
        try:
            cursor = connection.execute(query)
            names = [column[0] for column in cursor.description or ()]
            checked_names(names, database.shown)
            columns = _Columns(names, database.shown)
            yield Rows(columns.schema, _batches(cursor, columns))
        except sqlite3.Error as error:
            raise told(error, database) from None


def _batches(cursor: sqlite3.Cursor, columns: _Columns) -> Iterator[Any]:
    while True:
        rows = cursor.fetchmany(_ROWS)
        if not rows:
            return
        yield columns.batch(rows)


class _Columns:
    """What the cells of each column have been so far."""

    def __init__(self, names: Sequence[str], where: str) -> None:
        self._names, self._where = names, where
        self._kinds: list[type] = [type(None)] * len(names)
        self.rows = 0

    @property
    def schema(self) -> Any:
        import pyarrow as pa

        known = {type(None): pa.null(), int: pa.int64(), float: pa.float64(), str: pa.string(), bytes: pa.binary()}
        return pa.schema([(name, known[kind]) for name, kind in zip(self._names, self._kinds, strict=True)])

    def batch(self, rows: Sequence[tuple[Any, ...]]) -> Any:
        import pyarrow as pa

        columns = list(zip(*rows, strict=True))
        self._kinds = [self._wider(at, set(map(type, cells))) for at, cells in enumerate(columns)]
        schema = self.schema
        made = [pa.array(_as(kind, cells), field.type)
                for kind, cells, field in zip(self._kinds, columns, schema, strict=True)]  # fmt: skip
        self.rows += len(rows)
        return pa.record_batch(made, schema=schema)

    def _wider(self, at: int, kinds: set[type]) -> type:
        kinds = {*kinds, self._kinds[at]}
        if bytes in kinds:
            if kinds - {bytes, type(None)}:
                what = f"column {self._names[at]!r} holds bytes beside numbers or texts, near row {self.rows}"
                raise InvalidInput(what, where=self._where, fix="cast it in the query, such as cast(... as text)")
            return bytes
        return max(kinds, key=_WIDTH.index)


def _as(kind: type, cells: Sequence[Any]) -> Sequence[Any]:
    """Cells as ones of a wider type."""
    if kind is str:
        return [None if cell is None else str(cell) for cell in cells]
    if kind is float:
        return [None if cell is None else float(cell) for cell in cells]
    return cells
