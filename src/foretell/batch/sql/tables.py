"""A table that a job makes: all of it in one transaction, with a row that tells which job did. The contract."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import astuple, dataclass, fields
from typing import Any, Literal

from foretell.batch.sql.address import Database
from foretell.batch.sql.names import TableName, quoted

Columns = Sequence[tuple[str, str]]
"""Names, and types in the words of the database."""
Step = Literal["nothing", "fill", "create", "foreign", "occupied"]


@dataclass(frozen=True, slots=True)
class Made:
    """The row of `_foretell_jobs` about one table. `content`: a digest of its rows; `columns`: as they were made."""

    table_name: str
    job: str
    rows: int
    model: str
    version: str
    digest: str
    content: str
    columns: str
    written_at: str


@dataclass(frozen=True, slots=True)
class State:
    """`is_there`: whether something has the name of the table. `made`: by which job, where one of ours made it."""

    is_there: bool
    made: Made | None


def step(state: State, now: Made, allowed: Sequence[str]) -> Step:
    """What is to be done, so that the rows of `now` stand in the table once. `allowed`: jobs whose table may go."""
    made = state.made
    if state.is_there and made is None:
        return "foreign"
    if made is not None and made.job not in {now.job, *allowed}:
        return "occupied"
    if made is not None and (made.job, made.content) == (now.job, now.content) and (state.is_there or not made.rows):
        return "nothing"
    # Where the columns are the same the table stays: with it stay its indexes, and who may read it.
    same = made is not None and state.is_there and made.columns == now.columns
    return "fill" if same else "create"


class Tables(ABC):
    """One table within one transaction, which ends with the context that gave it: well, or as if nothing was."""

    def __init__(self, name: TableName) -> None:
        self.name = name

    @abstractmethod
    def execute(self, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Runs a statement with a `mark` for each of `values`."""

    def mark(self, number: int) -> str:
        """Where the value of this number stands in a statement, from 1."""
        return "?"

    @abstractmethod
    def is_there(self, quoted_name: str) -> bool:
        """Whether a table, a view or something like it has this name."""

    @abstractmethod
    def columns(self, schema: Any) -> Columns:
        """What an Arrow schema becomes. Raises `InvalidInput` for what the database cannot hold."""

    @abstractmethod
    def insert(self, files: Sequence[str], columns: Columns) -> None:
        """Adds all rows of Parquet files, in order."""

    def missing(self) -> str:
        """What stands in the way of the table, for people; "" for nothing."""
        return ""

    def alone(self) -> None:  # noqa: B027 (optional hook)
        """From now on nobody else changes the table that tells of jobs."""

    def state(self) -> State:
        there = self.is_there(self.name.quoted)
        if not self.is_there(self.name.jobs):
            return State(there, None)
        names = ", ".join(quoted(field.name) for field in fields(Made))
        found = self.execute(f"select {names} from {self.name.jobs} where table_name = {self.mark(1)}",
                             [self.name.table])  # fmt: skip
        return State(there, Made(*found[0]) if found else None)

    def begin(self) -> None:
        """Makes the table that tells of jobs, where there is none."""
        kinds = {"rows": "bigint", "table_name": "text primary key"}
        text = ", ".join(f"{quoted(field.name)} {kinds.get(field.name, 'text')}" for field in fields(Made))
        self.execute(f"create table if not exists {self.name.jobs} ({text})")
        self.alone()

    def replace(self, how: Step, files: Sequence[str], columns: Columns, now: Made, *, there: bool) -> None:
        """Puts the rows into the table, in the place of those that are there. A table without columns is none."""
        if how == "fill":
            self.execute(f"delete from {self.name.quoted}")
        else:
            if there:
                self.execute(f"drop table {self.name.quoted}")
            if columns:
                types = ", ".join(f"{quoted(name)} {kind}" for name, kind in columns)
                self.execute(f"create table {self.name.quoted} ({types})")
        if files:
            self.insert(files, columns)
        self.execute(f"delete from {self.name.jobs} where table_name = {self.mark(1)}", [now.table_name])
        marks = ", ".join(self.mark(number) for number in range(1, len(fields(Made)) + 1))
        self.execute(f"insert into {self.name.jobs} values ({marks})", astuple(now))


def opened(database: Database, name: TableName, *, writes: bool) -> AbstractContextManager[Tables | None]:
    """None where there is no such file, and it is only looked at. Raises `Unavailable`, `MissingExtra`."""
    if database.kind == "sqlite":
        from foretell.batch.sql.sqlite_table import sqlite_table

        return sqlite_table(database, name, writes=writes)
    if database.kind == "duckdb":
        from foretell.batch.sql.duckdb_table import duckdb_table

        return duckdb_table(database, name, writes=writes)
    from foretell.batch.sql.postgresql_table import postgresql_table

    return postgresql_table(database, name)
