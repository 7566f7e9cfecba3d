"""What is done with a table, and that a publication that breaks off in the middle leaves what was there."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import scoring_sql
from postgres import Postgres

from foretell.batch.sql import sqlite_rows
from foretell.batch.sql.address import parse
from foretell.batch.sql.helper import ask, here
from foretell.batch.sql.messages import Publish, ReadQuery
from foretell.batch.sql.names import TableName, folder_name, parse_table
from foretell.batch.sql.publishing import publish
from foretell.batch.sql.spooling import spool
from foretell.batch.sql.tables import Made, State, step
from foretell.clock import ManualClock
from foretell.errors import InferenceError, InvalidSetting, Unavailable

_NOW = Made("t", "now", 9, "m", "1", "d", "new", "x", "")


@pytest.mark.parametrize(
    ("state", "allowed", "expected"),
    [
        (State(False, None), [], "create"),
        (State(True, None), [], "foreign"),
        (State(True, None), ["now"], "foreign"),
        (State(True, _NOW), [], "nothing"),
        (State(False, _NOW), [], "create"),
        (State(False, replace(_NOW, rows=0)), [], "nothing"),
        (State(True, replace(_NOW, content="old")), [], "fill"),
        (State(True, replace(_NOW, content="old", columns="y")), [], "create"),
        (State(True, replace(_NOW, job="other")), [], "occupied"),
        (State(False, replace(_NOW, job="other")), [], "occupied"),
        (State(True, replace(_NOW, job="other")), ["other"], "fill"),
        (State(False, replace(_NOW, job="other")), ["other"], "create"),
    ],
)
def test_what_is_done_with_a_table(state: State, allowed: list[str], expected: str) -> None:
    assert step(state, _NOW, allowed) == expected


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("scores", TableName("", "scores")),
        ("ml.scores", TableName("ml", "scores")),
        ('"a.b".c', TableName("a.b", "c")),
        ('a."b ""c"""', TableName("a", 'b "c"')),
        ('it"s', TableName("", 'it"s')),
        ("mit Abstand", TableName("", "mit Abstand")),
    ],
)
def test_names_of_tables(text: str, name: TableName) -> None:
    assert parse_table(text, parse("duckdb:///x.db")) == name


@pytest.mark.parametrize("text", ["", ".", "a.", ".a", "a.b.c", '"a', '"a"b', "a\0b", "ä" * 32])
def test_what_is_no_name_of_a_table(text: str) -> None:
    with pytest.raises(InvalidSetting):
        parse_table(text, parse("duckdb:///x.db"))


def test_each_table_has_a_folder_of_its_own() -> None:
    file, server = parse("sqlite:///x.db"), parse("postgresql://app:secret@host/db")
    names = ["a", "a b", "a-b", "a/b", "../b", "ä", "ö", "a" * 60, "a" * 61]
    folders = {folder_name(TableName("", name), file) for name in names}
    assert len(folders) == len(names) and not any("/" in each or each.startswith(".") for each in folders)
    assert folder_name(TableName("", "A"), file) == folder_name(TableName("", "a"), file)
    assert folder_name(TableName("", "A"), server) != folder_name(TableName("", "a"), server)
    others = ["postgresql://host/db", "postgresql://other:x@host/db?sslmode=require"]
    assert {folder_name(TableName("", "a"), parse(each)) for each in others} == {
        folder_name(TableName("", "a"), server)
    }


@pytest.mark.parametrize("same", [True, False], ids=["the same columns", "other columns"])
@pytest.mark.parametrize("kind", ["sqlite", "duckdb", "postgresql"])
def test_a_publication_that_breaks_off_leaves_what_was_there(
    kind: str, same: bool, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    do: Callable[..., list[tuple[Any, ...]]]
    if kind == "postgresql":
        server: Postgres = request.getfixturevalue("postgres")
        address, do = server.url, server.do
    else:
        address, ask = f"{kind}:///{tmp_path / 'out.db'}", getattr(scoring_sql, f"do_{kind}")
        do = partial(ask, tmp_path / "out.db")
    parts = [_part(tmp_path / f"{name}.parquet", "id" if same or name == "old" else "other") for name in ("old", "new")]
    _publish(address, "old", [parts[0]])
    damaged = bytearray(parts[1].read_bytes())
    damaged[4:600] = b"\xff" * 596
    (tmp_path / "damaged.parquet").write_bytes(damaged)
    before = do("select * from scores"), do("select * from _foretell_jobs")
    assert len(before[0]) == 5000
    with pytest.raises(InferenceError):
        _publish(address, "new", [parts[1], tmp_path / "damaged.parquet"], allowed=["old"])
    assert (do("select * from scores"), do("select * from _foretell_jobs")) == before
    _publish(address, "new", parts[1:], allowed=["old"])
    assert do("select job from _foretell_jobs") == [("new",)]


def _part(path: Path, key: str) -> Path:
    pq.write_table(pa.table({key: pa.array(range(5000)), "output": pa.array([0.5] * 5000)}), path, use_dictionary=False)
    return path


def _publish(address: str, job: str, files: list[Path], allowed: list[str] | None = None) -> None:
    publish(Publish(here(), address, ("", "scores"), [str(file) for file in files], allowed or [], job, 5000, "m", "1",
                    "digest", job))  # fmt: skip


def test_a_database_of_sqlite_that_is_locked_is_tried_again_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_rows, "_BUSY_S", 0.01)
    address, clock = scoring_sql.sqlite(tmp_path / "app.db"), ManualClock()
    task = ReadQuery(here(), address, scoring_sql.ALL, str(tmp_path / "state"), "input", [])
    with closing(sqlite3.connect(tmp_path / "app.db", isolation_level=None)) as other:
        other.execute("begin exclusive")
        with pytest.raises(Unavailable, match="the database is locked by whoever writes to it"):
            spool(task, lambda reply: None, clock)
    assert clock.slept == [0.5, 1.0, 2.0]
    spool(task, lambda reply: None, clock)


def test_times_in_nanoseconds_in_lists_keep_all_their_digits(tmp_path: Path, postgres: Postgres) -> None:
    """Which need pandas: the driver's process does without it for everything else."""
    moments = pa.array([[[1_600_000_000_123_456_789]]], pa.list_(pa.list_(pa.timestamp("ns"))))
    pq.write_table(pa.table({"id": [1], "moments": moments}), tmp_path / "part.parquet")
    asked = Publish(here(), postgres.url, ("", "moments"), [str(tmp_path / "part.parquet")], [], "job", 1, "m", "1",
                    "d", "c")  # fmt: skip
    ask(asked, lambda rows: None)
    assert postgres.do("select moments::text from moments") == [('[["2020-09-13 12:26:40.123456789"]]',)]
