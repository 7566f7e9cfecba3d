"""Which way between two calls is kept: the one that answers more rows, found by trying."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foretell.engine.pace import Pace

ROWS = 16


def driven(pace: Pace, lasts_s: float, seconds: Callable[[bool], float], now: float = 0.0) -> tuple[float, list[bool]]:
    """After calls that last as long as `seconds` says for the way they are made in: the time, and their ways."""
    ways, end = [], now + lasts_s
    while now < end:
        ways.append(pace.waits)
        now += seconds(pace.waits)
        pace.ended(ROWS, now)
    return now, ways


@given(st.floats(0.0005, 0.02), st.floats(1.15, 4.0), st.booleans())
def test_the_quicker_way_is_found_and_kept(call_s: float, times: float, waiting_is_quicker: bool) -> None:
    def seconds(waits: bool) -> float:
        return call_s if waits is waiting_is_quicker else call_s * times

    pace = Pace()
    now, _ = driven(pace, 2 + 400 * call_s, seconds)
    _, ways = driven(pace, 20 + 2000 * call_s, seconds, now)
    assert sum(way is waiting_is_quicker for way in ways) > 0.9 * len(ways)


def test_a_way_that_halves_the_rows_is_left_after_a_few_calls() -> None:
    _, ways = driven(Pace(), 10, lambda waits: 0.005 if waits else 0.010)
    assert sum(not way for way in ways) <= 36


def test_what_is_better_may_change() -> None:
    pace = Pace()
    now, _ = driven(pace, 4, lambda waits: 0.002 if waits else 0.001)
    assert not pace.waits
    now, _ = driven(pace, 8, lambda waits: 0.001 if waits else 0.002, now)
    _, ways = driven(pace, 4, lambda waits: 0.001 if waits else 0.002, now)
    assert sum(ways) > 0.9 * len(ways)


@pytest.mark.parametrize("seed", range(5))
def test_noise_is_no_reason(seed: int) -> None:
    """Waiting is a little better, and now and then the thread is put aside for twenty milliseconds."""
    chance, pace = random.Random(seed), Pace()

    def seconds(waits: bool) -> float:
        put_aside_s = 0.02 if chance.random() < 0.005 else 0.0
        return 0.001 * chance.uniform(0.9, 1.1) * (1.0 if waits else 1.1) + put_aside_s

    _, ways = driven(pace, 60, seconds)
    assert sum(ways) > 0.7 * len(ways)


def test_one_way_is_kept_while_there_is_little_to_do() -> None:
    """Rates with rests in them would be those of the callers."""
    _, ways = driven(Pace(), 200, lambda waits: 0.2 if waits else 0.1001)
    assert all(ways)
