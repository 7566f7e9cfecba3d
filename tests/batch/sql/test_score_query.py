"""`foretell score` over the rows of a query: read once, and from then on a job like any other."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import duckdb
import numpy as np
import program
import psutil
import pyarrow as pa
import pytest
import scoring
import scoring_sql
from buckets import use
from looking import until
from postgres import PASSWORD, QUOTED, Postgres
from s3_server import S3Server

import foretell
from foretell.errors import InvalidInput, InvalidSetting


def _address(kind: str, folder: Path, request: pytest.FixtureRequest) -> str:
    if kind == "sqlite":
        return scoring_sql.sqlite(folder / "app.db")
    if kind == "duckdb":
        return scoring_sql.duckdb(folder / "app.duckdb")
    server: Postgres = request.getfixturevalue("postgres")
    values = ", ".join(map(str, scoring_sql.points()))
    server.do("create table points(id bigint, a float8, b float8)", f"insert into points values {values}")
    return server.url


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the answers of the same rows in a file, in `out` and `out.csv`."""
    folder = scoring.fill(tmp_path_factory.mktemp("plain"))
    data = scoring_sql.parquet(folder / "points.parquet")
    for out in ("out", "out.csv"):
        scoring_sql.score(folder, data, "-o", out, query=None)
    return folder


@pytest.mark.parametrize("out", ["out", "out.csv"])
@pytest.mark.parametrize("kind", ["sqlite", "duckdb", "postgresql"])
def test_the_rows_of_a_query_have_the_answers_of_the_same_rows_in_a_file(
    kind: str, out: str, folder: Path, plain: Path, request: pytest.FixtureRequest
) -> None:
    address = _address(kind, folder, request)
    scoring_sql.score(folder, address, "-o", out)
    if out == "out":
        assert scoring.parts(folder) == scoring.parts(plain)
        assert scoring.answers(scoring.table(folder)) == scoring_sql.expected(scoring_sql.points())
    else:
        assert (folder / out).read_bytes() == (plain / out).read_bytes()
    state = folder / ("out/_foretell" if out == "out" else f"{out}.foretell")
    assert not list(state.glob("*/input")), "what was read goes once nobody needs it"


def test_keys_of_a_query_that_stand_twice_are_told(folder: Path) -> None:
    address = scoring_sql.sqlite(folder / "app.db", [*scoring_sql.points(), *scoring_sql.points(2)])
    done = scoring_sql.score(folder, address, query="select id, a, b from points")
    assert "2 keys stand more than once, in 4 rows" in done.stdout
    lines = [json.loads(line) for line in (folder / "out/_foretell/duplicates.jsonl").read_text().splitlines()]
    assert [(line["key"]["id"], line["row"]) for line in lines] == [(0, 0), (0, 400), (1, 1), (1, 401)]


def test_a_query_is_read_once_and_again_when_asked(folder: Path) -> None:
    address = scoring_sql.sqlite(folder / "app.db")
    scoring_sql.score(folder, address)
    scoring_sql.fill_sqlite(folder / "app.db", scoring_sql.points(500))
    again = scoring_sql.score(folder, address)
    assert "nothing to do, all 400 rows are there" in again.stdout
    report = json.loads((folder / "out/_foretell/report.json").read_text())
    assert f"the query was read at {report['read_at']}; --fresh reads it again" in again.stdout
    assert "500 rows" in scoring_sql.score(folder, address, "--fresh").stdout


@pytest.mark.parametrize("what", ["query", "database"])
def test_another_query_is_another_job(folder: Path, what: str) -> None:
    address = scoring_sql.sqlite(folder / "app.db")
    scoring_sql.score(folder, address)
    if what == "query":
        done = scoring_sql.score(folder, address, query="select * from points where id < 9", code=1)
    else:
        done = scoring_sql.score(folder, scoring_sql.sqlite(folder / "other.db"), code=1)
    assert f"the {what} is another one; run with --fresh" in done.stderr


