"""`foretell score -o DATABASE --table NAME`: all of it or nothing, once, whatever happens."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import program
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import scoring
import scoring_sql
from looking import until
from postgres import PASSWORD, QUOTED, Postgres

import foretell
from foretell.batch.ledger import Ledger
from foretell.errors import InferenceError, InvalidInput, InvalidSetting, Unavailable

Rows = list[tuple[Any, ...]]
KINDS = pytest.mark.parametrize("kind", ["sqlite", "duckdb", "postgresql"])


class Place:
    """A database to write to: its address, how it is asked, and what a call of `foretell.score` takes beside it."""

    def __init__(self, kind: str, folder: Path, request: pytest.FixtureRequest) -> None:
        self.kind, self.more = kind, dict[str, Any]()
        if kind == "postgresql":
            server: Postgres = request.getfixturevalue("postgres")
            self.address, self.do = server.url, server.do
            self.more = {"work": folder / "work"}
            self.state = folder / "work"
            return
        self.address = f"{kind}:///{folder / 'out.db'}"
        self.state = folder / "out.db.foretell"
        do: Callable[..., Rows] = scoring_sql.do_sqlite if kind == "sqlite" else scoring_sql.do_duckdb
        self.do = lambda *statements: do(folder / "out.db", *statements)

    @property
    def words(self) -> list[str]:
        """Of the command."""
        return ["-o", self.address, *(["--work", "work"] if self.more else [])]

    def score(self, data: Path, **more: Any) -> foretell.Report:
        """With a model in this process: where the answers come from is nothing to a table."""
        asked = {"key": "id", "table": "scores", **self.more, **more}
        if "model" not in asked:
            asked = {"mapping": {"x": ["a", "b"]}, "name": "Sum", "version": "1", **asked}
        return foretell.score(asked.pop("model", _sum), data, self.address, **asked)

    def found(self, table: str = "scores") -> dict[int, float]:
        """The answers, by id, each once."""
        rows = self.do(f"select id, output from {table}")
        made = dict(rows)
        assert len(made) == len(rows)
        return made

    def made(self) -> Rows:
        return self.do(
            "select table_name, job, rows, model, version, written_at from _foretell_jobs order by table_name"
        )


def _sum(x: np.ndarray) -> np.ndarray:
    return x.sum(axis=1)


@pytest.fixture
def place(kind: str, folder: Path, request: pytest.FixtureRequest) -> Place:
    return Place(kind, folder, request)


@KINDS
def test_the_rows_become_a_table_with_a_note_of_the_job(place: Place, folder: Path) -> None:
    data, source = scoring_sql.parquet(folder / "points.parquet"), f"{folder}/models.py:Sum"
    report = place.score(data, model=source)
    assert (report.rows, report.scored_now) == (400, 400)
    assert place.found() == scoring_sql.expected(scoring_sql.points())
    assert place.do("select id from scores")[:3] == [(0,), (1,), (2,)]
    ((table, job, rows, model, version, _),) = place.made()
    assert (table, rows, model, version) == ("scores", 400, "Sum", "1")
    assert list(place.state.glob(f"*/{job}/done.json")) and not list(place.state.glob("*/*/data/*"))
    assert place.score(data, model=source).scored_now == 0


@KINDS
def test_another_table_beside_it_is_another_job(place: Place, folder: Path) -> None:
    data = scoring_sql.parquet(folder / "points.parquet")
    place.score(data)
    place.score(data, table="more")
    assert place.found("more") == place.found() == scoring_sql.expected(scoring_sql.points())
    assert [row[0] for row in place.made()] == ["more", "scores"]
    assert place.score(data, table="more").scored_now == place.score(data).scored_now == 0


@KINDS
def test_a_table_of_others_is_never_replaced(place: Place, folder: Path) -> None:
    data = scoring_sql.parquet(folder / "points.parquet")
    place.do("create table scores(precious int)", "insert into scores values (1)")
    for fresh in (False, True):
        with pytest.raises(InvalidSetting, match="there is such a table already, and no job of foretell made it"):
            place.score(data, fresh=fresh)
    assert place.do("select * from scores") == [(1,)]


@KINDS
def test_the_table_of_another_job_is_replaced_when_asked(place: Place, folder: Path) -> None:
    data, other = (scoring_sql.parquet(folder / f"{n}.parquet", scoring_sql.points(n)) for n in (400, 30))
    place.score(data)
    with pytest.raises(InvalidInput, match=r"belongs to another job.*--fresh"):
        place.score(other)
    assert len(place.found()) == 400
    place.score(other, fresh=True)
    assert place.found() == scoring_sql.expected(scoring_sql.points(30))
    shutil.rmtree(place.state)
    with pytest.raises(InvalidSetting, match="another job has made this table"):
        place.score(data)
    place.score(data, fresh=True)
    assert len(place.found()) == 400 and len(place.made()) == 1


@KINDS
def test_a_table_of_the_same_columns_stays_with_what_belongs_to_it(place: Place, folder: Path) -> None:
    data, other = (scoring_sql.parquet(folder / f"{n}.parquet", scoring_sql.points(n)) for n in (400, 30))
    place.score(data)
    place.do("create view best as select id from scores where output > 20")
    place.score(other, fresh=True)
    assert len(place.do("select * from best")) == len([0 for _, a, b in scoring_sql.points(30) if a + b > 20])


@KINDS
def test_what_was_committed_before_a_crash_is_not_put_in_twice(
    place: Place, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the commit of the database and the record of the job."""
    data = scoring_sql.parquet(folder / "points.parquet")

    def crashes(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "finish", crashes)
        with pytest.raises(KeyboardInterrupt):
            place.score(data)
    place.do("update scores set output = -1 where id = 0", "update _foretell_jobs set written_at = 'before'")
    assert place.score(data).scored_now == 0
    assert place.found() == {**scoring_sql.expected(scoring_sql.points()), 0: -1.0}
    assert [row[-1] for row in place.made()] == ["before"]


