"""Time that is passed in."""

from __future__ import annotations

from foretell.clock import Clock, ManualClock, SystemClock


def test_a_manual_clock_moves_only_when_told() -> None:
    clock = ManualClock(5.0)
    assert (clock.monotonic(), clock.monotonic()) == (5.0, 5.0)
    clock.advance(2.5)
    assert clock.monotonic() == 7.5


def test_sleep_moves_a_manual_clock_and_is_recorded() -> None:
    clock = ManualClock()
    clock.sleep(0.5)
    clock.sleep(1.5)
    assert clock.slept == [0.5, 1.5]
    assert clock.monotonic() == 2.0


def test_the_system_clock_never_goes_back() -> None:
    clock: Clock = SystemClock()
    times = [clock.monotonic() for _ in range(1000)]
    assert times == sorted(times)