def test_a_job_that_was_killed_goes_on_with_the_rows_it_has_read(folder: Path) -> None:
    rows = [(row, float(row), 0.5) for row in range(20_000)]
    address = scoring_sql.sqlite(folder / "app.db", rows)
    with scoring_sql.started(folder, address, "--processes", "1", model="models.py:Gated") as job:
        until(lambda: list(folder.glob("out/_foretell/*/shards/000000.json")) or job.poll() is not None)
        os.kill(job.pid, signal.SIGKILL)
        job.wait()
    (folder / "app.db").unlink()
    (folder / "go").touch()
    done = scoring_sql.score(folder, address, model="models.py:Gated")
    assert "20,000 rows, " in done.stdout and "of them now" in done.stdout
    assert scoring.answers(scoring.table(folder)) == scoring_sql.expected(rows)


LONG = """with recursive n(i) as (select 0 union all select i + 1 from n where i < 699999)
select i as id, i % 1000 * 1.0 as a, 0.5 as b from n"""


def spools(folder: Path) -> list[str]:
    """What is being written of what a query gives; its folder may come and go meanwhile."""
    try:
        return [name for name in os.listdir(folder / "out" / "_foretell" / "tmp") if name.endswith("spool.parquet")]
    except FileNotFoundError:
        return []


@pytest.mark.parametrize("victim", ["job", "reader"])
def test_a_read_that_was_killed_begins_again(folder: Path, victim: str) -> None:
    address = scoring_sql.sqlite(folder / "app.db")
    with scoring_sql.started(folder, address, query=LONG) as job:
        until(lambda: spools(folder) or job.poll() is not None)
        children = psutil.Process(job.pid).children(recursive=True)
        (reader,) = [child for child in children if "foretell.batch.sql.child" in child.cmdline()]
        os.kill(job.pid if victim == "job" else reader.pid, signal.SIGKILL)
        _, said = job.communicate(timeout=60)
    _, alive = psutil.wait_procs(children, timeout=60)
    assert alive == []
    assert not list(folder.glob("out/_foretell/*/input/spool.json"))
    if victim == "reader":
        assert job.returncode == 1
        assert "the process that works with the database ended with signal 9" in said
    scoring_sql.score(folder, address, query=LONG)
    found = scoring.table(folder)
    assert found["id"].to_pylist() == list(range(700_000))
    assert found["output"].to_numpy().tolist() == (np.arange(700_000) % 1000 + 0.5).astype(np.float32).tolist()
    assert not list(folder.glob("out/_foretell/tmp/*"))


