"""How long shards took: a summary that stays small however many they are."""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from foretell.batch.job import Job

_BINS = 24
_SLOWEST = 5


@dataclass(frozen=True, slots=True)
class SlowShard:
    """`first_row`: the number of its first row in its file."""

    file: str
    first_row: int
    rows: int
    seconds: float


@dataclass(frozen=True, slots=True)
class ShardTimes:
    """Of the shards of one run, from the first look at their file to their record. `counts`: shards whose time is in
    each of equal ranges from 0 to `most_s`.
    """

    shards: int
    least_s: float
    median_s: float
    most_s: float
    counts: tuple[int, ...]
    slowest: tuple[SlowShard, ...] = ()


def shard_times(seconds: Mapping[int, float], rows: Mapping[int, int], job: Job) -> ShardTimes | None:
    """`seconds` by the number of the shard; `rows` by the same. None where there is nothing to tell."""
    if not seconds:
        return None
    ordered = sorted(seconds.values())
    slowest = heapq.nlargest(_SLOWEST, seconds, key=lambda number: (seconds[number], -number))
    return ShardTimes(
        len(ordered), ordered[0], ordered[len(ordered) // 2], ordered[-1], _counts(ordered),
        tuple(_slow(number, seconds[number], rows.get(number, 0), job) for number in slowest),
    )  # fmt: skip


def _counts(ordered: Sequence[float]) -> tuple[int, ...]:
    counts = [0] * _BINS
    most = ordered[-1]
    for each in ordered:
        counts[min(_BINS - 1, int(each / most * _BINS)) if most > 0 else 0] += 1
    return tuple(counts)


def _slow(number: int, seconds: float, rows: int, job: Job) -> SlowShard:
    shard = job.plan.shards[number]
    return SlowShard(job.data.files[shard.file].path, shard.first_row, rows, seconds)
