"""Who takes the next client in."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foretell.clock import ManualClock
from foretell.workers.tally import Tally

MOST = 1000
FEW = st.lists(st.integers(0, 40), min_size=2, max_size=6)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(50.0)


@pytest.fixture
def tally(clock: ManualClock) -> Iterator[Tally]:
    made = Tally.made(3, clock.monotonic)
    yield made
    made.close()


def test_alone_a_worker_takes_everybody(tally: Tally) -> None:
    tally.holds(1, 500)
    assert tally.may_take(1, 500, MOST)


def test_who_holds_more_gives_way(tally: Tally) -> None:
    for worker, connections in enumerate((3, 2, 3)):
        tally.holds(worker, connections)
    assert [tally.may_take(worker, connections, MOST) for worker, connections in enumerate((3, 2, 3))] == [
        False,
        True,
        False,
    ]


def test_small_differences_between_large_numbers_count_for_nothing(tally: Tally) -> None:
    tally.holds(0, 100)
    assert tally.may_take(1, 112, MOST)
    assert not tally.may_take(1, 113, MOST)


def test_who_is_full_leaves_clients_to_others_until_all_are(tally: Tally) -> None:
    tally.holds(0, 30)
    tally.holds(1, 31)
    assert tally.may_take(1, 31, 32)
    assert not tally.may_take(1, 32, 32)
    assert not tally.may_take(1, 32, 32, waited=True)
    tally.holds(0, 32)
    assert tally.may_take(1, 32, 32)


def test_who_is_full_leaves_clients_to_others_however_slow_they_are(tally: Tally, clock: ManualClock) -> None:
    tally.holds(0, 31)
    clock.advance(29.9)
    assert not tally.may_take(1, 32, 32, waited=True)
    assert tally.may_take(1, 31, 32)  # who has room waits for nobody that sleeps
    tally.absent(0)
    assert tally.may_take(1, 32, 32)


def test_who_is_full_does_not_wait_for_ever_for_one_that_hangs(tally: Tally, clock: ManualClock) -> None:
    tally.holds(0, 31)
    clock.advance(30.1)
    assert tally.may_take(1, 32, 32)


def test_a_client_does_not_wait_long_for_a_worker_that_is_busy(tally: Tally) -> None:
    tally.holds(0, 3)
    assert not tally.may_take(1, 9, MOST)
    assert tally.may_take(1, 9, MOST, waited=True)


def test_nobody_gives_way_to_a_worker_that_is_gone(tally: Tally) -> None:
    tally.holds(0, 0)
    assert not tally.may_take(1, 5, MOST)
    tally.absent(0)
    assert tally.may_take(1, 5, MOST)


def test_nobody_gives_way_to_a_worker_that_hangs(tally: Tally, clock: ManualClock) -> None:
    tally.holds(0, 0)
    clock.advance(2.9)
    assert not tally.may_take(1, 5, MOST)
    clock.advance(0.2)
    assert tally.may_take(1, 5, MOST)
    tally.holds(0, 0)
    assert not tally.may_take(1, 5, MOST)


@given(held=FEW)
def test_there_is_always_somebody_who_may(held: list[int]) -> None:
    tally = Tally.made(len(held), ManualClock().monotonic)
    for worker, connections in enumerate(held):
        tally.holds(worker, connections)
    may = [tally.may_take(worker, connections, MOST) for worker, connections in enumerate(held)]
    assert may[held.index(min(held))]
    tally.close()


@given(clients=st.integers(1, 200), order=st.randoms(use_true_random=False), workers=st.integers(2, 6))
def test_shares_differ_by_an_eighth_at_most(clients: int, order: object, workers: int) -> None:
    tally, held = Tally.made(workers, ManualClock().monotonic), [0] * workers
    for worker in range(workers):
        tally.holds(worker, 0)
    for _ in range(clients):
        able = [worker for worker in range(workers) if tally.may_take(worker, held[worker], MOST)]
        taker = order.choice(able)  # type: ignore[attr-defined]
        held[taker] += 1
        tally.holds(taker, held[taker])
    assert max(held) <= min(held) + min(held) // 8 + 1
    tally.close()


def test_another_process_sees_it(tally: Tally) -> None:
    script = (
        "import sys, time; from foretell.workers.tally import Tally\n"
        "Tally(int(sys.argv[1]), 3, lambda: 50.0).holds(2, 0)"
    )
    assert tally.may_take(0, 4, MOST)
    subprocess.run([sys.executable, "-c", script, str(tally.descriptor)], pass_fds=[tally.descriptor], check=True)
    assert not tally.may_take(0, 4, MOST)


def test_it_leaves_nothing_open(clock: ManualClock) -> None:
    tally = Tally.made(2, clock.monotonic)
    tally.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(tally.descriptor)
