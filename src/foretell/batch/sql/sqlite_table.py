"""A table of SQLite."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from foretell.batch.sql.address import Database
from foretell.batch.sql.names import TableName, quoted
from foretell.batch.sql.tables import Columns, Tables
from foretell.errors import InferenceError, InvalidInput, Unavailable

_BUSY_S = 30.0


@contextlib.contextmanager
def sqlite_table(database: Database, name: TableName, *, writes: bool) -> Iterator[Tables | None]:
    path = Path(database.path)
    if not writes and not path.exists():
        yield None
        return
    try:
        address = f"file:{quote(database.path)}?mode={'rwc' if writes else 'ro'}"
        with contextlib.closing(
            sqlite3.connect(address, uri=True, timeout=_BUSY_S, isolation_level=None)
        ) as connection:
            connection.execute("begin immediate" if writes else "begin")
            try:
                yield _SQLiteTables(connection, name)
                connection.execute("commit")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("rollback")
                raise
    except sqlite3.Error as error:
        raise _told(error, database, name) from None


class _SQLiteTables(Tables):
    def __init__(self, connection: sqlite3.Connection, name: TableName) -> None:
        super().__init__(name)
        self._connection = connection

    def execute(self, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        return self._connection.execute(statement, list(values)).fetchall()

    def is_there(self, quoted_name: str) -> bool:
        name = quoted_name[1:-1].replace('""', '"')
        return bool(self.execute("select 1 from sqlite_master where name = ? collate nocase", [name]))

    def columns(self, schema: Any) -> Columns:
        return [(field.name, _kind(field.type)) for field in schema]

    def insert(self, files: Sequence[str], columns: Columns) -> None:
        from foretell.batch.sql.cells import batches, python_cells

        names = ", ".join(quoted(name) for name, _ in columns)
        statement = f"insert into {self.name.quoted} ({names}) values ({', '.join('?' * len(columns))})"
        for batch in batches(files):
            cells = [python_cells(array) for array in batch.columns]
            try:
                self._connection.executemany(statement, zip(*cells, strict=True))
            except OverflowError:
                what = "a whole number does not fit SQLite's, which end at 9223372036854775807"
                raise InvalidInput(what, where=f"table {self.name}", fix="write Parquet instead") from None


def _kind(kind: Any) -> str:
    import pyarrow as pa

    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if pa.types.is_integer(kind) or pa.types.is_boolean(kind):
        return "integer"
    if pa.types.is_floating(kind):
        return "real"
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind):
        return "blob"
    return "" if pa.types.is_null(kind) else "text"


def _told(error: sqlite3.Error, database: Database, name: TableName) -> InferenceError:
    said, where = str(error).strip().partition("\n")[0], f"{database.shown}, table {name}"
    code = getattr(error, "sqlite_errorname", "")
    if "locked" in said or code.startswith("SQLITE_BUSY"):
        return Unavailable("the database is locked by whoever writes to it", where=where,
                           fix="run the same command again: it goes on where it stopped")  # fmt: skip
    return Unavailable(f"the table cannot be written: {said}", where=where)
