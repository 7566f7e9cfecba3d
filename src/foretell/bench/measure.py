"""The three ways a model is asked, each timed until the figures stand still enough."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from foretell.batch.report_text import counted
from foretell.columns import Batch
from foretell.engine.engine import Engine

Mode = Literal["one by one", "micro-batched", "batched"]

_LEAST_CALLS = 5
_SETTLE = 3
"""Calls before the first one that counts."""
_PATIENCE = 10
"""Times the seconds of a measurement, after which one call is enough."""
TOO_LONG = 20
"""Times the seconds of a measurement: where a call takes longer, larger ones are not tried."""
CALLERS = (1, 2, 4, 8, 16, 32, 64, 128)


@dataclass(frozen=True, slots=True)
class Point:
    """One measurement. `size`: rows of a call; of "micro-batched", callers that each ask one row after another.

    `p50_ms`, `p99_ms`: how long one caller waits for a call. `threads`: of a call; 0: as the model has it. `replicas`:
    that were measured against each other; 0: as the settings have it.
    """

    mode: Mode
    size: int
    calls: int
    rows_per_s: float
    p50_ms: float
    p99_ms: float
    threads: int = 0
    replicas: int = 0

    @property
    def way(self) -> str:
        """For people."""
        return counted(self.replicas, "replica") if self.replicas else self.mode

    @property
    def together(self) -> bool:
        """Whether it tells what many callers get of the model as it is set."""
        return self.mode == "micro-batched" and not self.replicas

    def cost_per_million(self, price_per_hour: float) -> float:
        """Of a million rows, at this speed, on a machine at this price."""
        return price_per_hour / 3600 * 1e6 / self.rows_per_s


def sizes_to(most: int) -> tuple[int, ...]:
    """1, 2, 4, ... and `most`."""
    return tuple(sorted({size for size in (2**power for power in range(20)) if size < most} | {most}))


def batched(engine: Engine, rows: Batch, size: int, seconds: float, threads: int = 0) -> Point:
    """Calls of `size` rows, one after the other, past the queue; each row has its turn."""
    calls = [rows.take(np.arange(at, at + size) % rows.rows) for at in range(0, rows.rows, size)]
    now = engine.clock.monotonic
    started = now()
    for at in range(_SETTLE):
        if not at or now() - started < seconds:
            engine.run(calls[at % len(calls)])
    took: list[float] = []
    started = now()
    while not _is_enough(len(took), now() - started, seconds):
        before = now()
        engine.run(calls[len(took) % len(calls)])
        took.append(now() - before)
    mode: Mode = "one by one" if size == 1 else "batched"
    return _point(mode, size, took, len(took) * size, sum(took), threads)


def micro_batched(engine: Engine, rows: Batch, callers: int, seconds: float) -> Point:
    """`callers` at a time, each of which asks one row as soon as the one before is answered: as behind a server."""
    return asyncio.run(_micro_batched(engine, rows, callers, seconds))


async def _micro_batched(engine: Engine, rows: Batch, callers: int, seconds: float) -> Point:
    singles = [rows.slice(at, at + 1) for at in range(rows.rows)]
    now = engine.clock.monotonic
    took: list[float] = []

    async def caller(number: int, until: Callable[[int], bool], keep: list[float]) -> None:
        done = 0
        while not until(done):
            before = now()
            await engine.infer(singles[(number + done) % len(singles)])
            keep.append(now() - before)
            done += 1

    def is_settled(done: int) -> bool:
        return done >= _SETTLE or (done > 0 and now() - started >= seconds)

    started = now()
    await asyncio.gather(*[caller(each, is_settled, []) for each in range(callers)])
    started = now()
    await asyncio.gather(
        *[caller(each, lambda done: _is_enough(done, now() - started, seconds), took) for each in range(callers)]
    )
    return _point("micro-batched", callers, took, len(took), now() - started, 0)


def _point(mode: Mode, size: int, took: Sequence[float], rows: int, lasted_s: float, threads: int) -> Point:
    p50, p99 = (float(each) * 1e3 for each in np.percentile(took, [50, 99]))
    return Point(mode, size, len(took), rows / lasted_s, p50, p99, threads)


def _is_enough(calls: int, lasted_s: float, seconds: float) -> bool:
    return lasted_s >= seconds and (calls >= _LEAST_CALLS or (calls > 0 and lasted_s >= _PATIENCE * seconds))