def test_a_row_without_an_answer_is_a_row_of_the_query_and_is_tried_again_without_the_database(folder: Path) -> None:
    rows = scoring_sql.points(bad={5: -66.0})
    address = scoring_sql.sqlite(folder / "app.db", rows)
    query = "select * from points where id > 1 order by id"
    scoring_sql.score(folder, address, query=query, model="models.py:Outage", code=3)
    (line,) = scoring.quarantine(folder)
    assert (line["file"], line["row"], line["key"]) == (f"the query of {address}", 3, {"id": 5})
    (folder / "app.db").unlink()
    (folder / "mended").touch()
    done = program.run("retry", "out", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert scoring.answers(scoring.table(folder)) == scoring_sql.expected(rows[2:])
    assert not list(folder.glob("out/_foretell/*/input"))


def test_the_number_of_the_row_stands_where_there_is_no_key(folder: Path) -> None:
    address = scoring_sql.sqlite(folder / "app.db")
    foretell.score(f"{folder}/models.py:Sum", address, folder / "out", query="select a, b from points where id >= 390")
    assert scoring.table(folder)["row"].to_pylist() == list(range(10))


def test_a_live_object_is_scored_over_a_query(folder: Path) -> None:
    address = scoring_sql.duckdb(folder / "app.duckdb")
    ask = {"query": scoring_sql.ALL, "key": "id", "mapping": {"x": ["a", "b"]}, "version": "1"}
    report = foretell.score(lambda x: x.sum(axis=1), address, folder / "out", **ask)
    assert (report.rows, report.processes) == (400, 1)
    assert foretell.score(lambda x: x.sum(axis=1), address, folder / "out", **ask).scored_now == 0


def test_duckdb_reads_files_too(folder: Path) -> None:
    data = scoring.write_files(folder, files=2)
    scoring_sql.score(folder, "duckdb:", query="select id, a, b from 'data/*.parquet' order by id; -- all")
    assert scoring.answers(scoring.table(folder)) == scoring.expected(files=2)
    assert data.is_dir()


def test_where_and_map_are_as_for_files(folder: Path) -> None:
    address = scoring_sql.sqlite(folder / "app.db")
    query = "select id, a as one, b as two, 'at' as country from points"
    scoring_sql.score(folder, address, "--where", "one >= 390", "--map", "x=one,two", query=query)
    assert scoring.answers(scoring.table(folder)) == scoring_sql.expected(scoring_sql.points()[390:])


def test_no_rows_are_no_mistake(folder: Path) -> None:
    for address in (scoring_sql.sqlite(folder / "app.db"), scoring_sql.duckdb(folder / "app.duckdb")):
        done = scoring_sql.score(folder, address, "--fresh", query="select id, a, b from points where id < 0")
        assert "0 rows" in done.stdout


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("select * from nosuch", "no such table: nosuch"),
        ("selec", "syntax error"),
        ("", "no query says which rows are meant"),
        ("select id, a, b as a from points", "the query gives two columns 'a'"),
        ("select 1 as x; select 2 as y", "more than one statement"),
        ("delete from points", "the query would do more than read"),
        ("insert into points values (1, 2, 3) returning id", "the query would do more than read"),
        ("attach 'new.db' as other", "the query would do more than read"),
        ("pragma journal_mode = wal", "the query would do more than read"),
        ("vacuum into 'new.db'", "the query would do more than read"),
        ("create table more(a)", "the query would do more than read"),
        ("select a from points", "the columns do not fit input 'x'"),
    ],
)
def test_what_is_wrong_with_a_query_of_sqlite(folder: Path, query: str, said: str) -> None:
    address = scoring_sql.sqlite(folder / "app.db")
    before = (folder / "app.db").read_bytes()
    with pytest.raises((InvalidInput, InvalidSetting), match=said):
        foretell.score(f"{folder}/models.py:Sum", address, folder / "out", query=query)
    page = folder / "out/_foretell/report.html"
    assert not page.exists() if said.startswith("no query") else "Stopped before the first row." in page.read_text()
    assert (folder / "app.db").read_bytes() == before
    assert not (folder / "new.db").exists() and not (folder / "out/data").exists()


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("select * from nosuch", "Table with name nosuch does not exist"),
        ("selec", "syntax error"),
        ("select id, a, b as a from points", "the query gives two columns 'a'"),
        ("select 1 as x; select 2 as y", "more than one statement"),
        ("delete from points", "the query would do more than read"),
        ("copy points to 'new.csv'", "the query would do more than read"),
        ("install httpfs", "the query would do more than read"),
        (
            "select case when range = 99999 then error('boom') else 1 end as x from range(100000)",
            "cannot be run: .*boom",
        ),
        ("select interval 1 day as id, 1 as a", "column 'id' has a type that cannot be read.*cast it in the query"),
    ],
)
def test_what_is_wrong_with_a_query_of_duckdb(folder: Path, query: str, said: str) -> None:
    address = scoring_sql.duckdb(folder / "app.duckdb")
    with pytest.raises(InvalidInput, match=said):
        foretell.score(f"{folder}/models.py:Sum", address, folder / "out", query=query)
    assert scoring_sql.do_duckdb(folder / "app.duckdb", "select count(*) from points") == [(400,)]
    assert not (folder / "new.csv").exists()


