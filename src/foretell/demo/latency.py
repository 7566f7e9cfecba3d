"""What a row costs when each is asked on its own, and when they are asked together."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from foretell.demo.task import Array, Task
from foretell.predictor import Predictor

SIZES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
QUICK_SIZES = (1, 10, 100)
_LEAST_S = 0.05
_LEAST_ROUNDS = 3
_MOST_ROUNDS = 200


@dataclass(frozen=True, slots=True)
class Curve:
    """Milliseconds for a row, the median of several rounds, for each number of rows in `sizes`."""

    model: str
    sizes: tuple[int, ...]
    real_time_ms: tuple[float, ...]
    batched_ms: tuple[float, ...]

    @property
    def gain(self) -> float:
        """How many times less a row costs in the largest batch than on its own."""
        return self.real_time_ms[-1] / self.batched_ms[-1]


def measure(task: Task, predictor: Predictor, sizes: Sequence[int]) -> Curve:
    """`predict` row by row against one `predict_batch`, over the same rows."""
    real_time, batched = [], []
    for size in sizes:
        rows = task.first(size)
        real_time.append(_median_s(partial(_each, predictor, rows)) * 1000 / size)
        batched.append(_median_s(partial(predictor.predict_batch, rows, batch_size=size)) * 1000 / size)
    return Curve(task.name, tuple(sizes), tuple(real_time), tuple(batched))


def _each(predictor: Predictor, rows: Array | list[str]) -> None:
    for row in rows:
        predictor.predict(row)


def _median_s(work: Callable[[], object]) -> float:
    """Of rounds that take `_LEAST_S` together, or of three where one takes long; the first round only warms up."""
    work()
    lasted: list[float] = []
    while len(lasted) < _LEAST_ROUNDS or (sum(lasted) < _LEAST_S and len(lasted) < _MOST_ROUNDS):
        started = time.perf_counter()
        work()
        lasted.append(time.perf_counter() - started)
    return float(np.median(lasted))
