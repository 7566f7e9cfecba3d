"""Putting the parts of a job into a table: all of them, once."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from foretell.batch.sql.address import Database, parse
from foretell.batch.sql.messages import Looked, LookUp, Publish
from foretell.batch.sql.names import TableName
from foretell.batch.sql.tables import Columns, Made, Tables, opened, step
from foretell.errors import InferenceError, InvalidSetting, Unavailable


def look_up(task: LookUp) -> Looked:
    """What stands there now."""
    database, name = parse(task.address, task.place.folder), TableName(*task.table)
    where = f"{database.shown}, table {name}"
    if database.path:
        path = Path(database.path)
        if not os.access(path if path.exists() else path.parent, os.W_OK):
            raise Unavailable("the database may not be written to, or its folder is not there", where=where)
    with opened(database, name, writes=False) as tables:
        if tables is None and name.schema.lower() in ("", "main"):
            return Looked(False, None)
        missing = tables.missing() if tables is not None else "there is no such schema"
        if tables is None or missing:
            raise Unavailable(missing, where=where, fix="create it, or name another")
        state = tables.state()
        return Looked(state.is_there, state.made.job if state.made is not None else None)


def publish(task: Publish) -> None:
    """In one transaction, so that whoever reads sees the table before or the table after. Where an earlier try got
    through, and only the news of it was lost, nothing is done.

    Raises `InvalidSetting` where the table is not ours, `Unavailable` where another job has written it meanwhile.
    """
    database, name = parse(task.address, task.place.folder), TableName(*task.table)
    with opened(database, name, writes=True) as tables:
        if tables is None:
            raise RuntimeError("what is written to is made")
        tables.begin()
        columns = tables.columns(schema_of(task)) if task.files else ()
        now = _made(task, name, columns)
        state = tables.state()
        how = step(state, now, task.allowed)
        if how == "foreign":
            raise foreign(database, name)
        if how == "occupied":
            what = "another job has written the table meanwhile"
            raise Unavailable(what, where=f"{database.shown}, table {name}", fix="leave it to that one, or run --fresh")
        if how != "nothing":
            _replace(tables, how, task, columns, now, there=state.is_there)


def foreign(database: Database, name: TableName) -> InferenceError:
    """For a table that is there, and that no job has made."""
    what = "there is such a table already, and no job of foretell made it"
    return InvalidSetting(what, where=f"{database.shown}, table {name}", fix="name another table, or drop that one")


def _replace(tables: Tables, how: str, task: Publish, columns: Columns, now: Made, *, there: bool) -> None:
    tables.replace("fill" if how == "fill" else "create", task.files, columns, now, there=there)


def _made(task: Publish, name: TableName, columns: Columns) -> Made:
    written = datetime.now(UTC).isoformat(timespec="seconds")
    return Made(name.table, task.job, task.rows, task.model, task.version, task.digest, task.content,
                json.dumps([list(column) for column in columns]), written)  # fmt: skip


def schema_of(task: Publish) -> Any:
    """Of the Arrow columns of its parts, which all have the same; empty where there are none."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not task.files:
        return pa.schema([])
    with pq.ParquetFile(task.files[0]) as opened_file:
        return opened_file.schema_arrow
