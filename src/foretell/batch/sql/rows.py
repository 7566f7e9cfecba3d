"""What a query gives, from whichever database: the contract, and which drivers there are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from foretell.batch.sql.address import Database
from foretell.errors import Unavailable


class Dropped(Unavailable):
    """The connection was lost, or the database is busy: the same read may succeed a moment later."""


class StartOver(Exception):
    """This way cannot give these rows, and the next one may."""


@dataclass(frozen=True, slots=True)
class Rows:
    """`schema`: of Arrow, known before the first row. `batches`: consecutive rows; a later batch may have wider types
    where a database has types for cells and none for columns."""

    schema: Any
    batches: Iterator[Any]


def ways(database: Database) -> Sequence[str]:
    """How its queries can be read, the fastest way first."""
    return ("sqlite", "sqlite cells") if database.kind == "sqlite" else (database.kind,)


def open_rows(way: str, database: Database, query: str, keys: Sequence[str]) -> AbstractContextManager[Rows]:
    """All rows as they are at one moment; the database is only read. `keys`: columns that must be kept exactly.

    Raises `InvalidInput` for what is wrong with the query, `MissingExtra` without its driver, `Unavailable` where
    there is no answer, and `Dropped`, also in the middle; `StartOver` where another way is needed.
    """
    if way == "sqlite":
        from foretell.batch.sql.sqlite_rows import fast_rows

        return fast_rows(database, query)
    if way == "sqlite cells":
        from foretell.batch.sql.sqlite_cells import cell_rows

        return cell_rows(database, query)
    if way == "duckdb":
        from foretell.batch.sql.duckdb_rows import duckdb_rows

        return duckdb_rows(database, query)
    from foretell.batch.sql.postgresql_rows import postgresql_rows

    return postgresql_rows(database, query, keys)
