"""Addresses of databases: what they mean, and that no text of ours holds a password."""

from __future__ import annotations

from pathlib import Path

import pytest

from foretell.batch.sql.address import is_database, parse
from foretell.errors import InvalidSetting


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("sqlite:///app.db", str(Path.cwd() / "app.db")),
        ("sqlite:////data/app.db", "/data/app.db"),
        ("duckdb:///x/file.duckdb", str(Path.cwd() / "x/file.duckdb")),
        ("duckdb:", ""),
        ("duckdb:///:memory:", ""),
    ],
)
def test_three_slashes_begin_a_path_from_here_and_four_one_from_the_root(text: str, path: str) -> None:
    assert is_database(text)
    assert parse(text).path == path
    assert parse(parse(text).shown) == parse(text)


def test_a_relative_path_begins_in_the_folder_that_is_named() -> None:
    assert parse("sqlite:///app.db", "/srv").path == "/srv/app.db"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql://app:secret@host/db", "postgresql://app@host/db"),
        ("postgres://app:secret@host:5432/db?sslmode=require", "postgresql://app@host:5432/db?sslmode=require"),
        ("postgresql://host/db?user=app&password=secret", "postgresql://host/db?user=app"),
        ("postgresql://host/db?PASSWORD=secret&user=app", "postgresql://host/db?user=app"),
        ("postgresql://app:secret@one:1,two:2/db", "postgresql://app@one:1,two:2/db"),
        ("postgresql://:secret@[::1]:5432/db", "postgresql://[::1]:5432/db"),
        ("postgresql:///db", "postgresql:///db"),
    ],
)
def test_what_is_shown_has_no_password(text: str, shown: str) -> None:
    database = parse(text)
    assert database.shown == shown
    assert "secret" not in repr(database)


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://app:se/cret@host/db",
        "postgresql://app:se@cret/x@host/db",
        "postgresql://app:se?cret@host/db",
        "postgresql://app:1?secret@host/db",
        "postgresql://app:1/secret@host/db",
        "postgresql://app:secret",
        "postgresql:app:secret@host",
        "mysql://app:secret@host/db",
    ],
)
def test_an_address_that_cannot_be_read_is_not_repeated(text: str) -> None:
    with pytest.raises(InvalidSetting) as raised:
        parse(text)
    assert "cret" not in str(raised.value)


@pytest.mark.parametrize("text", ["sqlite:", "sqlite://", "sqlite:///", "sqlite://host/app.db", "sqlite:///:memory:"])
def test_sqlite_needs_a_file(text: str) -> None:
    with pytest.raises(InvalidSetting, match="the address names no file"):
        parse(text)


@pytest.mark.parametrize("text", ["s3://bucket/x", "data.parquet", "folder/sqlite", "sqlite"])
def test_paths_and_objects_are_no_databases(text: str) -> None:
    assert not is_database(text)
