"""Into how many groups the callers are divided: as answers most rows, found by trying."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foretell.engine.pace import Pace

CALLERS = 16


def driven(pace: Pace, lasts_s: float, seconds: Callable[[int], float], now: float = 0.0) -> tuple[float, list[int]]:
    """After calls that last as long as `seconds` says for their groups: the time, and the groups of each."""
    groups, end = [], now + lasts_s
    while now < end:
        groups.append(pace.groups)
        began, now = now, now + seconds(pace.groups)
        pace.ended(max(1, CALLERS // groups[-1]), began, now)
    return now, groups


def share(groups: list[int], best: int) -> float:
    return groups.count(best) / len(groups)


@given(st.floats(0.0005, 0.3), st.floats(1.15, 4.0), st.sampled_from([1, 2, 4, 8, 16]))
def test_the_best_number_of_groups_is_found_and_kept(row_s: float, times: float, best: int) -> None:
    def seconds(groups: int) -> float:
        steps = abs(groups.bit_length() - best.bit_length())
        return row_s * max(1, CALLERS // groups) * times**steps

    pace = Pace()
    now, _ = driven(pace, 2 + 4000 * row_s * times**4, seconds)
    _, groups = driven(pace, 20 + 8000 * row_s, seconds, now)
    assert share(groups, best) > 0.8


def test_what_halves_the_rows_is_left_after_a_few_calls() -> None:
    _, groups = driven(Pace(), 10, lambda groups: 0.005)
    assert len(groups) - groups.count(1) <= 36


def test_calls_of_one_row_are_not_divided() -> None:
    _, groups = driven(Pace(), 60, lambda groups: 0.001 * max(1, CALLERS // groups) ** 1.3)
    assert max(groups) == CALLERS
    assert share(groups[len(groups) // 2 :], CALLERS) > 0.8


def test_what_is_better_may_change() -> None:
    pace = Pace()
    now, _ = driven(pace, 4, lambda groups: 0.002 if groups == 1 else 0.0005)
    assert not pace.waits
    now, _ = driven(pace, 8, lambda groups: 0.001, now)
    _, groups = driven(pace, 4, lambda groups: 0.001, now)
    assert share(groups, 1) > 0.9


@pytest.mark.parametrize("seed", range(5))
def test_noise_is_no_reason(seed: int) -> None:
    """Waiting is a little better, and now and then the thread is put aside for twenty milliseconds."""
    chance, pace = random.Random(seed), Pace()

    def seconds(groups: int) -> float:
        put_aside_s = 0.02 if chance.random() < 0.005 else 0.0
        return 0.001 / groups * chance.uniform(0.9, 1.1) * 1.1 ** (groups - 1) + put_aside_s

    _, groups = driven(pace, 60, seconds)
    assert share(groups, 1) > 0.7


def test_it_stays_as_it_is_while_there_is_little_to_do() -> None:
    """Rates with rests in them would be those of the callers."""
    pace, now = Pace(), 0.0
    for _ in range(2000):
        pace.ended(CALLERS, now + 0.2, now + 0.21)
        now += 0.21
        assert pace.waits


def test_long_calls_are_divided_within_seconds() -> None:
    _, groups = driven(Pace(), 10, lambda groups: 0.08 if groups == 1 else 0.06 / groups)
    assert groups[-1] == 2


def test_calls_without_rows_are_calls() -> None:
    pace, now = Pace(), 0.0
    for _ in range(2000):
        pace.ended(0, now, now + 0.01)
        now += 0.01
    assert pace.waits