def test_what_is_wrong_with_what_is_named(folder: Path) -> None:
    (folder / "text.db").write_text("no database, though its name may say so " * 100)
    for data, query, said in (
        ("sqlite:///missing.db", "select 1", "missing.db: there is no such database"),
        ("duckdb:///missing.db", "select 1", "missing.db: there is no such database"),
        ("sqlite:///text.db", "select 1 from x", "file is not a database"),
        ("duckdb:///text.db", "select 1", "the database cannot be opened"),
        ("sqlite:///text.db", None, "no query says which rows are meant"),
        ("text.db", "select 1", "--query needs the address of a database"),
        ("mysql://app:secret@host/x", "select 1", "--query needs the address of a database"),
    ):
        done = scoring_sql.score(folder, data, query=query, code=2 if query is None or "--query" in said else 1)
        assert said in done.stderr, done.stderr
        assert "secret" not in done.stderr and "Traceback" not in done.stderr
    done = scoring_sql.score(folder, "duckdb:", "--format", "csv", query="select 1", code=2)
    assert "--format would do nothing" in done.stderr


def test_a_database_that_is_locked_is_waited_for_and_then_named(folder: Path) -> None:
    address = scoring_sql.duckdb(folder / "app.duckdb")
    with duckdb.connect(str(folder / "app.duckdb")):
        done = scoring_sql.score(folder, address, code=1)
    assert "the database is locked by another process" in done.stderr
    scoring_sql.score(folder, address)


class TestCellsOfSQLite:
    """Its columns hold cells of any type."""

    def _score(self, folder: Path, rows: list[tuple[object, ...]], *, stored: str = "id, a, b") -> pa.Table:
        scoring_sql.do_sqlite(folder / "app.db", "drop table if exists loose", f"create table loose({stored})")
        with closing(sqlite3.connect(folder / "app.db")) as connection, connection:
            connection.executemany("insert into loose values (?, ?, ?)", rows)
        address = f"sqlite:///{folder / 'app.db'}"
        foretell.score(f"{folder}/models.py:Sum", address, folder / "out", query="select * from loose", key="id",
                       mapping={"x": ["a", "b"]}, fresh=True, max_quarantined=10**6)  # fmt: skip
        return scoring.table(folder)

    def test_whole_numbers_far_before_others_are_numbers(self, folder: Path) -> None:
        rows = [(row, row, 1) for row in range(20_000)] + [(20_000, 0.5, 0.25)]
        found = self._score(folder, rows)
        assert found["output"].to_pylist() == [*(row + 1.0 for row in range(20_000)), 0.75]

    def test_nulls_far_before_texts_are_nulls_of_texts(self, folder: Path) -> None:
        rows = [(None, 1.0, 2.0)] * 20_000 + [("last", 1.0, 2.0)]
        assert self._score(folder, rows)["id"].to_pylist() == [*[None] * 20_000, "last"]

    def test_a_text_among_numbers_makes_the_column_text_and_says_where(self, folder: Path) -> None:
        rows = [(row, 1.0, 2.0) for row in range(20_000)] + [(20_000, "none", 2.0)]
        with pytest.raises(InvalidInput, match=r"column 'a' does not fit input 'x'.*got string since row"):
            self._score(folder, rows)

    def test_bytes_beside_numbers_are_refused(self, folder: Path) -> None:
        rows = [(1, 1.0, 2.0)] * 20_000 + [(b"bytes", 1.0, 2.0)]
        with pytest.raises(InvalidInput, match=r"column 'id' holds bytes beside numbers or texts.*cast"):
            self._score(folder, rows)

    def test_a_text_that_is_no_utf8_is_named(self, folder: Path) -> None:
        scoring_sql.sqlite(folder / "app.db")
        query = "select cast(x'ff' as text) as id, a, b from points"
        address = f"sqlite:///{folder / 'app.db'}"
        with pytest.raises(InvalidInput, match=r"is no UTF-8.*as blob"):
            foretell.score(f"{folder}/models.py:Sum", address, folder / "out", query=query, key="id")


