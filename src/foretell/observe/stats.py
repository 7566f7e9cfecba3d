"""A recorder that keeps histograms and counters of one model."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from typing import TypedDict

from foretell.observe.histogram import ROWS, SECONDS, Counted, Histogram


class Snapshot(TypedDict):
    """All that a recorder knows at one moment, in plain numbers, lists and dicts, for another process to add up."""

    queue_s: Counted
    inference_s: Counted
    total_s: Counted
    batch_rows: Counted
    rows: int
    requests: int
    failures: dict[str, int]
    cache_hits: int
    cache_misses: int
    first_s: float | None
    last_s: float


class Stats:
    """Implements the engine's `Recorder`. Safe from any thread; locked once per batch, not per request."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.queue_s = Histogram(SECONDS)
        self.inference_s = Histogram(SECONDS)
        self.total_s = Histogram(SECONDS)
        self.batch_rows = Histogram(ROWS)
        self.rows = 0
        self.requests = 0
        self.failures: dict[str, int] = {}
        self.cache_hits = 0
        self.cache_misses = 0
        self.first_s: float | None = None
        self.last_s = 0.0

    def completed(self, arrivals: Sequence[float], rows: int, started: float, finished: float) -> None:
        begun = sorted(arrivals)
        with self._lock:
            self.queue_s.add_since(begun, started)
            self.total_s.add_since(begun, finished)
            self.inference_s.add(finished - started)
            self.batch_rows.add(rows)
            self.rows += rows
            self.requests += len(arrivals)
            if self.first_s is None or started < self.first_s:
                self.first_s = started
            self.last_s = max(self.last_s, finished)

    def answered(self, arrivals: Sequence[float], finished: float) -> None:
        with self._lock:
            self.total_s.add_since(sorted(arrivals), finished)
            self.requests += len(arrivals)

    def failed(self, code: str, requests: int = 1) -> None:
        with self._lock:
            self.failures[code] = self.failures.get(code, 0) + requests

    def cache(self, hits: int, misses: int) -> None:
        with self._lock:
            self.cache_hits += hits
            self.cache_misses += misses

    def snapshot(self) -> Snapshot:
        """A copy of everything, of one moment."""
        with self._lock:
            return {
                "queue_s": self.queue_s.counted(),
                "inference_s": self.inference_s.counted(),
                "total_s": self.total_s.counted(),
                "batch_rows": self.batch_rows.counted(),
                "rows": self.rows,
                "requests": self.requests,
                "failures": dict(self.failures),
                "cache_hits": self.cache_hits,
                "cache_misses": self.cache_misses,
                "first_s": self.first_s,
                "last_s": self.last_s,
            }

    def include(self, other: Snapshot) -> None:
        """Adds what another recorder has counted. Raises `ValueError` where its buckets are others."""
        with self._lock:
            self.queue_s.include(other["queue_s"])
            self.inference_s.include(other["inference_s"])
            self.total_s.include(other["total_s"])
            self.batch_rows.include(other["batch_rows"])
            self.rows += other["rows"]
            self.requests += other["requests"]
            for code, count in other["failures"].items():
                self.failures[code] = self.failures.get(code, 0) + count
            self.cache_hits += other["cache_hits"]
            self.cache_misses += other["cache_misses"]
            begun = [first_s for first_s in (self.first_s, other["first_s"]) if first_s is not None]
            self.first_s = min(begun, default=None)
            self.last_s = max(self.last_s, other["last_s"])

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
