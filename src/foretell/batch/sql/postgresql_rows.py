"""Queries of PostgreSQL, read through its ADBC driver, which has the server send them in binary."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Sequence
from typing import Any

from foretell.batch.sql.address import Database
from foretell.batch.sql.columns import converted, known_columns, no_reading
from foretell.batch.sql.rows import Dropped, Rows
from foretell.errors import InferenceError, InvalidInput, Unavailable
from foretell.extras import needs

_READ_ONLY = "set transaction isolation level repeatable read, read only"
_CREDENTIALS = "set PGPASSWORD, or write a ~/.pgpass"
_LOST = ("server closed the connection", "connection to server was lost", "terminating connection", "no connection",
         "could not receive data", "could not send data", "SSL connection has been closed", "SSL SYSCALL",
         "the database system is starting up")  # fmt: skip


@contextlib.contextmanager
def postgresql_rows(database: Database, query: str, keys: Sequence[str]) -> Iterator[Rows]:
    """Within a transaction that can only read."""
    driver = postgresql("reading from PostgreSQL")
    text = query.strip().rstrip(";").rstrip() + "\n"  # the driver writes on behind it, which a comment would swallow
    try:
        with driver.connect(database.address) as connection, connection.cursor() as cursor:
            cursor.execute(_READ_ONLY)
            if not cursor.adbc_execute_schema(text).names:
                raise no_reading(database.shown)
            cursor.execute(text)
            reader = cursor.fetch_record_batch()
            schema, converts = known_columns(reader.schema, keys, database.shown)
            yield Rows(schema, (converted(batch, schema, converts) for batch in _batches(reader, database)))
    except driver.Error as error:
        raise told(error, database) from None


def postgresql(purpose: str) -> Any:
    """The driver. Raises `MissingExtra`."""
    with needs("adbc-driver-postgresql", "sql", purpose):
        import adbc_driver_postgresql.dbapi as driver
    return driver


def _batches(reader: Any, database: Database) -> Iterator[Any]:
    while True:
        try:
            yield reader.read_next_batch()
        except StopIteration:
            return
        except (OSError, ValueError) as error:
            raise told(error, database) from None


def told(error: Exception, database: Database) -> InferenceError:
    """What server and driver say, as an error of ours. Only known parts of it go on: a text about an address may
    quote a password."""
    text = str(error)
    found = re.search(r"(?:ERROR|FATAL|PANIC):\s*([^\n]*)", text)
    said = re.sub(r"\s*(LINE \d+:.*|SQLSTATE.*)$", "", found[1]).strip() if found else ""
    if any(lost in text for lost in _LOST):
        return Dropped("the connection to the database was lost", where=database.shown, got=said,
                       fix="run the same command again")  # fmt: skip
    if "password authentication failed" in text or "no password supplied" in text or "fe_sendauth" in text:
        return Unavailable("the database refused the credentials", where=database.shown, got=said, fix=_CREDENTIALS)
    if "Failed to connect" in text or "could not connect" in text or "could not translate" in text:
        return Unavailable("the database cannot be reached", where=database.shown, got=said or _reason(text),
                           fix="look at the address, and whether the server runs")  # fmt: skip
    if "read-only transaction" in text:
        return no_reading(database.shown)
    if "multiple commands" in text:
        return InvalidInput("the query is more than one statement", where=database.shown, expected="one")
    if "permission denied" in text:
        return InvalidInput("the query may not be run", where=database.shown, got=said)
    return InvalidInput(f"the query cannot be run: {said or 'the driver says no more'}", where=database.shown,
                        fix="correct the query")  # fmt: skip


def _reason(text: str) -> str:
    known = ("Connection refused", "timeout expired", "Name or service not known", "No such file or directory",
             "Network is unreachable", "No route to host")  # fmt: skip
    return next((reason for reason in known if reason in text), "no answer")
