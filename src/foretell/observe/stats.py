"""A recorder that keeps histograms and counters of one model."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from foretell.observe.histogram import ROWS, SECONDS, Histogram


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
            if self.first_s is None:
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

    @property
    def busy_s(self) -> float:
        """Seconds the model was at work."""
        return self.inference_s.total

    def throughput_rows_s(self) -> float | None:
        """Rows per second between the first and the last call; None before the first."""
        if self.first_s is None or self.last_s <= self.first_s:
            return None
        return self.rows / (self.last_s - self.first_s)