def test_what_was_read_lies_where_the_output_lies(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that another machine goes on with it."""
    address = scoring_sql.sqlite(folder / "app.db", scoring_sql.points(bad={5: -66.0}))
    with S3Server("box") as s3:
        use(monkeypatch, s3)
        scoring_sql.score(folder, address, "-o", "s3://box/out", model="models.py:Outage", code=3)
        names = [key for key in s3.buckets["box"] if "/input/" in key]
        assert len(names) == 2 and any(name.endswith("/input/spool.json") for name in names)
        (folder / "app.db").unlink()
        (folder / "mended").touch()
        done = program.run("retry", "s3://box/out", cwd=folder)
        assert done.returncode == 0, done.stderr
        assert "400 rows" in done.stdout
        assert not [key for key in s3.buckets["box"] if "/input/" in key]


class TestPasswords:
    def test_no_record_no_message_and_no_process_holds_one(self, folder: Path, postgres: Postgres) -> None:
        rows = scoring_sql.points(bad={5: -66.0})
        postgres.do("create table points(id bigint, a float8, b float8)",
                    f"insert into points values {', '.join(map(str, rows))}")  # fmt: skip
        ask = {"query": "select *, pg_sleep(0.002)::text from points", "model": "models.py:Outage"}
        with scoring_sql.started(folder, postgres.url, "--map", "x=a,b", "--json", **ask) as job:
            until(lambda: postgres.do(_READING) != [(0,)])
            processes = [psutil.Process(job.pid), *psutil.Process(job.pid).children(recursive=True)]
            named = [" ".join(process.cmdline()) for process in processes[1:]]
            said = "".join(job.communicate(timeout=60))
        assert job.returncode == 3, said
        assert any("foretell.batch.sql.child" in line for line in named)
        kept = scoring_sql.everything(folder / "out")
        assert list(folder.glob("out/_foretell/*/input/*.parquet")), "what was read stays for foretell retry"
        for secret in (PASSWORD, QUOTED):
            assert secret not in said + "".join(named) and secret.encode() not in kept
        assert f"the query of {postgres.open_url}".encode() in kept
        (folder / "mended").touch()
        assert program.run("retry", "out", cwd=folder, env={"PGPORT": "1"}).returncode == 0

    def test_they_come_from_the_environment_too(self, folder: Path, postgres: Postgres) -> None:
        query = "select 1 as id, 2.0::float8 as a, 3.0::float8 as b"
        done = scoring_sql.score(folder, postgres.open_url, query=query, env={"PGPASSWORD": PASSWORD})
        assert "1 row in" in done.stdout
        again = scoring_sql.score(folder, postgres.url, query=query)
        assert "nothing to do" in again.stdout, "the same database, with a password or without"

    def test_a_wrong_one_is_refused_in_one_line(self, folder: Path, postgres: Postgres) -> None:
        for address, env, said in (
            (postgres.url.replace(QUOTED, "wrong-one"), {}, "the database refused the credentials"),
            (postgres.open_url, {"PGPASSFILE": "/nowhere"}, "the database refused the credentials"),
            (
                postgres.url.replace(f":{postgres.port}/", ":1/"),
                {},
                "the database cannot be reached; got Connection ref",
            ),
            (postgres.url.replace("/postgres", "/nosuch"), {}, 'database "nosuch" does not exist'),
            (postgres.url.replace(QUOTED, "broken%zz"), {}, "the database cannot be reached"),
        ):
            done = scoring_sql.score(folder, address, query="select 1", code=1, env=env)
            assert said in done.stderr and "Traceback" not in done.stderr, done.stderr
            assert all(secret not in done.stderr for secret in ("wrong-one", "broken", "%zz", QUOTED))


_READING = "select count(*) from pg_stat_activity where query like 'COPY%pg_sleep%' and pid <> pg_backend_pid()"


def test_what_runs_the_job_imports_no_driver(folder: Path) -> None:
    address = scoring_sql.duckdb(folder / "app.duckdb")
    given = ["--query", scoring_sql.ALL, "--key", "id", "-o", f"sqlite:///{folder / 'out.db'}", "--table", "scores"]
    _, *words = program.command("score", "models.py:Sum", address, *given)
    done = subprocess.run([sys.executable, "-X", "importtime", *words], cwd=folder, env=program.environment(),
                          capture_output=True, text=True, timeout=60, check=True)  # fmt: skip
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "foretell.batch.score" in imported
    assert not imported & {"pyarrow", "duckdb", "adbc_driver_manager", "sqlite3", "onnxruntime"}
