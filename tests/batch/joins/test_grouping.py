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


def test_neighbours_stand_together_as_long_as_that_is_nearer_to_the_size() -> None:
    parts = [Sized(size) for size in (4, 4, 3, 9, 1, 20, 2, 8, 2, 5, 8)]
    assert sizes(grouped(parts, 10)) == [[4, 4, 3], [9, 1], [20], [2, 8], [2, 5], [8]]
    assert sizes(grouped(parts, 0)) == [[part.bytes] for part in parts]
    assert grouped([], 10) == []


@given(st.lists(st.integers(1, 50)), st.integers(0, 100))
def test_every_part_stands_once_and_none_takes_a_file_too_far(given_sizes: list[int], about: int) -> None:
    groups = sizes(grouped([Sized(size) for size in given_sizes], about))
    assert [size for group in groups for size in group] == given_sizes
    assert all(sum(group) <= 1.2 * about for group in groups if len(group) > 1)


@given(st.lists(st.integers(1, 40)))
def test_files_of_small_parts_are_within_a_fifth_of_the_size(given_sizes: list[int]) -> None:
    groups = sizes(grouped([Sized(size) for size in given_sizes], 100))
    assert all(80 <= sum(group) <= 120 for group in groups[:-1])
