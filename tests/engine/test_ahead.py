"""Host work ahead of the model: in order, bounded, and ended with its consumer."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Iterator

import pytest
from engine_models import WAIT_S
from hypothesis import given
from hypothesis import strategies as st

from foretell.engine.ahead import rows_per_call, run_ahead


class Item:
    pass


class Live:
    """Knows how many of its items are in memory."""

    def __init__(self) -> None:
        self.items: weakref.WeakSet[Item] = weakref.WeakSet()
        self.drawn = 0

    def source(self, count: int) -> Iterator[Item]:
        for _ in range(count):
            item = Item()
            self.items.add(item)
            self.drawn += 1
            yield item
            del item


@given(count=st.integers(0, 40), workers=st.integers(0, 5))
def test_everything_comes_in_order_and_once(count: int, workers: int) -> None:
    assert list(run_ahead(iter(range(count)), lambda item: item * 2, workers)) == [n * 2 for n in range(count)]


def test_a_later_item_that_is_ready_first_waits_for_its_turn() -> None:
    second = threading.Event()

    def prepare(item: int) -> int:
        if item == 0:
            assert second.wait(WAIT_S)
        elif item == 1:
            second.set()
        return item

    assert list(run_ahead(iter(range(4)), prepare, 2)) == [0, 1, 2, 3]


@pytest.mark.parametrize("workers", [0, 1, 4])
def test_no_more_items_are_in_memory_than_promised(workers: int) -> None:
    live, most = Live(), 0
    for item in run_ahead(live.source(200), lambda item: item, workers):
        gc.collect(0)
        most = max(most, len(live.items))
        del item
    assert live.drawn == 200
    assert most <= workers + 2, "workers and one more are promised; the source's own frame holds one"


@pytest.mark.parametrize("workers", [0, 1, 3])
@pytest.mark.parametrize("at", [0, 1, 7])
def test_what_fails_is_raised_at_its_place(workers: int, at: int) -> None:
    def prepare(item: int) -> int:
        if item == at:
            raise KeyError(item)
        return item

    assert drained(run_ahead(iter(range(20)), prepare, workers)) == list(range(at))


def drained(items: Iterator[int]) -> list[int]:
    seen = []
    try:
        for item in items:
            seen.append(item)
    except (KeyError, OSError):
        return seen
    raise AssertionError("nothing was raised")


def test_a_failure_that_is_known_early_waits_for_those_before_it() -> None:
    failed = threading.Event()

    def prepare(item: int) -> int:
        if item == 1:
            failed.set()
            raise KeyError(item)
        assert failed.wait(WAIT_S)
        return item

    assert drained(run_ahead(iter(range(9)), prepare, 2)) == [0]


@pytest.mark.parametrize("workers", [0, 2])
def test_what_the_source_raises_comes_after_what_it_gave(workers: int) -> None:
    def source() -> Iterator[int]:
        yield from range(5)
        raise OSError("the disk is gone")

    assert drained(run_ahead(source(), lambda item: item, workers)) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("workers", [1, 3])
def test_closing_early_stops_the_workers_and_draws_no_more(workers: int) -> None:
    live, before = Live(), threading.active_count()
    made = run_ahead(live.source(10_000), lambda item: item, workers)
    next(made)
    assert threading.active_count() > before
    made.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before
    assert live.drawn <= workers + 2


def test_the_source_runs_while_the_consumer_is_busy() -> None:
    drawn_second = threading.Event()

    def source() -> Iterator[int]:
        yield 0
        drawn_second.set()
        yield 1

    made = run_ahead(source(), lambda item: item, 1)
    assert next(made) == 0
    assert drawn_second.wait(WAIT_S), "the next item was not drawn while the consumer had this one"
    assert list(made) == [1]


def test_preparing_runs_in_parallel_with_itself() -> None:
    together = threading.Barrier(3, timeout=WAIT_S)

    def prepare(item: int) -> int:
        together.wait()
        return item

    assert list(run_ahead(iter(range(3)), prepare, 3)) == [0, 1, 2]


def test_without_workers_nothing_is_drawn_before_it_is_wanted() -> None:
    live = Live()
    made = run_ahead(live.source(10), lambda item: item, 0)
    assert live.drawn == 0
    next(made)
    assert live.drawn == 1


@given(st.integers(0, 2**40))
def test_a_call_has_a_few_megabytes_and_at_least_a_row(row_bytes: int) -> None:
    rows = rows_per_call(row_bytes)
    assert 1 <= rows <= 32_768
    assert rows == 1 or rows * row_bytes <= 4 * 2**20
