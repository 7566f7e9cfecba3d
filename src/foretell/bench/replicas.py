"""Whether several replicas of the model answer more callers than one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace

from foretell.batch.vitals import available_bytes
from foretell.bench.measure import Point, micro_batched, sizes_to
from foretell.columns import Batch
from foretell.engine.engine import Engine

Opened = Callable[[int], AbstractContextManager[Engine]]
"""The model with so many replicas, all of which run."""

_ROUNDS = 3
_MORE = 1.05
"""Times the rows: where twice as many replicas do less than that, more are not tried."""
_OF_MEMORY = 0.8
_CALLERS_OF_EACH = 4


def by_replicas(
    opened: Opened, rows: Batch, callers: int, most: int, seconds: float, note: Callable[[str], None]
) -> Iterator[Point]:
    """One replica and 2, then one and 4, ... up to `most`: pairs, of the same callers, at least four for each replica.

    Both are measured in turns, three times, and the best counts: so what else the machine does falls on both. Ends, and
    tells `note`, where the memory would not do.
    """
    gain = 1.0
    before_one = available_bytes()
    with opened(1) as one:
        each_bytes = _taken_since(before_one)
        for number in sizes_to(most)[1:]:
            left = available_bytes()
            if left is not None and number * each_bytes > _OF_MEMORY * left:
                note(f"{number} replicas are not measured: they may not fit into the memory that is left")
                return
            with opened(number) as several:
                each_bytes = max(each_bytes, _taken_since(left) // number)
                pair = _in_turns({1: one, number: several}, rows, max(callers, _CALLERS_OF_EACH * number), seconds)
            yield from pair
            before, gain = gain, pair[1].rows_per_s / pair[0].rows_per_s
            if gain < _MORE * before:
                return


def _taken_since(before: int | None) -> int:
    left = available_bytes()
    return 0 if before is None or left is None else max(0, before - left)


def _in_turns(engines: Mapping[int, Engine], rows: Batch, callers: int, seconds: float) -> list[Point]:
    found: dict[int, list[Point]] = {number: [] for number in engines}
    for _ in range(_ROUNDS):
        for number, engine in engines.items():
            found[number].append(micro_batched(engine, rows, callers, seconds))
    return [
        replace(max(points, key=lambda point: point.rows_per_s), replicas=number) for number, points in found.items()
    ]
