"""A PostgreSQL server for all tests of a file, and a clean database for each."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from postgres import Postgres, programs


@pytest.fixture(scope="module")
def _server() -> Iterator[Postgres]:
    folder = programs()
    if folder is None:
        pytest.skip("no PostgreSQL server is installed (Debian: postgresql)")
    with Postgres(folder) as server:
        yield server


@pytest.fixture
def postgres(_server: Postgres) -> Postgres:
    _server.do("drop schema public cascade", "create schema public")
    return _server
