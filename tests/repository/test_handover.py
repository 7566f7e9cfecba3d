"""A version that takes over starts with what the one before it had learned."""

from __future__ import annotations

from pathlib import Path

import pytest
from repositories import Manage, put, times
from wire import infer, values

from foretell.engine.profile import Profile


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return put(tmp_path / "m.onnx", times(2))


def test_it_knows_how_long_calls_take(manage: Manage, file: Path) -> None:
    server = manage(file)
    assert values(server.ask(infer("m", [1] * 50))) == [2] * 50
    put(file, times(3.5))  # a file of no other test, whose profile might be known
    assert server.load("m").status == 200
    assert 50 in server.engine("m").profile.table()


def test_what_it_knows_of_itself_comes_first(manage: Manage, file: Path) -> None:
    server = manage(file)
    old = Profile()
    old.restore({1: 100.0, 64: 900.0})
    server.engine("m").profile = old
    put(file, times(3.25))  # a file of no other test, whose profile might be known
    assert server.load("m").status == 200
    profile = server.engine("m").profile
    assert profile.table()[64] == 900
    assert profile.table()[1] < 100
    assert profile.recent_s is not None and profile.recent_s < 100


def test_it_has_as_many_replicas_as_the_load_has_made(manage: Manage, file: Path) -> None:
    server = manage(file, max_replicas=3)
    upkeep, pool = server.engine("m").upkeep, server.engine("m").pool
    assert upkeep is not None
    with pool.changed:
        upkeep.wanted = 2
        pool.changed.notify_all()
    server.until(lambda: len(pool.members) == 2)
    put(file, times(3))
    assert server.load("m").status == 200
    assert len(server.engine("m").pool.members) == 2
    assert server.predict("m", 1) == 3
