"""The engines that `foretell bench` measures: the model as it is set, on more or fewer threads, and with replicas."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from foretell.backends.artefact_file import has_threads
from foretell.catalog import Served
from foretell.cli.loading import load
from foretell.cores import usable_cores
from foretell.errors import InferenceError, NotReady

if TYPE_CHECKING:
    from foretell.bench.measure import Point
    from foretell.columns import Batch
    from foretell.config import ModelSettings
    from foretell.engine.engine import Engine
    from foretell.repository.plan import Planned

_PATIENCE = 4
"""Times the seconds of a measurement: where one caller waits longer for an answer, replicas are not measured."""


@contextlib.contextmanager
def loaded(planned: Planned, settings: ModelSettings, most: int) -> Iterator[Served]:
    """For calls of at most so many rows; without a cache, which would answer in the model's place, and without limits
    that would refuse rows."""
    chosen = replace(settings, cache_size=0, cache_ttl_s=None, slo_ms=None, max_batch_size=max(most, 1))
    served = load(planned, chosen, serves=True)
    try:
        yield served
    finally:
        served.engine.close()


def by_threads(
    planned: Planned, settings: ModelSettings, rows: Batch, points: Sequence[Point], seconds: float
) -> Iterator[Point]:
    """The same calls on one thread and on all, where the runtime lets one choose and nobody has."""
    from foretell.bench.measure import batched

    cores = usable_cores()
    if cores == 1 or settings.threads or settings.batch_invariant or not has_threads(planned.source):
        return
    best = max((point for point in points if point.mode != "micro-batched"), key=lambda point: point.rows_per_s)
    for threads in (1, cores):
        with loaded(planned, replace(settings, threads=threads), best.size) as served:
            for size in sorted({1, best.size}):
                yield batched(served.engine, rows, size, seconds, threads)


def by_replicas(
    planned: Planned, settings: ModelSettings, rows: Batch, points: Sequence[Point], seconds: float, most: int
) -> Iterator[Point]:
    """One replica against several, where nobody has chosen their number. On another device than processors, where
    nothing tells how many fit, and of stateful models there is one."""
    from foretell.bench import replicas

    if most == 1 or settings.most_replicas > 1 or settings.device != "cpu" or settings.executor == "inline":
        return
    together = [point for point in points if point.together]
    best = max(together, key=lambda point: point.rows_per_s)
    largest = max(point.size for point in points)

    def note(line: str) -> None:
        print(f"foretell: note: {line}", file=sys.stderr)

    if best.p50_ms > _PATIENCE * seconds * 1e3:
        note(f"replicas are not measured, since an answer takes {best.p50_ms / 1e3:.3g} s: give more --seconds")
        return

    def opened(number: int) -> contextlib.AbstractContextManager[Engine]:
        return _all_running(planned, replace(settings, replicas=number), largest)

    try:
        yield from replicas.by_replicas(opened, rows, best.size, most, seconds, note)
    except InferenceError as error:
        note(f"replicas are not measured: {error}")


@contextlib.contextmanager
def _all_running(planned: Planned, settings: ModelSettings, most: int) -> Iterator[Engine]:
    """Raises `InferenceError` where one of the replicas cannot be opened."""
    with loaded(planned, settings, most) as served:
        pool, upkeep = served.engine.pool, served.engine.upkeep
        with pool.changed:
            pool.changed.wait_for(
                lambda: len(pool.members) >= settings.replicas or bool(upkeep and upkeep.last_error),
                settings.load_timeout_s,
            )
        if len(pool.members) < settings.replicas:
            raise NotReady(upkeep.last_error if upkeep else "none of them runs")
        yield served.engine