@KINDS
def test_a_job_that_wrote_meanwhile_is_not_overwritten(
    place: Place, folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """From another folder, which has a lock of its own."""
    data = scoring_sql.parquet(folder / "points.parquet")
    other = scoring_sql.parquet(folder / "other.parquet", scoring_sql.points(30))
    begin = Ledger.begin

    def between(self: Ledger, job: Any) -> None:
        begin(self, job)
        monkeypatch.setattr(Ledger, "begin", begin)
        place.score(other, work=tmp_path / "elsewhere")

    monkeypatch.setattr(Ledger, "begin", between)
    with pytest.raises(InferenceError, match="another job has written the table meanwhile"):
        place.score(data)
    assert len(place.found()) == 30
    with pytest.raises(InferenceError, match="another job has written the table since this one began"):
        place.score(data)
    place.score(data, fresh=True)
    assert len(place.found()) == 400


@KINDS
def test_rows_without_an_answer_take_their_place_after_a_retry(place: Place, folder: Path) -> None:
    rows = scoring_sql.points(bad={5: -66.0})
    data = scoring_sql.parquet(folder / "points.parquet", rows)
    words = [*place.words, "--table", "scores"]
    done = scoring_sql.score(folder, data, *words, query=None, model="models.py:Outage", code=3)
    assert 5 not in place.found() and len(place.found()) == 399
    (folder / "mended").touch()
    done = program.run("retry", *place.words[1:], "--table", "scores", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert place.found() == scoring_sql.expected(rows)
    assert "nothing to do" in program.run("retry", *place.words[1:], "--table", "scores", cwd=folder).stdout
    said = done.stdout + done.stderr
    kept = scoring_sql.everything(folder)
    for secret in (PASSWORD, QUOTED):
        assert secret not in said and secret.encode() not in kept


@KINDS
@pytest.mark.parametrize("table", ['a "quoted" one, mit ümläut?', "x'; drop table t; --"])
def test_names_of_tables_and_columns_are_only_names(kind: str, table: str, place: Place, folder: Path) -> None:
    key = 'the "key"; ?'
    points = scoring_sql.points(30)
    pq.write_table(pa.table({key: [row for row, *_ in points], "a": [a for _, a, _ in points],
                             "b": [b for *_, b in points]}), folder / "points.parquet")  # fmt: skip
    place.score(folder / "points.parquet", table=table, key=key)
    quoted = table.replace('"', '""')
    assert dict(place.do(f'select "the ""key""; ?", output from "{quoted}"')) == scoring_sql.expected(points)
    assert place.score(folder / "points.parquet", table=table, key=key).scored_now == 0
    assert [row[0] for row in place.made()] == [table]


@pytest.mark.parametrize("kind", ["duckdb", "postgresql"])
def test_a_schema_may_be_named(place: Place, folder: Path) -> None:
    data = scoring_sql.parquet(folder / "points.parquet")
    with pytest.raises(Unavailable, match="there is no such schema"):
        place.score(data, table="out put.scores")
    place.do('create schema "out put"')
    place.score(data, table="out put.scores")
    assert place.found('"out put".scores') == scoring_sql.expected(scoring_sql.points())
    assert place.do('select table_name from "out put"._foretell_jobs') == [("scores",)]


@KINDS
def test_each_type_has_its_column(kind: str, place: Place, folder: Path) -> None:
    times = pa.array([0, 1_600_000_000_123_456], pa.timestamp("us", "UTC"))
    columns = {
        "i": pa.array([1, None], pa.int8()), "u": pa.array([1, 2], pa.uint32()), "t": ["x", None], "y": [b"\x00", b""],
        "s": [True, False], "moment": times, "d": pa.array([0, 1], pa.date32()),
        "n": pa.array([None, None], pa.string()),
    }  # fmt: skip
    pq.write_table(pa.table({**columns, "x": pa.array([1.5, 2.5], pa.float32())}), folder / "rows.parquet")

    def many(x: np.ndarray) -> dict[str, np.ndarray]:
        wide = np.stack([x, x / 3], axis=1).astype(np.float32)
        return {"probabilities": wide, "nested": wide.reshape(-1, 1, 2), "label": np.array(["ä"] * len(x)),
                "whole": np.arange(len(x))}  # fmt: skip

    place.score(
        folder / "rows.parquet", model=many, key=list(columns), mapping={"x": ["x"]}, stamp=True, max_quarantined=0
    )
    moment = {
        "sqlite": "moment",
        "duckdb": "epoch_us(moment)",
        "postgresql": "extract(epoch from moment)::float8 * 1e6",
    }
    names = [moment[kind] if name == "moment" else name for name in columns]
    names = [*names, "probabilities", "nested", "label", "whole", "model"]
    first, second = place.do(f"select {', '.join(names)} from scores order by u")
    wide = [1.5, float(np.float32(0.5))], [2.5, float(np.float32(2.5) / np.float32(3))]
    assert (first[0], first[1], first[2], bytes(first[3]), bool(first[4])) == (1, 1, "x", b"\x00", True)
    assert (second[0], second[2], second[7]) == (None, None, None)
    assert (first[10], first[11], second[11], first[12]) == ("ä", 0, 1, "many")
    if kind == "sqlite":
        assert [json.loads(row[8]) for row in (first, second)] == [[1.5, 0.5], [2.5, pytest.approx(2.5 / 3)]]
        assert second[8] == "[2.5,0.8333333]"
        assert (second[5], second[6]) == ("2020-09-13T12:26:40.123456Z", "1970-01-02")
        assert json.loads(first[9]) == [[1.5, 0.5]]
    else:
        assert [list(row[8]) for row in (first, second)] == [*wide]
        assert (second[5], str(second[6])) == (1_600_000_000_123_456, "1970-01-02")
        assert first[9] == ("[[1.5,0.5]]" if kind == "postgresql" else [[1.5, 0.5]])


@KINDS
def test_no_rows_are_no_table_and_a_note(place: Place, folder: Path) -> None:
    data = scoring_sql.parquet(folder / "points.parquet")
    place.score(data)
    none = folder / "none.parquet"
    pq.write_table(pq.read_table(data).slice(0, 0), none)
    place.score(none, fresh=True)
    assert [(row[0], row[2]) for row in place.made()] == [("scores", 0)]
    assert place.score(none).scored_now == 0


class TestKills:
    ROWS = 400_000

    def _data(self, folder: Path) -> Path:
        ids = np.arange(self.ROWS)
        pq.write_table(pa.table({"id": ids, "a": ids % 1000 * 1.0, "b": ids % 7 * 1.0}), folder / "many.parquet")
        return folder / "many.parquet"

    def _check(self, place: Place) -> None:
        expected = sum(i % 1000 + i % 7 for i in range(self.ROWS))
        counted = place.do("select count(*), count(distinct id), sum(cast(output as bigint)) from scores")
        assert [tuple(map(int, row)) for row in counted] == [(self.ROWS, self.ROWS, expected)]

    @pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
    @pytest.mark.parametrize("victim", ["job", "writer"])
    def test_a_publication_that_was_killed_is_seen_by_nobody(
        self, kind: str, victim: str, place: Place, folder: Path
    ) -> None:
        data = self._data(folder)
        small = scoring_sql.parquet(folder / "points.parquet")
        place.score(small)
        words = [*place.words, "--table", "scores", "--fresh"]
        with _held_before_its_end(place), scoring_sql.started(folder, data, *words, query=None) as job:
            until(lambda: _publishes(place, folder) or job.poll() is not None)
            children = psutil.Process(job.pid).children(recursive=True)
            (writer,) = [child for child in children if "foretell.batch.sql.child" in child.cmdline()]
            os.kill(job.pid if victim == "job" else writer.pid, signal.SIGKILL)
            job.communicate(timeout=60)
        _, alive = psutil.wait_procs(children, timeout=60)
        assert alive == []
        assert place.found() == scoring_sql.expected(scoring_sql.points())
        done = scoring_sql.score(folder, data, *words[:-1], query=None)
        assert "all 400,000 rows are there" in done.stdout, "they were scored before"
        self._check(place)


@contextlib.contextmanager
def _held_before_its_end(place: Place) -> Iterator[None]:
    """PostgreSQL is too quick to be met by chance: it waits for us between the rows and the end."""
    if place.kind == "sqlite":
        yield
        return
    import adbc_driver_postgresql.dbapi as driver

    place.do(
        "create function held() returns trigger language plpgsql as "
        "'begin perform pg_advisory_xact_lock(1); return new; end'",
        "create trigger held before insert on _foretell_jobs for each row execute function held()",
    )
    with driver.connect(place.address, autocommit=True) as connection, connection.cursor() as cursor:
        cursor.execute("select pg_advisory_lock(1)")
        yield


def _publishes(place: Place, folder: Path) -> bool:
    if place.kind == "sqlite":
        return (folder / "out.db-journal").exists() and (folder / "out.db-journal").stat().st_size > 0
    return place.do("select 1 from pg_locks where locktype = 'advisory' and not granted") != []


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"table": None}, "an output in a database needs a table"),
        ({"table": "a.b"}, "SQLite has no schemas"),
        ({"table": "a..b"}, "this is not the name of a table"),
        ({"table": ""}, "this is not the name of a table"),
        ({"table": "_Foretell_jobs"}, "this name is for other use"),
        ({"table": "x" * 64}, "the name of the table is too long"),
        ({"output_format": "csv"}, "--output-format would do nothing"),
        ({"out": "postgresql://app@host/db"}, "a job needs a folder.*--work FOLDER"),
        ({"out": "duckdb:"}, "a database in memory is gone with the job"),
        ({"out": "out.parquet"}, "--table would do nothing"),
        ({"out": "out", "table": None, "work": "w"}, "--work would do nothing"),
    ],
)
def test_what_cannot_be_is_said_at_once(folder: Path, more: dict[str, Any], said: str) -> None:
    given: dict[str, Any] = {"out": f"sqlite:///{folder / 'out.db'}", "table": "scores", **more}
    with pytest.raises(InvalidSetting, match=said):
        foretell.score(f"{folder}/models.py:Sum", folder / "points.parquet", given.pop("out"), **given)


