"""When a worker that died is started again."""

from __future__ import annotations

import pytest

from foretell.clock import ManualClock
from foretell.workers.restarts import Restarts


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(1000.0)


@pytest.fixture
def restarts(clock: ManualClock) -> Restarts:
    return Restarts(clock)


def die(restarts: Restarts, clock: ManualClock, lived_s: float) -> float:
    restarts.started()
    clock.advance(lived_s)
    return restarts.died()


def test_the_first_death_is_mended_at_once(restarts: Restarts, clock: ManualClock) -> None:
    assert die(restarts, clock, 0.01) == 0


def test_who_keeps_dying_waits_longer_and_longer(restarts: Restarts, clock: ManualClock) -> None:
    waits = [die(restarts, clock, 0.5) for _ in range(12)]
    assert waits == pytest.approx([0, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30, 30])


def test_a_crash_loop_of_days_never_waits_longer_than_the_longest(restarts: Restarts, clock: ManualClock) -> None:
    assert [die(restarts, clock, 1) for _ in range(20_000)][-1] == 30


@pytest.mark.parametrize(("lived_s", "wait_s"), [(59.9, 0.4), (60.0, 0.0), (86_400.0, 0.0)])
def test_who_lived_a_minute_begins_anew(restarts: Restarts, clock: ManualClock, lived_s: float, wait_s: float) -> None:
    for _ in range(3):
        die(restarts, clock, 1)
    assert die(restarts, clock, lived_s) == pytest.approx(wait_s)


def test_deaths_are_counted(restarts: Restarts, clock: ManualClock) -> None:
    for lived_s in (1, 100, 1):
        die(restarts, clock, lived_s)
    assert restarts.total == 3
