"""Which shard a process takes: each reads on where it stands, and none is taken twice or forgotten."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foretell.batch.assign import may_reserve, next_forward, next_shard


def test_the_first_takes_the_first_and_the_second_begins_in_the_middle() -> None:
    assert next_shard(range(10), None, []) == 0
    assert next_shard(range(1, 10), None, [0]) == 5


def test_it_reads_on_where_it_stands() -> None:
    assert next_shard([1, 2, 6, 7], 5, [0]) == 6


def test_who_comes_to_the_end_helps_in_the_middle_of_the_longest_run() -> None:
    assert next_shard([3, 4, 5, 6, 7, 8], 20, [2]) == 6


def test_a_run_to_which_nobody_comes_is_begun_at_its_beginning() -> None:
    assert next_shard([4, 7, 8, 9], 20, [6]) == 4


def test_a_file_that_is_read_from_its_beginning_is_nobody_elses_while_there_are_others() -> None:
    def file_of(shard: int) -> int:
        return shard // 3

    assert next_forward([2, 5, 6, 7, 8], 1, [4], file_of) == 2
    assert next_forward([5, 6, 7, 8], 2, [4], file_of) == 6
    assert next_forward([7, 8], 5, [6], file_of) == 7
    assert next_forward([1, 8], 7, [6], file_of) == 8
    assert next_forward([1, 8], None, [6], file_of) == 1


def test_nothing_is_left_to_take() -> None:
    assert next_shard([], 3, [2]) is None


@given(st.sets(st.integers(0, 200)), st.integers(1, 5), st.randoms())
def test_every_shard_is_taken_once(missing: set[int], processes: int, random: object) -> None:
    left, last = sorted(missing), dict.fromkeys(range(processes))
    taken: list[int] = []
    while left:
        who = random.randrange(processes)  # type: ignore[attr-defined]
        others = [at for other, at in last.items() if other != who and at is not None]
        shard = next_shard(left, last[who], others)
        assert shard is not None
        left.remove(shard)
        last[who] = shard
        taken.append(shard)
    assert sorted(taken) == sorted(missing)


@pytest.mark.parametrize(
    ("missing", "processes", "busy", "may"),
    [
        (1, 2, 1, False),  # of two shards the other process gets one
        (15, 16, 1, False),
        (37, 2, 1, True),
        (2, 2, 2, True),
        (1, 2, 2, False),  # whoever is done first takes it
        (3, 4, 3, False),
        (1, 1, 1, True),
        (1, 1, 2, True),  # one more than there should be is still there
    ],
)
def test_a_shard_in_reserve_is_taken_from_nobody(missing: int, processes: int, busy: int, may: bool) -> None:
    assert may_reserve(missing, processes, busy) is may
