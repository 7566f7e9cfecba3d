"""How often models were loaded while the server ran, how it ended, and how long it took."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Literal

from foretell.observe.histogram import Histogram
from foretell.observe.prometheus import head, histogram_lines

Outcome = Literal["loaded", "reloaded", "unchanged", "failed"]

LOAD_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0)
"""Upper bounds of buckets, seconds."""


class Loads:
    """Safe from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.outcomes: dict[Outcome, int] = {"loaded": 0, "reloaded": 0, "unchanged": 0, "failed": 0}
        self.unloads = 0
        self.duration_s = Histogram(LOAD_SECONDS)

    def ended(self, outcome: Outcome, seconds: float) -> None:
        with self._lock:
            self.outcomes[outcome] += 1
            if outcome in ("loaded", "reloaded"):
                self.duration_s.add(seconds)

    def unloaded(self) -> None:
        with self._lock:
            self.unloads += 1

    def exposition(self) -> str:
        """The lines of Prometheus' text format."""
        with self._lock:
            return "\n".join(self._lines()) + "\n"

    def _lines(self) -> Iterator[str]:
        yield from head("model_loads_total", "Versions of models loaded while serving, by outcome.", "counter")
        for outcome, count in self.outcomes.items():
            yield f'foretell_model_loads_total{{outcome="{outcome}"}} {count}'
        yield from head("model_unloads_total", "Versions of models that were taken out.", "counter")
        yield f"foretell_model_unloads_total {self.unloads}"
        yield from head("model_load_duration_seconds", "Time to load and warm up a version.", "histogram")
        yield from histogram_lines("foretell_model_load_duration_seconds", "", self.duration_s)
