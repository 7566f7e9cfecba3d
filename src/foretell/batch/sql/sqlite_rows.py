"""Queries of SQLite, read through its ADBC driver by columns."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

from foretell.batch.sql.address import Database
from foretell.batch.sql.columns import converted, known_columns, no_reading
from foretell.batch.sql.rows import Dropped, Rows, StartOver
from foretell.errors import InferenceError, InvalidInput, Unavailable
from foretell.extras import needs

_LOOKED_AT = 16_384
"""Rows of which a column's type is made; where a later row does not fit it, each cell is looked at instead."""
_BUSY_S = 5.0
_READS = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE}
_BUSY = {"SQLITE_BUSY", "SQLITE_LOCKED"}


@contextlib.contextmanager
def fast_rows(database: Database, query: str) -> Iterator[Rows]:
    """Raises `StartOver` where the cells of a column are of several types."""
    with contextlib.closing(opened(database)) as connection:
        check_reads(connection, database, query)
    with needs("adbc-driver-sqlite", "sql", "reading from SQLite"):
        import adbc_driver_sqlite.dbapi as driver
    options = {"adbc.sqlite.query.batch_rows": str(_LOOKED_AT)}
    try:
        with driver.connect(_uri(database)) as connected, connected.cursor(adbc_stmt_kwargs=options) as cursor:
            cursor.execute(query)
            reader = cursor.fetch_record_batch()
            schema, converts = known_columns(reader.schema, (), database.shown)
            yield Rows(schema, (converted(batch, schema, converts) for batch in _batches(reader)))
    except driver.Error as error:
        raise told(error, database) from None


def _batches(reader: Any) -> Iterator[Any]:
    while True:
        try:
            batch = reader.read_next_batch()
            batch.validate(full=True)  # texts that are no UTF-8
        except StopIteration:
            return
        except (OSError, ValueError):
            raise StartOver from None
        yield batch


def opened(database: Database) -> sqlite3.Connection:
    """Only to read, and nothing else: neither another file nor a setting can be reached. Raises `InvalidInput`."""
    if not Path(database.path).is_file():
        raise InvalidInput("there is no such database", where=database.shown, expected="a file of SQLite",
                           fix="three slashes begin a path from here, four one from the root")  # fmt: skip
    try:
        connection = sqlite3.connect(_uri(database), uri=True, timeout=_BUSY_S, isolation_level=None)
    except sqlite3.Error as error:
        raise told(error, database) from None
    connection.set_authorizer(lambda action, *_: sqlite3.SQLITE_OK if action in _READS else sqlite3.SQLITE_DENY)
    return connection


def check_reads(connection: sqlite3.Connection, database: Database, query: str) -> None:
    """Raises `InvalidInput` unless it is one statement that only reads. It is not run."""
    try:
        steps = {step[1] for step in connection.execute(f"explain {query}")}
    except (sqlite3.Error, sqlite3.Warning) as error:
        raise told(error, database) from None
    if "ResultRow" not in steps or "Vacuum" in steps:
        raise no_reading(database.shown)


def told(error: Exception, database: Database) -> InferenceError:
    """What SQLite says, as an error of ours."""
    said, code = str(error).strip().partition("\n")[0], getattr(error, "sqlite_errorname", "")
    if code in _BUSY or "database is locked" in said:
        return Dropped("the database is locked by whoever writes to it", where=database.shown,
                       fix="run the same command again once that has ended")  # fmt: skip
    if "not authorized" in said or "readonly database" in said or "prohibited" in said:
        return no_reading(database.shown)
    if "one statement at a time" in said:
        return InvalidInput("the query is more than one statement", where=database.shown, expected="one")
    if "file is not a database" in said or code == "SQLITE_CORRUPT":
        return InvalidInput(f"the database cannot be read: {said}", where=database.shown)
    if "UTF-8" in said:
        return InvalidInput("a text is no UTF-8", where=database.shown, got=said.partition(" with text")[0],
                            fix="cast the column in the query: cast(... as blob)")  # fmt: skip
    if "unable to open" in said:
        return Unavailable("the database cannot be opened", where=database.shown,
                           fix="look at who may read the file and its folder")  # fmt: skip
    return InvalidInput(f"the query cannot be run: {said}", where=database.shown, fix="correct the query")


def _uri(database: Database) -> str:
    return f"file:{quote(database.path)}?mode=ro"
