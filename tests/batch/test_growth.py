"""Whether more processes are tried, and kept."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from foretell.batch.growth import Growth, Moment

CORES = 2


def play(
    rate: Callable[[int], float], busy: Callable[[int], float], seconds: int = 120, room: int = 64, others: float = 0
) -> list[int]:
    """The numbers of processes that were tried, of a job with so many rows a second and cores so busy with each, and
    with what else the machine does."""
    growth, processes = Growth(CORES, CORES), CORES
    rows = cpu = idle = 0.0
    tried = [processes]
    for second in range(seconds):
        rows, cpu = rows + rate(processes), cpu + busy(processes) * CORES
        idle += max(0, 1 - busy(processes) - others)
        wanted = growth.seen(Moment(second, int(rows), cpu, idle), processes, room)
        if wanted != processes:
            tried.append(wanted)
        processes = wanted
    return tried


def test_busy_cores_get_no_more_processes() -> None:
    assert play(lambda n: 1000, lambda n: 0.95) == [2]


def test_processes_that_wait_are_joined_by_others_while_rows_get_faster() -> None:
    tried = play(lambda n: 100.0 * min(n, 9), lambda n: 0.05 * n)
    assert tried == [2, 3, 4, 6, 9, 13, 9]


def test_cores_that_others_keep_busy_are_left_to_them() -> None:
    assert play(lambda n: 100.0 * n, lambda n: 0.3, others=0.5) == [2]


def test_what_brings_nothing_is_taken_back_for_good() -> None:
    assert play(lambda n: 100.0, lambda n: 0.1) == [2, 3, 2]


def test_cores_that_become_busy_end_it() -> None:
    assert play(lambda n: 100.0 * n, lambda n: min(1, 0.2 * n)) == [2, 3, 4]


@pytest.mark.parametrize("room", [2, 3, 5])
def test_there_are_never_more_than_there_is_room_for(room: int) -> None:
    assert max(play(lambda n: 100.0 * n, lambda n: 0.01, room=room)) == room


def test_there_is_an_end_to_it() -> None:
    assert max(play(lambda n: 100.0 * n, lambda n: 0.001, seconds=1000)) == 8 * CORES


def test_calls_that_take_longer_than_we_look_decide_nothing() -> None:
    growth = Growth(CORES, CORES)
    assert {growth.seen(Moment(second, 5, 0.0, second), CORES, 64) for second in range(60)} == {CORES}
