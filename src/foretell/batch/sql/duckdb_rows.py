"""Queries of DuckDB, over a database of its own or over files."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from foretell.batch.sql.address import Database
from foretell.batch.sql.columns import checked_names, converted, known_columns, no_reading
from foretell.batch.sql.rows import Dropped, Rows
from foretell.cores import usable_cores
from foretell.errors import InferenceError, InvalidInput, Unavailable
from foretell.extras import needs

_ROWS = 65_536
_MEMORY = "1GiB"
"""Of what a query holds; a sort of more goes to a folder of its own on the disk."""


@contextlib.contextmanager
def duckdb_rows(database: Database, query: str) -> Iterator[Rows]:
    """A file is opened to be read only, and so is nothing else: one statement, and one that reads."""
    driver = duckdb("reading from DuckDB")
    if database.path and not Path(database.path).is_file():
        raise InvalidInput("there is no such database", where=database.shown, expected="a file of DuckDB",
                           fix="three slashes begin a path from here, four one from the root")  # fmt: skip
    with settings() as config:
        try:
            path = database.path or ":memory:"
            with contextlib.closing(driver.connect(path, read_only=bool(database.path), config=config)) as connection:
                _check_reads(driver, connection, database, query)
                relation = connection.sql(query)
                checked_names(relation.columns, database.shown)
                reader = relation.to_arrow_reader(_ROWS)
                schema, converts = known_columns(reader.schema, (), database.shown)
                yield Rows(schema, (converted(batch, schema, converts) for batch in _batches(reader, database)))
        except driver.Error as error:
            raise told(error, database) from None


def _batches(reader: Any, database: Database) -> Iterator[Any]:
    """What fails in the middle of the rows is told by Arrow, as an error of its own."""
    while True:
        try:
            batch = reader.read_next_batch()
        except StopIteration:
            return
        except (OSError, ValueError) as error:
            raise told(error, database) from None
        yield batch


def duckdb(purpose: str) -> Any:
    """The driver. Raises `MissingExtra`."""
    with needs("duckdb", "sql", purpose):
        import duckdb as driver
    return driver


@contextlib.contextmanager
def settings() -> Iterator[dict[str, Any]]:
    """Bounded in memory; nothing is fetched from the network that is not there, and no variable of ours is a table."""
    folder = tempfile.mkdtemp(prefix="foretell-duckdb-")
    try:
        yield {"threads": usable_cores(), "memory_limit": _MEMORY, "temp_directory": folder,
               "autoinstall_known_extensions": False, "python_enable_replacements": False}  # fmt: skip
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _check_reads(driver: Any, connection: Any, database: Database, query: str) -> None:
    statements = connection.extract_statements(query)
    if len(statements) > 1:
        raise InvalidInput("the query is more than one statement", where=database.shown, expected="one")
    if not statements or statements[0].type != driver.StatementType.SELECT:
        raise no_reading(database.shown)


def told(error: Exception, database: Database) -> InferenceError:
    """What DuckDB says, as an error of ours."""
    said = " ".join(line.strip() for line in str(error).strip().splitlines()[:2] if line.strip())
    if "Could not set lock" in said:
        return Dropped("the database is locked by another process", where=database.shown,
                       fix="run the same command again once that has ended")  # fmt: skip
    if "not a valid DuckDB database" in said or "Cannot open" in said or "Cannot open database" in said:
        return Unavailable("the database cannot be opened", where=database.shown, got=said)
    return InvalidInput(f"the query cannot be run: {said}", where=database.shown, fix="correct the query")