def test_a_database_that_cannot_be_written_is_said_before_anything_is_scored(folder: Path) -> None:
    data = scoring_sql.parquet(folder / "points.parquet")
    for address, said in (
        (f"sqlite:///{folder / 'no/out.db'}", "may not be written to, or its folder is not there"),
        ("postgresql://app@127.0.0.1:1/db", "the database cannot be reached"),
    ):
        with pytest.raises(Unavailable, match=said):
            foretell.score(f"{folder}/models.py:Sum", data, address, table="scores", work=folder / "work", key="id")


def test_a_locked_table_is_named_and_the_job_goes_on_later(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = scoring_sql.parquet(folder / "points.parquet")
    address = scoring_sql.duckdb(folder / "out.duckdb")
    with duckdb.connect(str(folder / "out.duckdb")), pytest.raises(Unavailable, match="locked by another process"):
        foretell.score(f"{folder}/models.py:Sum", data, address, table="scores", key="id")
    assert foretell.score(f"{folder}/models.py:Sum", data, address, table="scores", key="id").rows == 400


def test_from_one_database_to_itself(folder: Path) -> None:
    address = scoring_sql.sqlite(folder / "app.db")
    scoring_sql.score(folder, address, "-o", address, "--table", "scores")
    with closing(sqlite3.connect(folder / "app.db")) as connection:
        found = dict(connection.execute("select id, output from scores").fetchall())
    assert found == scoring_sql.expected(scoring_sql.points())
    assert scoring.quarantine(folder) == []
