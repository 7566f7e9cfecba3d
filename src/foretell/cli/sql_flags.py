"""Flags of `foretell score` and `foretell retry` for databases."""

from __future__ import annotations

from dataclasses import dataclass

from foretell.cli.flag import Flags


@Flags("Databases")
@dataclass(frozen=True, kw_only=True)
class TableFlags:
    table: str | None = None
    """Where the output is the address of a database: the table that the rows become, TABLE or SCHEMA.TABLE."""
    work: str | None = None
    """A folder for the state of jobs whose output is a table; beside the file of the database if not set."""


@Flags("Databases")
@dataclass(frozen=True, kw_only=True)
class SqlFlags(TableFlags):
    query: str | None = None
    """The rows of a database: DATA is then its address, such as sqlite:///app.db, duckdb:///file.duckdb, duckdb: (for
    queries over files) or postgresql://user@host/database."""
