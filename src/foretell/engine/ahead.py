"""Host work of the next batches while the model has this one, in order and in bounded memory."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

from foretell.config import ModelSettings
from foretell.cores import usable_cores
from foretell.model import Model

ItemT = TypeVar("ItemT")
ReadyT = TypeVar("ReadyT")

_CALL_BYTES = 4 * 2**20
MOST_ROWS = 32_768


@dataclass(frozen=True, slots=True)
class Threads:
    """That run ahead of a caller with much data, and whether they make the calls of the model as well."""

    ahead: int = 0
    make_calls: bool = False


def rows_per_call(row_bytes: int, threads: Threads = Threads()) -> int:
    """Rows of one call where nobody said: about 4 MiB of input, at most 32,768; of calls at the same time, together.

    Larger calls cost memory and were not faster: batches of 100,000 rows of a small model were slower than of 10,000.
    """
    size = min(MOST_ROWS, _CALL_BYTES // max(1, row_bytes))
    return max(1, size // threads.ahead if threads.make_calls else size)


def threads_for(
    model: Model, settings: ModelSettings, num_workers: int | None, *, host_work: bool = False, calls: bool = True
) -> Threads:
    """As many as somebody named, for the work before the model; else what suits the model. `host_work`: there is some
    beside the model's own. `calls`: whether several at a time would do no harm."""
    if num_workers is not None:
        return Threads(num_workers)
    prepares = host_work or type(model).preprocess is not Model.preprocess
    ahead, at_once = min(2, usable_cores()) if prepares else 0, _calls_at_once(model, settings) if calls else 1
    return Threads(ahead) if at_once == 1 else Threads(max(ahead, at_once), make_calls=True)


def _calls_at_once(model: Model, settings: ModelSettings) -> int:
    """One where each has a time limit, which would count while it waits for the others."""
    spec = model.spec
    if settings.timeout_s is not None or not spec.row_wise or spec.stateful:
        return 1
    return (model.calls_at_once if spec.concurrent else 1) * settings.least_replicas


def run_ahead(items: Iterable[ItemT], prepare: Callable[[ItemT], ReadyT], workers: int) -> Generator[ReadyT]:
    """`prepare(item)` of each item, in order; up to `workers + 1` of them exist at a time.

    With `workers` 0 everything happens on the caller's thread. Items are drawn by the workers too, one at a time, so
    that a slow source overlaps with the consumer. The first exception, of the source or of `prepare`, is raised at
    its place in the order. Closing the iterator stops the workers.
    """
    if not workers:
        yield from map(prepare, items)
        return
    source = _Source(items)

    def draw() -> tuple[int, Future[ReadyT]] | None:
        drawn = source.next()
        if drawn is None:
            return None
        number, item = drawn
        ready: Future[ReadyT] = Future()
        try:
            ready.set_result(prepare(item.result()))
        except BaseException as error:
            ready.set_exception(error)
        return number, ready

    pool = ThreadPoolExecutor(workers, thread_name_prefix="foretell-ahead")
    window = deque(pool.submit(draw) for _ in range(workers + 1))
    early: dict[int, Future[ReadyT]] = {}
    wanted = 0
    try:
        while window:
            drawn = window.popleft().result()
            if drawn is None:
                continue
            early[drawn[0]] = drawn[1]
            del drawn  # it would be one more in memory while the consumer has this one
            while wanted in early:
                yield early.pop(wanted).result()
                wanted += 1
                window.append(pool.submit(draw))
    finally:
        source.stop()
        pool.shutdown(wait=True, cancel_futures=True)


class _Source(Generic[ItemT]):
    """Numbers the items of an iterator for threads that share it."""

    def __init__(self, items: Iterable[ItemT]) -> None:
        self._items = iter(items)
        self._lock = threading.Lock()
        self._count = 0
        self._stopped = False

    def next(self) -> tuple[int, Future[ItemT]] | None:
        """The next item and its number, or what the source raised in its place; None at the end."""
        item: Future[ItemT] = Future()
        with self._lock:
            if self._stopped:
                return None
            try:
                item.set_result(next(self._items))
            except StopIteration:
                self._stopped = True
                return None
            except BaseException as error:
                self._stopped = True
                item.set_exception(error)
            self._count += 1
            return self._count - 1, item

    def stop(self) -> None:
        self._stopped = True
