"""What to set, and why: decided from the figures alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from foretell.batch.report_text import count, counted
from foretell.bench.measure import Point

_NEARLY = 0.95
"""Of the best: what is gained beyond it is not worth longer calls."""
_WORTH = 1.15


@dataclass(frozen=True, slots=True)
class Advice:
    """`flag`: as the command line has it; "" where there is nothing to set."""

    flag: str
    why: str


def advise(points: Sequence[Point], slo_ms: float | None = None) -> list[Advice]:
    """One piece for each question that the figures answer. `slo_ms`: how long 99 of 100 answers may take."""
    alone = next(point for point in points if point.mode == "one by one" and not point.threads)
    calls = [point for point in points if point.mode != "micro-batched" and not point.threads]
    together = [point for point in points if point.together]
    replicas = _replicas([point for point in points if point.replicas], slo_ms)
    return [
        *_batching(alone, calls, slo_ms),
        *_callers(together, alone, slo_ms),
        *_threads([point for point in points if point.threads], several=any(each.flag for each in replicas)),
        *replicas,
    ]


def _batching(alone: Point, calls: Sequence[Point], slo_ms: float | None) -> list[Advice]:
    """The smallest call that is nearly as fast as any. Half of an objective is left for the wait."""
    if all(point.size == 1 for point in calls):
        return []
    quick = [point for point in calls if slo_ms is None or point.p99_ms <= slo_ms / 2]
    if not quick:
        return [Advice("", f"no call, were it of one row, leaves half of {slo_ms:g} ms for the wait: {_least(calls)}")]
    best = max(quick, key=lambda point: point.rows_per_s)
    least = min(
        (point for point in quick if point.rows_per_s >= _NEARLY * best.rows_per_s), key=lambda point: point.size
    )
    gain = least.rows_per_s / alone.rows_per_s
    within = "" if slo_ms is None else f" in calls of at most {slo_ms / 2:g} ms"
    if gain < _WORTH:
        why = f"batches do not pay{within}: {gain:.2f} times the rows of single calls at best"
        return [Advice("--max-batch-size 1", why)]
    is_largest = least.size == max(point.size for point in quick)
    larger = "" if is_largest else "; larger ones give hardly more, and take longer"
    return [Advice(f"--max-batch-size {least.size}", f"{gain:.1f} times the rows of single calls{within}{larger}")]


def _callers(together: Sequence[Point], alone: Point, slo_ms: float | None) -> list[Advice]:
    if not together or (slo_ms is None and all(point.size == 1 for point in together)):
        return []
    kept = [point for point in together if slo_ms is None or point.p99_ms <= slo_ms]
    if not kept:
        return [Advice("", f"99 of 100 answers within {slo_ms:g} ms cannot be had: {_least(together)}")]
    best = max(kept, key=lambda point: point.rows_per_s)
    flag = "" if slo_ms is None else f"--slo-ms {slo_ms:g}"
    why = (
        f"{counted(best.size, 'caller')} at a time get most: {count(best.rows_per_s)} rows/s, 99 of 100 answers within "
        f"{best.p99_ms:.3g} ms; one by one there are {count(alone.rows_per_s)}"
    )
    return [Advice(flag, why)]


def _least(points: Sequence[Point]) -> str:
    return f"{min(point.p99_ms for point in points):.3g} ms at best"


def _threads(tried: Sequence[Point], *, several: bool) -> list[Advice]:
    """One thread against all: of the same calls. `several`: whether replicas are advised, which share the cores."""
    gains = {}
    for size in sorted({point.size for point in tried}):
        some = {point.threads: point for point in tried if point.size == size}
        gains[size] = some[max(some)].rows_per_s / some[min(some)].rows_per_s
    most = max((point.threads for point in tried), default=1)
    if not gains or most == 1:
        return []
    said = " and ".join(f"{gain:.2f} times as fast in calls of {size}" for size, gain in gains.items())
    pays = max(gains.values()) >= _WORTH
    if several:
        return [Advice("", f"of one call alone, {most} threads are {said}; replicas share them")] if pays else []
    if not pays:
        return [Advice("--threads 1", f"{most} threads are {said}, which is not worth the other cores")]
    return [Advice(f"--threads {most}", f"{most} threads are {said}")]


def _replicas(tried: Sequence[Point], slo_ms: float | None) -> list[Advice]:
    """The fewest that do nearly the most, against one: `tried` are pairs of the same callers."""
    gains = {
        several: several.rows_per_s / one.rows_per_s
        for one, several in zip(tried[::2], tried[1::2], strict=True)
        if slo_ms is None or several.p99_ms <= slo_ms
    }
    if not gains:
        return []
    most = max(gains.values())
    fewest = min((point for point, gain in gains.items() if gain >= _NEARLY * most), key=lambda point: point.replicas)
    said = f"{gains[fewest]:.2f} times the rows of one, for {counted(fewest.size, 'caller')} at a time"
    if gains[fewest] < _WORTH:
        return [Advice("", f"replicas do not pay: {fewest.replicas} answer {said}")]
    why = (
        f"{said}: {count(fewest.rows_per_s)} rows/s, 99 of 100 answers within {fewest.p99_ms:.3g} ms; each takes the "
        "memory of the model again"
    )
    return [Advice(f"--replicas {fewest.replicas}", why)]
