"""Which rows of different length share a call: every row once, and never at a price above that of another call."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foretell.engine.lengths import Lengths, Sizes, by_length, companions, most_padding

SIZES = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 5)), min_size=1, max_size=60)
OVERHEAD = st.none() | st.floats(0, 1e4) | st.just(math.inf)


def padding(sizes: list[Sizes]) -> int:
    longest = [max(each) for each in zip(*sizes, strict=True)]
    return len(sizes) * sum(longest) - sum(map(sum, sizes))


def calls(lengths: list[int], max_rows: int, overhead: float | None) -> list[list[int]]:
    """The lengths that share each call."""
    made = by_length(np.array(lengths)[:, None], max_rows, overhead)
    return [[lengths[row] for row in rows] for rows in made]


@given(SIZES, st.integers(1, 20), OVERHEAD)
def test_every_row_has_one_call_and_no_call_is_too_large(
    sizes: list[Sizes], max_rows: int, overhead: float | None
) -> None:
    made = by_length(np.array(sizes), max_rows, overhead)
    assert sorted(row for rows in made for row in rows.tolist()) == list(range(len(sizes)))
    for rows in made:
        assert 0 < len(rows) <= max_rows
        assert rows.tolist() == sorted(rows.tolist())
        together = [sizes[row] for row in rows]
        assert padding(together) <= most_padding(sum(map(sum, together)), overhead)


@given(SIZES, OVERHEAD)
def test_a_row_without_an_element_is_never_filled_up(sizes: list[Sizes], overhead: float | None) -> None:
    for rows in by_length(np.array(sizes), 100, overhead):
        together = {sizes[row] for row in rows}
        assert len(together) == 1 or all(0 not in each for each in together)


@given(SIZES)
def test_rows_of_one_length_always_share(sizes: list[Sizes]) -> None:
    made = by_length(np.array(sizes), len(sizes), 0.0)
    assert len(made) == len(set(sizes))


def test_a_short_row_does_not_go_with_a_long_one_unless_a_call_costs_more() -> None:
    assert calls([4, 512], 128, 100.0) == [[512], [4]]
    assert calls([4, 512], 128, 600.0) == [[4, 512]]
    assert calls([4] * 100 + [512], 128, 600.0) == [[512], [4] * 100]
    assert calls([4] * 100 + [5], 128, 600.0) == [[4] * 100 + [5]]


def test_nothing_known_means_a_quarter() -> None:
    assert calls([10, 12, 14], 128, None) == [[10, 12, 14]]
    assert calls([10, 20], 128, None) == [[20], [10]]


def test_one_long_row_cannot_multiply_the_memory_of_many_short_ones() -> None:
    made = calls([100_000] + [1] * 127, 128, math.inf)
    assert made == [[100_000], [1] * 127]


def test_rows_beyond_the_limit_make_further_calls() -> None:
    assert [len(rows) for rows in calls([5] * 10 + [4] * 3, 4, math.inf)] == [4, 4, 4, 1]


def test_evenly_spread_lengths_cost_little_more_than_the_best_cut() -> None:
    """Compared with every way to cut the sorted lengths into calls, by dynamic programming."""
    rng = random.Random(3)
    for overhead in (5.0, 50.0, 500.0):
        lengths = sorted((rng.randint(1, 128) for _ in range(60)), reverse=True)
        best = [0.0] * (len(lengths) + 1)
        for stop in range(1, len(lengths) + 1):
            best[stop] = min(best[at] + overhead + (stop - at) * lengths[at] for at in range(stop))
        made = calls(lengths, 128, overhead)
        cost = sum(overhead + len(each) * max(each) for each in made)
        assert cost <= 1.25 * best[-1]


def test_many_lengths_are_cut_in_one_pass() -> None:
    sizes = np.random.default_rng(0).integers(1, 512, 32_768)[:, None]
    made = by_length(sizes, 128, 40.0)
    assert sum(len(rows) for rows in made) == 32_768
    assert len(made) < 2 * 32_768 / 128


@given(
    st.tuples(st.integers(1, 40), st.integers(1, 5)),
    st.integers(1, 10),
    st.lists(st.tuples(st.tuples(st.integers(1, 40), st.integers(1, 5)), st.integers(1, 9)), max_size=12),
    st.integers(0, 40),
    OVERHEAD,
)
def test_who_joins_a_call_is_worth_it(
    sizes: Sizes, rows: int, others: list[tuple[Sizes, int]], free_rows: int, overhead: float | None
) -> None:
    chosen = companions(sizes, rows, others, free_rows, overhead)
    assert len(set(chosen)) == len(chosen)
    together, left = [sizes] * rows, free_rows
    for at in chosen:
        assert left > 0
        joining = min(others[at][1], left)
        together += [others[at][0]] * joining
        left -= joining
    assert padding(together) <= most_padding(sum(map(sum, together)), overhead)


def test_the_nearest_length_joins_first() -> None:
    others = [((30,), 1), ((11,), 1), ((9,), 1), ((512,), 1)]
    assert companions((10,), 1, others, 10, 15.0) == [1, 2]
    assert companions((10,), 1, others, 1, 15.0) == [1]
    assert companions((10,), 1, others, 10, 0.0) == []


def learned(*calls: tuple[int, float]) -> float | None:
    lengths = Lengths()
    for elements, seconds in calls:
        lengths.learn(elements, seconds)
    return lengths.overhead


def test_what_a_call_costs_by_itself_is_learned_in_elements() -> None:
    assert learned() is None
    assert learned((100, 1.0)) is None
    # A second, and a hundredth for each element.
    assert learned((100, 2.0), (1000, 11.0)) == pytest.approx(100)
    assert learned((100, 1.0), (1000, 10.0)) == pytest.approx(0)
    assert learned((100, 1.0), (1000, 20.0)) == 0.0
    assert learned((100, 1.0), (1000, 1.0)) == math.inf
    assert learned((100, 1.0), (1000, 0.9)) == math.inf
