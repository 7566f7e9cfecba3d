"""A table of a database as the output of a job: one transaction makes it visible."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from foretell.batch.job import Commit
from foretell.batch.ledger import Ledger
from foretell.batch.output import Output
from foretell.batch.sql.address import parse
from foretell.batch.sql.helper import ask, here
from foretell.batch.sql.messages import Looked, LookUp, Publish
from foretell.batch.sql.names import folder_name, parse_table
from foretell.batch.sql.publishing import foreign
from foretell.batch.store import Held, LocalStore
from foretell.errors import InvalidSetting
from foretell.file_lock import Occupied

_REPLACES = "replaces.json"
"""Of a job: which job's table it was to replace when it began."""


class SqlOutput(Output):
    """The parts of a job are Parquet files beside the database, or in a folder that is named; then they become a table.

    A row in `_foretell_jobs`, in the same transaction, tells which job made it.
    """

    store: LocalStore
    format = "parquet"
    is_file = True

    def __init__(self, address: str, table: str | None, work: str | Path | None, fmt: str | None) -> None:
        """`work`: a folder for the state of its jobs. Raises `InvalidSetting`."""
        self._database = database = parse(address)
        if table is None:
            raise InvalidSetting("an output in a database needs a table", where=database.shown, fix="add --table NAME")
        if fmt is not None:
            raise InvalidSetting("--output-format would do nothing: the output is a table", fix="leave it out")
        if not database.path and database.kind == "duckdb":
            raise InvalidSetting("a database in memory is gone with the job", where=database.shown,
                                 expected="duckdb:///FILE")  # fmt: skip
        self._name = parse_table(table, database)
        if work is None and not database.path:
            what = "the state of a job needs a folder, which a server has not"
            raise InvalidSetting(what, where=database.shown, fix="add --work FOLDER, and name the same one each time")
        beside = Path(work) if work is not None else Path(database.path + ".foretell")
        self.store = LocalStore(beside.absolute() / folder_name(self._name, database))
        self._address = address
        self._seen: Looked | None = None

    def __str__(self) -> str:
        return f"{self._database.shown}, table {self._name}"

    @property
    def target(self) -> str:
        return str(self)

    def check_free(self, *, fresh: bool) -> None:
        """Raises `InvalidSetting` for a table that no job has made, also with `fresh`: that is no output to replace."""
        self._seen = seen = self._look()
        if seen.is_there and seen.job is None:
            raise foreign(self._database, self._name)
        if seen.job is not None and not fresh and not self.store.names(""):
            what = "another job has made this table"
            raise InvalidSetting(what, where=str(self), fix="name another table, or give --fresh to replace it")

    def begin(self, name: str, *, fresh: bool) -> None:
        seen = self._seen or self._look()
        if not fresh and seen.job not in (None, name, self._replaced(name)):
            what = "another job has written the table since this one began"
            raise Occupied(what, where=str(self), fix="leave it to that one, or give --fresh to replace it")
        super().begin(name, fresh=fresh)
        self.store.put_new(f"{name}/{_REPLACES}", msgspec.json.encode(seen.job))

    def publish(
        self, ledger: Ledger, parts: Sequence[Commit], manifest: Mapping[str, Any], held: Held, file_size: int
    ) -> None:
        held.check()
        content = hashlib.sha256(repr([each.sha256 for each in parts]).encode()).hexdigest()
        files = [str(self.store.root / ledger.data / str(each.part)) for each in parts]
        replaced, model = self._replaced(ledger.name), manifest["model"]
        task = Publish(here(), self._address, self._table, files, [replaced] if replaced else [], ledger.name,
                       sum(each.rows for each in parts), model["name"], model["version"], model["artefact_digest"],
                       content)  # fmt: skip
        ask(task, _nobody)

    def published(self, name: str) -> bool:
        if self._seen is None or self._seen.job != name:
            self._seen = self._look()
        return self._seen.job == name

    def _is_taken(self) -> bool:
        return self._look().is_there

    @property
    def _table(self) -> tuple[str, str]:
        return self._name.schema, self._name.table

    def _replaced(self, name: str) -> str | None:
        content = self.store.read(f"{name}/{_REPLACES}")
        return None if content is None else msgspec.json.decode(content, type=str | None)

    def _look(self) -> Looked:
        found = ask(LookUp(here(), self._address, self._table), _nobody)
        if not isinstance(found, Looked):
            raise TypeError(type(found).__name__)
        return found


def _nobody(rows: int) -> None:
    """Nobody is told how far it is."""
