"""A Python model that holds the GIL for 2 ms a batch; the same in foretell and in mosec.

`Busy("clock")` spins until 2 ms have passed on the clock. `Busy("work:N")` counts to N, which takes 2 ms on a core of
its own and longer where cores are short.
"""

from __future__ import annotations

import time

import numpy as np

HOLD_S = 0.002


class Busy:
    def __init__(self, how: str) -> None:
        kind, _, count = how.partition(":")
        if kind not in {"clock", "work"}:
            raise ValueError(f"wrong model {how!r}")
        self._count = int(count) if kind == "work" else None

    def predict(self, rows: np.ndarray) -> np.ndarray:
        """The sum of each row, [rows, 1]."""
        if self._count is None:
            until = time.perf_counter() + HOLD_S
            while time.perf_counter() < until:
                pass
        else:
            spin(self._count)
        return np.asarray(rows.sum(axis=1, keepdims=True))


def spin(count: int) -> int:
    total = 0
    while total < count:
        total += 1
    return total


def steps_of_hold() -> int:
    """How far `spin` counts in 2 ms, where nothing else wants the core."""
    sample = 100_000
    times = []
    for _ in range(7):
        started = time.perf_counter()
        spin(sample)
        times.append(time.perf_counter() - started)
    return round(sample * HOLD_S / min(times))
