"""Where batches run: every call ends once, in order, whatever is raised or cancelled or closed meanwhile."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor

import pytest
from engine_models import WAIT_S, Does, Doubler, Gated, answers, rows

from foretell.clock import ManualClock
from foretell.columns import Batch
from foretell.config import ModelSettings
from foretell.engine.executors import Executor, ThreadExecutor
from foretell.engine.replica import Replica
from foretell.errors import ModelError, NotReady
from foretell.model import Context, Model


def replica_of(model: Model) -> Replica:
    return Replica(model, ModelSettings(), ManualClock(), "model 'm'")


def threaded(model: Model) -> ThreadExecutor:
    return ThreadExecutor(replica_of(model), "m")


KINDS: list[Callable[[Model], Executor]] = [threaded]


@pytest.mark.parametrize("make", KINDS, ids=["thread"])
class TestEvery:
    def test_answers(self, make: Callable[[Model], Executor]) -> None:
        executor = make(Doubler())
        futures = [executor.submit(rows(n, n + 1), Context()) for n in range(20)]
        assert [answers(future.result(WAIT_S)) for future in futures] == [[2 * n, 2 * n + 2] for n in range(20)]
        executor.close()

    def test_an_error_is_of_its_call_only(self, make: Callable[[Model], Executor]) -> None:
        executor = make(Doubler())
        futures = [executor.submit(rows(n), Context()) for n in (1, -1, 2)]
        with pytest.raises(ModelError, match="negative"):
            futures[1].result(WAIT_S)
        assert [answers(futures[at].result(WAIT_S)) for at in (0, 2)] == [[2], [4]]
        executor.close()

    def test_closing_twice_is_harmless(self, make: Callable[[Model], Executor]) -> None:
        executor = make(Doubler())
        executor.close()
        executor.close()


def test_a_thread_runs_in_the_order_of_submission() -> None:
    model = Doubler()
    executor = threaded(model)
    futures = [executor.submit(rows(n), Context()) for n in range(50)]
    futures[-1].result(WAIT_S)
    assert model.seen == list(range(50))
    executor.close()


def test_even_an_interrupt_ends_its_call_and_not_the_thread() -> None:
    def interrupt(call: int, batch: Batch) -> None:
        if call == 0:
            raise KeyboardInterrupt

    executor = threaded(Does(interrupt))
    first, second = executor.submit(rows(1), Context()), executor.submit(rows(2), Context())
    assert isinstance(first.exception(WAIT_S), KeyboardInterrupt)
    assert answers(second.result(WAIT_S)) == [4]
    executor.close()


def test_what_has_not_started_can_be_cancelled_and_lets_go_of_its_batch() -> None:
    model = Gated()
    executor = threaded(model)
    running = executor.submit(rows(1), Context())
    assert model.started.wait(WAIT_S)
    batch = rows(2)
    data = weakref.ref(batch.dense("x"))
    cancelled, last = executor.submit(batch, Context()), executor.submit(rows(3), Context())
    assert cancelled.cancel()
    del batch
    gc.collect()
    assert data() is None, "a cancelled call holds its rows until its turn comes"
    model.gate.set()
    assert answers(running.result(WAIT_S)) == [2] and answers(last.result(WAIT_S)) == [6]
    with pytest.raises(CancelledError):
        cancelled.result(WAIT_S)
    assert model.seen == [1, 3]
    executor.close()


def test_closing_ends_what_waits_and_finishes_what_runs() -> None:
    ready = threading.Event()

    def closes(call: int, batch: Batch) -> None:
        assert ready.wait(WAIT_S)
        executor.close()

    model = Does(closes)
    executor = threaded(model)
    running = executor.submit(rows(1), Context())
    given_up, waiting = executor.submit(rows(2), Context()), [executor.submit(rows(3), Context())]
    given_up.cancel()
    ready.set()
    assert answers(running.result(WAIT_S)) == [2]
    waiting.append(executor.submit(rows(4), Context()))
    for future in waiting:
        with pytest.raises(NotReady, match="closed"):
            future.result(WAIT_S)
    assert model.seen == [1]


def test_nothing_that_is_submitted_while_it_closes_is_forgotten() -> None:
    for _ in range(50):
        executor, made, ready = threaded(Doubler()), list[Future[Batch]](), threading.Barrier(3)

        def submit(executor: ThreadExecutor, made: list[Future[Batch]], ready: threading.Barrier) -> None:
            ready.wait(WAIT_S)
            made.extend(executor.submit(rows(n), Context()) for n in range(20))

        with ThreadPoolExecutor(2) as pool:
            asked = [pool.submit(submit, executor, made, ready) for _ in range(2)]
            ready.wait(WAIT_S)
            executor.close()
            for future in asked:
                future.result(WAIT_S)
        assert len(made) == 40
        assert all(isinstance(future.exception(WAIT_S), (NotReady, type(None))) for future in made)


def test_an_idle_thread_holds_no_batch() -> None:
    executor = threaded(Doubler())
    batch = rows(1, 2)
    data = weakref.ref(batch.dense("x"))
    executor.submit(batch, Context()).result(WAIT_S)
    executor.submit(rows(3), Context()).result(WAIT_S)
    del batch
    gc.collect()
    assert data() is None
    executor.close()


def test_who_waits_for_the_replica_to_be_free_hears_of_it_after_the_answer() -> None:
    order: list[str] = []
    freed = threading.Event()

    def on_free() -> None:
        order.append("free")
        freed.set()

    executor = threaded(Doubler())
    for _ in range(50):
        freed.clear()
        order.clear()
        executor.submit(
            rows(1),
            Context(),
            on_done=lambda future, took_s: order.append("done"),
            on_free=on_free,
        )
        assert freed.wait(WAIT_S)
        assert order == ["done", "free"]
    executor.close()


def test_waiting_counts_what_has_not_started() -> None:
    model = Gated()
    executor = threaded(model)
    futures = [executor.submit(rows(n), Context()) for n in range(4)]
    assert model.started.wait(WAIT_S)
    assert executor.waiting == 3
    model.gate.set()
    futures[-1].result(WAIT_S)
    assert executor.waiting == 0
    executor.close()


def test_it_tells_for_how_long_its_thread_has_computed() -> None:
    def compute(call: int, batch: Batch) -> None:
        until = time.thread_time() + 0.02
        while time.thread_time() < until:
            continue

    executor = threaded(Does(compute))
    before = executor.cpu_s
    executor.submit(rows(1), Context()).result(WAIT_S)
    assert executor.cpu_s - before >= 0.02
    executor.close()
    assert executor.cpu_s == 0.0
