"""How large calls become: as measured, not by one slow call, and never larger than memory allowed."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from foretell.batch.call_size import CallSize


def _learned(size: CallSize, seconds: Callable[[int], float]) -> int:
    for _ in range(500):
        size.learn(size.rows, seconds(size.rows))
    assert size.settled
    return size.rows


@pytest.mark.parametrize("best", [8, 64, 1024])
def test_it_finds_the_size_that_answers_most(best: int) -> None:
    # Beyond the best size every row costs more and more, as where a cache is too small.
    found = _learned(CallSize(1024), lambda rows: 0.01 + rows * 0.001 * (1 if rows <= best else (rows / best) ** 0.5))
    assert best / 2 <= found <= best * 2


def test_where_size_makes_no_difference_calls_stay_large() -> None:
    assert _learned(CallSize(1024), lambda rows: rows * 0.001) == 1024


def test_calls_that_something_else_made_slow_decide_nothing() -> None:
    calls = iter(range(10**6))
    assert _learned(CallSize(1024), lambda rows: (0.01 + rows * 1e-4) * (5 if next(calls) % 3 else 1)) == 1024


def test_a_size_that_was_named_is_kept() -> None:
    size = CallSize(100, fixed=True)
    assert _learned(size, lambda rows: rows**2) == 100


def test_memory_that_ran_out_halves_it_for_good() -> None:
    size = CallSize(100)
    assert size.shrink()
    assert _learned(size, lambda rows: 0.1) == 50
    assert [size.shrink() for _ in range(6)] == [True] * 5 + [False]


def test_a_limit_holds_until_another_is_said() -> None:
    size = CallSize(1024)
    size.limit(16)
    assert _learned(size, lambda rows: rows * 0.01) == 16
    size.limit(64)
    assert _learned(size, lambda rows: rows * 0.01) == 64
    size.limit(10**6)
    assert _learned(size, lambda rows: rows * 0.001) == 1024
    size.limit(0)
    assert size.rows == 1


def test_a_limit_holds_for_a_size_that_was_named_too() -> None:
    size = CallSize(100, fixed=True)
    size.limit(16)
    assert (size.rows, size.settled) == (16, True)
    size.limit(200)
    assert size.rows == 100
