"""Jobs of `foretell score` over databases."""

from __future__ import annotations

import sqlite3
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import program
import pyarrow as pa
import pyarrow.parquet as pq

ALL = "select id, a, b from points order by id"
ROWS = 400


def points(rows: int = ROWS, bad: Mapping[int, float] | None = None) -> list[tuple[int, float, float]]:
    """`id`, `a` and `b`. `bad`: by id, what stands in `a` instead."""
    return [(row, (bad or {}).get(row, float(row % 1000)), row + 0.5) for row in range(rows)]


def sqlite(path: Path, rows: Sequence[tuple[Any, ...]] | None = None) -> str:
    """A database with the points in it; its address."""
    fill_sqlite(path, points() if rows is None else rows)
    return f"sqlite:///{path}"


def fill_sqlite(path: Path, rows: Sequence[tuple[Any, ...]]) -> None:
    do_sqlite(path, "drop table if exists points", "create table points(id integer, a real, b real)")
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executemany("insert into points values (?, ?, ?)", rows)


def do_sqlite(path: Path, *statements: str) -> list[tuple[Any, ...]]:
    """The rows of the last one."""
    found: list[tuple[Any, ...]] = []
    with closing(sqlite3.connect(path)) as connection, connection:
        for statement in statements:
            found = connection.execute(statement).fetchall()
    return found


def duckdb(path: Path, rows: Sequence[tuple[Any, ...]] | None = None) -> str:
    """The same in DuckDB."""
    do_duckdb(path, "create or replace table points(id bigint, a double, b double)")
    import duckdb as driver

    ids, a, b = (np.array(column) for column in zip(*(points() if rows is None else rows), strict=True))
    with driver.connect(str(path)) as connection:
        connection.register("given", pa.table({"id": ids, "a": a, "b": b}))
        connection.execute("insert into points select * from given")
    return f"duckdb:///{path}"


def do_duckdb(path: Path, *statements: str) -> list[tuple[Any, ...]]:
    """The rows of the last one."""
    import duckdb as driver

    with driver.connect(str(path)) as connection:
        found: list[tuple[Any, ...]] = []
        for statement in statements:
            found = connection.execute(statement).fetchall()
        return found


def parquet(path: Path, rows: Sequence[tuple[Any, ...]] | None = None) -> Path:
    """The same in a file."""
    ids, a, b = (np.array(column) for column in zip(*(points() if rows is None else rows), strict=True))
    pq.write_table(pa.table({"id": ids, "a": a, "b": b}), path)
    return path


def score(
    folder: Path, data: object, *arguments: object, query: str | None = ALL, model: str = "models.py:Sum",
    code: int = 0, env: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:  # fmt: skip
    """`foretell score MODEL DATA --query QUERY --key id -o out ARGUMENTS`, which ends with `code`. By one process:
    there is no more to do for two."""
    done = program.run(*_words(data, arguments, query, model), "--processes", 1, cwd=folder, env=env)
    assert done.returncode == code, done.stderr
    return done


@contextmanager
def started(
    folder: Path, data: object, *arguments: object, query: str | None = ALL, model: str = "models.py:Sum",
    env: Mapping[str, str] | None = None,
) -> Iterator[subprocess.Popen[str]]:  # fmt: skip
    """The same, under way; what is left of it at the end is killed."""
    with program.started(*_words(data, arguments, query, model), cwd=folder, env=program.environment(env)) as process:
        yield process


def _words(data: object, arguments: Sequence[object], query: str | None, model: str) -> list[object]:
    given = [] if query is None else ["--query", query]
    out = [] if "-o" in arguments else ["-o", "out"]
    return ["score", model, data, *given, "--key", "id", *out, *arguments]


def expected(rows: Sequence[tuple[Any, ...]]) -> dict[int, float]:
    """The answer of each id."""
    return {row: float(np.float32(a) + np.float32(b)) for row, a, b in rows}


def everything(*folders: Path) -> bytes:
    """Every file below, with its name."""
    files = (path for folder in folders for path in folder.rglob("*") if path.is_file())
    return b"\n".join(str(path).encode() + b"\n" + path.read_bytes() for path in files)


def rows(place: str, statement: str) -> list[tuple[Any, ...]]:
    """Of a file of SQLite or DuckDB, by its address."""
    kind, _, path = place.partition(":///")
    return (do_sqlite if kind == "sqlite" else do_duckdb)(Path(path), statement)
