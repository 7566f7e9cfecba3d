"""How many rows a call may have within a share of memory."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foretell.batch.room import Room

MIB = 2**20


def grown(room: Room, begun: int, row_bytes: int, calls: int = 20) -> list[int]:
    """The rows of calls, each as large as may be, of a model that takes `row_bytes` a row."""
    made = []
    for _ in range(calls):
        made.append(room.rows)
        room.saw(room.rows, begun + room.rows * row_bytes)
    return made


def test_where_memory_is_scarce_calls_grow_from_few_rows_to_what_fits() -> None:
    room = Room(300 * MIB, 100 * MIB, 16_384, scarce=True)
    rows = grown(room, 100 * MIB, MIB)
    assert rows[:3] == [16, 64, 160]
    assert set(rows[3:]) == {160}


def test_rows_that_take_little_get_calls_of_any_size() -> None:
    assert grown(Room(300 * MIB, 100 * MIB, 16_384, scarce=True), 100 * MIB, 64)[-1] == 16_384


def test_what_a_process_takes_once_is_no_rows() -> None:
    """Nor is what it keeps between calls, when the last rows of a shard are few."""
    room = Room(300 * MIB, 100 * MIB, 16_384, scarce=True)
    assert grown(room, 160 * MIB, 64)[-1] == 16_384
    room.saw(20, 162 * MIB)
    room.saw(16_384, 162 * MIB)
    assert room.rows == 16_384


def test_where_memory_is_plenty_calls_are_large_until_one_takes_too_much() -> None:
    room = Room(300 * MIB, 100 * MIB, 16_384, scarce=False)
    assert room.rows == 16_384
    assert room.saw(16_384, 400 * MIB)
    assert room.rows == 8192
    room.saw(8192, 250 * MIB)
    assert 8192 <= room.rows < 9000


def test_rows_that_turn_out_larger_make_calls_smaller() -> None:
    room = Room(300 * MIB, 100 * MIB, 16_384, scarce=True)
    grown(room, 100 * MIB, MIB)
    assert room.saw(160, 310 * MIB)
    assert room.rows == 80


def test_a_smaller_share_holds_from_the_next_call_on() -> None:
    room = Room(300 * MIB, 100 * MIB, 16_384, scarce=True)
    grown(room, 100 * MIB, MIB)
    room.limit = 200 * MIB
    assert room.saw(160, 260 * MIB)
    assert room.rows == 80


@pytest.mark.parametrize("scarce", [True, False])
@given(st.lists(st.integers(1, 50 * MIB), min_size=1), st.integers(50, 500), st.integers(1, 10_000))
def test_there_is_always_a_call_to_make_and_none_is_too_large(
    scarce: bool, row_bytes: list[int], limit_mib: int, most: int
) -> None:
    room = Room(limit_mib * MIB, 100 * MIB, most, scarce=scarce)
    for each in row_bytes:
        assert 1 <= room.rows <= most
        over = 100 * MIB + room.rows * each > room.limit
        before = room.rows
        room.saw(before, 100 * MIB + before * each)
        assert not over or room.rows < before or before == 1
