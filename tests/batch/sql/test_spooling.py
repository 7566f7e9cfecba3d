"""What a query gave, as files of a job: their sizes, their types, and what is done when a read breaks off."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import scoring_sql
from postgres import Postgres

from foretell.batch.block import Block
from foretell.batch.shards import InputFile, ShardSize
from foretell.batch.sources.query import QuerySource
from foretell.batch.sql import spooling
from foretell.batch.sql.helper import here
from foretell.batch.sql.messages import Going, ReadQuery, Reply
from foretell.batch.sql.record import SPOOL, Spool
from foretell.batch.sql.spooling import spool
from foretell.clock import ManualClock
from foretell.errors import InvalidInput, Unavailable


def _read(folder: Path, address: str, query: str, keys: tuple[str, ...] = ()) -> Spool:
    """What is read into `folder`."""
    spool(ReadQuery(here(), address, query, str(folder), "input", list(keys)), _nobody, ManualClock())
    made = Spool.decoded((folder / "input" / SPOOL).read_bytes())
    assert made is not None
    return made


def _nobody(reply: Reply) -> None:
    assert isinstance(reply, Going)


def _source(folder: Path, made: Spool) -> QuerySource:
    files = [[str(folder / "input" / file.name), file.bytes, file.rows] for file in made.files]
    retyped = {name: {"type": each.type, "row": each.row} for name, each in made.retyped.items()}
    return QuerySource([InputFile("the query", 0, "query")], {"query": "", "spool": files, "retyped": retyped})


def _table(folder: Path, made: Spool) -> pa.Table:
    """All rows, by the shards of a source."""
    source = _source(folder, made)
    names = [field.name for field in source.fields()]
    tables, row = [], 0
    for shard in source.shards(ShardSize(rows=900)):
        assert (shard.file, shard.start) == (0, row)
        for block in source.read(shard, names, 256):
            assert isinstance(block, Block) and block.first_row == row and block.rows <= 256
            tables.append(pa.table(dict(block.columns)))
            row += block.rows
    source.close()
    return pa.concat_tables(tables)


def test_many_files_are_one_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spooling, "_GROUP_ROWS", 700)
    monkeypatch.setattr(spooling, "_FILE_BYTES", 8000)
    address = scoring_sql.duckdb(tmp_path / "app.duckdb", scoring_sql.points(5000))
    made = _read(tmp_path / "state", address, scoring_sql.ALL)
    assert made.rows == 5000 and len(made.files) > 2
    for file in made.files[:-1]:
        with pq.ParquetFile(tmp_path / "state/input" / file.name) as opened:
            assert opened.metadata.row_group(0).num_rows == 700
    assert _table(tmp_path / "state", made)["id"].to_pylist() == list(range(5000))
    assert sorted(os.listdir(tmp_path / "state/input")) == sorted([SPOOL, *(file.name for file in made.files)])
    assert os.listdir(tmp_path / "state/tmp") == []


def test_types_that_widen_are_those_of_the_end_for_all_rows(tmp_path: Path) -> None:
    address = f"sqlite:///{tmp_path / 'app.db'}"
    scoring_sql.do_sqlite(
        tmp_path / "app.db",
        "create table loose(n, t)",
        "with recursive n(i) as (select 0 union all select i + 1 from n where i < 29999) "
        "insert into loose select case when i < 20000 then null when i < 25000 then i else i + 0.5 end, "
        "case when i < 28000 then i else 'x' || i end from n",
    )
    made = _read(tmp_path / "state", address, "select * from loose")
    assert [(name, kind) for name, kind in made.columns] == [("n", "double"), ("t", "string")]
    found = _table(tmp_path / "state", made).to_pydict()
    assert found["n"] == [None] * 20_000 + [float(i) for i in range(20_000, 25_000)] + [
        i + 0.5 for i in range(25_000, 30_000)
    ]
    assert found["t"] == [*map(str, range(28_000)), *(f"x{i}" for i in range(28_000, 30_000))]


def test_what_was_damaged_is_named_without_the_fix_for_files_of_people(tmp_path: Path) -> None:
    made = _read(tmp_path / "state", scoring_sql.duckdb(tmp_path / "app.duckdb"), scoring_sql.ALL)
    path = tmp_path / "state/input" / made.files[0].name
    content = bytearray(path.read_bytes())
    content[100:1500] = b"\xff" * 1400
    path.write_bytes(content)
    with pytest.raises(InvalidInput, match=r"what was read of the query is damaged.*--fresh"):
        _table(tmp_path / "state", made)


def test_a_half_written_read_is_thrown_away(tmp_path: Path) -> None:
    (tmp_path / "state/input").mkdir(parents=True)
    (tmp_path / "state/input/00000-old.parquet").write_bytes(b"half")
    _read(tmp_path / "state", scoring_sql.duckdb(tmp_path / "app.duckdb"), scoring_sql.ALL)
    assert not (tmp_path / "state/input/00000-old.parquet").exists()


def test_types_of_duckdb(tmp_path: Path) -> None:
    query = """select sum(i) s, 1.25::decimal(10, 2) d, 'x'::enum('x', 'y') e, uuid() u, [1, 2] l, true b, null z,
        'a'::blob y, timestamp '2020-01-02 03:04:05' t, 1::utinyint k from range(4) r(i)"""
    (row,) = _table(tmp_path, _read(tmp_path, "duckdb:", query)).to_pylist()
    assert (int(row["s"]), float(row["d"]), row["e"], row["l"], row["b"], row["z"], row["y"], row["k"]) == (
        6, 1.25, "x", [1, 2], True, None, b"a", 1)  # fmt: skip
    assert len(row["u"]) == 36 and row["t"].isoformat() == "2020-01-02T03:04:05"


class TestPostgreSQL:
    def test_types(self, postgres: Postgres, tmp_path: Path) -> None:
        query = """select 1::int2 k, 2::int8 l, 1.5::float4 f, 'x'::text t, 'y'::varchar(3) v, true b, 12.25::numeric n,
            '5bd68e64-ff52-4f54-ace4-3cd9161c8b7f'::uuid u, '{"a": 1}'::json j, '2020-01-02'::date d,
            null::int4 z, array[1.5::float8, null] a -- a comment in the end"""
        made = _table(tmp_path, _read(tmp_path, postgres.url, query, keys=("l",))).to_pylist()
        (row,) = made
        assert (row["k"], row["l"], row["f"], row["t"], row["v"], row["b"], row["n"]) == (
            1,
            2,
            1.5,
            "x",
            "y",
            True,
            12.25,
        )
        assert (row["u"], row["z"], row["a"]) == ("5bd68e64-ff52-4f54-ace4-3cd9161c8b7f", None, [1.5, None])
        assert (row["j"], str(row["d"])) == ('{"a": 1}', "2020-01-02")

    @pytest.mark.parametrize(
        ("query", "said"),
        [
            ("select 1 x, '1 day'::interval i", "column 'i' has a type that cannot be read.*cast it in the query"),
            ("select 1 x, '1.2.3.4'::inet i", "column 'i' has a type that cannot be read; got inet"),
            ("select 1::numeric x", "column 'x' is a key and of type numeric.*x::bigint or x::text"),
            ("select 1 x, 2 x", "two columns 'x'"),
            ("select * from nosuch", 'relation "nosuch" does not exist; correct the query'),
            ("selec", "syntax error at or near \"selec\""),
            ("select 1 x; drop table points", "more than one statement"),
            ("delete from points", "would do more than read"),
            ("delete from points returning id", "would do more than read"),
            ("select nextval('numbers') x", "would do more than read"),
            ("set transaction read write", "would do more than read"),
            ("commit", "would do more than read"),
            ("select 1 x from secrets", "the query may not be run; got permission denied for table secrets"),
        ],
    )  # fmt: skip
    def test_what_is_wrong_with_a_query(self, postgres: Postgres, tmp_path: Path, query: str, said: str) -> None:
        postgres.do("create table points as select 1 id", "create sequence numbers", "create table secrets(a int)",
                    "drop role if exists reader", "create role reader login password 'r'",
                    "grant usage on schema public to reader", "grant all on points, numbers to reader")  # fmt: skip
        address = postgres.url.replace(postgres.url.partition("//")[2].partition("@")[0], "reader:r")
        with pytest.raises(InvalidInput, match=said):
            _read(tmp_path, address, query, keys=("x",))
        assert postgres.do("select count(*) from points") == [(1,)]
        assert not (tmp_path / "input" / SPOOL).exists()

    def test_a_connection_that_drops_is_made_again(self, postgres: Postgres, tmp_path: Path) -> None:
        ended, hits = threading.Event(), list[object]()

        def end() -> None:
            while not ended.is_set():
                found = postgres.do(
                    "select pg_terminate_backend(pid) from pg_stat_activity "
                    "where query like 'COPY%pg_sleep%' and pid <> pg_backend_pid()"
                )
                if found:
                    hits.extend(found)
                    ended.set()

        thread = threading.Thread(target=end)
        thread.start()
        try:
            made = _read(
                tmp_path, postgres.url, "select i as id, pg_sleep(0.002)::text s from generate_series(1, 700) i"
            )
        finally:
            ended.set()
            thread.join()
        assert made.rows == 700 and hits

    def test_a_connection_that_always_drops_is_named(self, postgres: Postgres, tmp_path: Path) -> None:
        with pytest.raises(Unavailable, match="the connection to the database was lost"):
            _read(tmp_path, postgres.url, "select pg_terminate_backend(pg_backend_pid()) as id, pg_sleep(5)::text")
