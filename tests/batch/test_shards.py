"""How data is cut: every row once, in order, the same each time, never more than a shard may have."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foretell.batch.shards import ShardSize, cut, joined_groups


@st.composite
def sizes(draw: st.DrawFn) -> tuple[int, int]:
    """Rows, and how many of them a piece may have: some hundred pieces at the most."""
    most = draw(st.integers(1, 200_000))
    return draw(st.integers(0, min(10**7, 500 * most))), most


@given(sizes(), st.booleans())
def test_pieces_are_whole_and_small_enough(size: tuple[int, int], first: bool) -> None:
    rows, most = size
    pieces = list(cut(rows, most, first=first))
    assert sum(stop - start for start, stop in pieces) == rows
    assert all(0 < stop - start <= most for start, stop in pieces)
    assert [start for start, _ in pieces] == [0, *(stop for _, stop in pieces[:-1])][: len(pieces)]


def test_the_first_piece_is_a_small_one_where_it_is_asked_for() -> None:
    assert next(cut(10**6, 131_072, first=True)) == (0, 512)
    assert next(cut(1000, 131_072, first=True)) == (0, 1000)


@given(st.lists(st.integers(0, 1000), max_size=60), st.integers(1, 3000))
def test_groups_are_joined_while_they_are_small(groups: list[int], most: int) -> None:
    ranges = list(joined_groups(groups, most))
    assert sum(stop - start for start, stop in ranges) == sum(groups)
    edges = {sum(groups[:at]) for at in range(len(groups) + 1)}
    assert all(start in edges and stop in edges for start, stop in ranges)
    assert all(stop - start <= max(most, *groups) for start, stop in ranges)


def test_a_large_data_set_has_larger_shards_not_too_many() -> None:
    size = ShardSize().for_data(10**10, 10**12)
    assert size.rows_of(100) == 10**6
    assert ShardSize().for_data(10**7, 10**9).rows_of(100) == 131_072


@pytest.mark.parametrize(("rows", "most"), [(100, 2048), (2048, 2048), (50_000, 3125), (10**6, 62_500)])
def test_a_small_data_set_has_smaller_shards_so_that_many_processes_have_work(rows: int, most: int) -> None:
    assert ShardSize().for_data(rows, 10**9).rows_of(1) == most
    assert replace(ShardSize(), rows=1024).for_data(rows, 10**9).rows_of(1) == 1024, "never more than the data allows"


def test_a_small_data_set_has_no_first_shard_of_next_to_nothing() -> None:
    assert list(cut(400, 2048, first=True)) == [(0, 400)]
    assert next(cut(2048, 2048, first=True)) == (0, 128)
