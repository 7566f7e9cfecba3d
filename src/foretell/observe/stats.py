"""A recorder that keeps histograms and counters of one model."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Generic, TypedDict, TypeVar

from foretell.observe.histogram import ROWS, SECONDS, Counted, Histogram

_MOST_NEW = 64
_MOST_NEW_REQUESTS = 512
Value = TypeVar("Value")


class Snapshot(TypedDict):
    """All that a recorder knows at one moment, in plain numbers, lists and dicts, for another process to add up."""

    queue_s: Counted
    inference_s: Counted
    total_s: Counted
    batch_rows: Counted
    first_item_s: Counted
    rows: int
    padded: int
    requests: int
    failures: dict[str, int]
    cache_hits: int
    cache_misses: int
    streams: int
    stream_items: int
    first_s: float | None
    last_s: float


class _Counted(Generic[Value]):
    """An attribute that tells of everything up to now: whoever reads it has the new batches counted first."""

    def __set_name__(self, owner: type[Stats], name: str) -> None:
        self._name = f"_{name}"

    def __get__(self, stats: Stats, owner: type[Stats]) -> Value:
        stats.count_new()
        value: Value = getattr(stats, self._name)
        return value


class Stats:
    """Implements the engine's `Recorder`. Safe from any thread.

    What a batch tells is only put down at first, and counted for several batches together, or when somebody looks:
    the code that counts would be in the way of every batch.
    """

    queue_s = _Counted[Histogram]()
    inference_s = _Counted[Histogram]()
    total_s = _Counted[Histogram]()
    batch_rows = _Counted[Histogram]()
    rows = _Counted[int]()
    requests = _Counted[int]()
    first_s = _Counted["float | None"]()
    last_s = _Counted[float]()

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._new: deque[tuple[Sequence[float], int, float, float]] = deque()
        self._queue_s, self._total_s = Histogram(SECONDS), Histogram(SECONDS)
        self._inference_s = Histogram(SECONDS)
        self._batch_rows = Histogram(ROWS)
        self._new_requests = 0
        self.first_item_s = Histogram(SECONDS)
        self._rows = self._requests = 0
        self.padded = 0
        """Elements that rows were filled up with, to have the length of others in their call."""
        self.failures: dict[str, int] = {}
        self.cache_hits = 0
        self.cache_misses = 0
        self.streams = self.stream_items = 0
        """Streams that have ended, well or not, and their items."""
        self._first_s: float | None = None
        self._last_s = 0.0

    def completed(self, arrivals: Sequence[float], rows: int, started: float, finished: float, padded: int = 0) -> None:
        self._new.append((arrivals, rows, started, finished))
        self._new_requests += len(arrivals)
        if padded:
            with self._lock:
                self.padded += padded
        if len(self._new) >= _MOST_NEW or self._new_requests >= _MOST_NEW_REQUESTS:
            self.count_new()

    def count_new(self) -> None:
        """Counts the batches that were only put down. Reading an attribute does it."""
        if not self._new:
            return
        with self._lock:
            self._new_requests = 0
            queue_s: list[float] = []
            total_s: list[float] = []
            new = [self._new.popleft() for _ in range(len(self._new))]
            if not new:  # another thread was faster
                return
            for arrivals, _, started, finished in new:
                queue_s += [started - arrived for arrived in arrivals]
                total_s += [finished - arrived for arrived in arrivals]
            first_s = min([started for _, _, started, _ in new])
            self._first_s = first_s if self._first_s is None else min(first_s, self._first_s)
            self._last_s = max(self._last_s, *[finished for _, _, _, finished in new])
            self._rows += sum([rows for _, rows, _, _ in new])
            self._requests += len(total_s)
            self._inference_s.add_all([finished - started for _, _, started, finished in new])
            self._batch_rows.add_all([rows for _, rows, _, _ in new])
            self._queue_s.add_all(queue_s)
            self._total_s.add_all(total_s)

    def answered(self, arrivals: Sequence[float], finished: float) -> None:
        with self._lock:
            self._total_s.add_all([finished - arrived for arrived in arrivals])
            self._requests += len(arrivals)

    def failed(self, code: str, requests: int = 1) -> None:
        with self._lock:
            self.failures[code] = self.failures.get(code, 0) + requests

    def cache(self, hits: int, misses: int) -> None:
        with self._lock:
            self.cache_hits += hits
            self.cache_misses += misses

    def first_item(self, arrived: float, at: float) -> None:
        with self._lock:
            self.first_item_s.add(at - arrived)

    def streamed(self, arrived: float | None, finished: float, items: int, rows: int) -> None:
        with self._lock:
            self.streams += 1
            self.stream_items += items
            self._rows += rows
            if arrived is not None:
                self._total_s.add(finished - arrived)
                self._requests += 1

    def snapshot(self) -> Snapshot:
        """A copy of everything, of one moment."""
        self.count_new()
        with self._lock:
            return {
                "queue_s": self._queue_s.counted(),
                "inference_s": self._inference_s.counted(),
                "total_s": self._total_s.counted(),
                "batch_rows": self._batch_rows.counted(),
                "first_item_s": self.first_item_s.counted(),
                "rows": self._rows,
                "padded": self.padded,
                "requests": self._requests,
                "failures": dict(self.failures),
                "cache_hits": self.cache_hits,
                "cache_misses": self.cache_misses,
                "streams": self.streams,
                "stream_items": self.stream_items,
                "first_s": self._first_s,
                "last_s": self._last_s,
            }

    def include(self, other: Snapshot) -> None:
        """Adds what another recorder has counted. Raises `ValueError` where its buckets are others."""
        with self._lock:
            self._queue_s.include(other["queue_s"])
            self._inference_s.include(other["inference_s"])
            self._total_s.include(other["total_s"])
            self._batch_rows.include(other["batch_rows"])
            self.first_item_s.include(other["first_item_s"])
            self._rows += other["rows"]
            self.padded += other["padded"]
            self._requests += other["requests"]
            for code, count in other["failures"].items():
                self.failures[code] = self.failures.get(code, 0) + count
            self.cache_hits += other["cache_hits"]
            self.cache_misses += other["cache_misses"]
            self.streams += other["streams"]
            self.stream_items += other["stream_items"]
            begun = [first_s for first_s in (self._first_s, other["first_s"]) if first_s is not None]
            self._first_s = min(begun, default=None)
            self._last_s = max(self._last_s, other["last_s"])

    @property
    def busy_s(self) -> float:
        """Seconds the model was at work."""
        return self.inference_s.total

    def throughput_rows_s(self) -> float | None:
        """Rows per second between the first and the last call; None before the first."""
        if self.first_s is None or self.last_s <= self.first_s:
            return None
        return self.rows / (self.last_s - self.first_s)


def merge(snapshots: Iterable[Snapshot]) -> Stats:
    """What several recorders have counted together. Their clock must be one, as that of a machine is."""
    merged = Stats()
    for snapshot in snapshots:
        merged.include(snapshot)
    return merged
