"""Which parts become one file."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from foretell.batch.joins.grouping import grouped


@dataclass(frozen=True)
class Sized:
    bytes: int


def sizes(groups: list[list[Sized]]) -> list[list[int]]:
    return [[each.bytes for each in group] for group in groups]


def test_neighbours_stand_together_up_to_the_size() -> None:
    parts = [Sized(size) for size in (4, 4, 3, 9, 1, 20, 2, 8)]
    assert sizes(grouped(parts, 10)) == [[4, 4], [3], [9, 1], [20], [2, 8]]
    assert sizes(grouped(parts, 0)) == [[4], [4], [3], [9], [1], [20], [2], [8]]
    assert grouped([], 10) == []


@given(st.lists(st.integers(1, 50)), st.integers(0, 100))
def test_every_part_stands_once_and_no_two_files_could_be_one(given_sizes: list[int], most: int) -> None:
    groups = grouped([Sized(size) for size in given_sizes], most)
    assert [size for group in sizes(groups) for size in group] == given_sizes
    assert all(sum(group) <= most for group in sizes(groups) if len(group) > 1)
    for one, next_one in zip(sizes(groups), sizes(groups)[1:], strict=False):
        assert sum(one) + next_one[0] > most
