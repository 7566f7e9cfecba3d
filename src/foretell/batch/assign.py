"""Which shard a process takes next: a pure decision."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Collection, Sequence

from foretell.batch.job import Job
from foretell.compression import compression_of


def may_reserve(missing: int, processes: int, busy: int) -> bool:
    """Whether a process may have another shard in reserve, of `missing` that nobody has: where those of the `processes`
    that are not `busy` have one to begin with, and each has one after it."""
    return missing >= processes + max(0, processes - busy)


def next_of(job: Job, missing: Sequence[int], last: int | None, reached: Collection[int]) -> int | None:
    """The shard of a job to take, of those that are `missing`: as `next_shard` has it, and as `next_forward` has it
    where files are compressed."""
    shards, files = job.plan.shards, job.data.files
    if not missing or compression_of(files[shards[missing[0]].file].path) is None:
        return next_shard(missing, last, reached)
    return next_forward(missing, last, reached, lambda shard: shards[shard].file)


def next_shard(missing: Sequence[int], last: int | None, reached: Collection[int]) -> int | None:
    """The shard to take, of those that are `missing` and that nobody has, in ascending order; None where there is none.

    The one after its `last`, which it reads on to without looking for it; else the first, while nobody works towards
    it; else from the middle of the longest run, whose beginning another process comes to. `reached`: the last shards
    of the others.
    """
    if not missing:
        return None
    if last is not None:
        at = bisect_left(missing, last + 1)
        if at < len(missing) and missing[at] == last + 1:
            return last + 1
    runs = _runs(missing)
    for start, _ in runs:
        if start - 1 not in reached:
            return start
    start, stop = max(runs, key=lambda run: run[1] - run[0])
    return start + (stop - start) // 2


def next_forward(
    missing: Sequence[int], last: int | None, reached: Collection[int], file_of: Callable[[int], int]
) -> int:
    """The same where a file is read only from its beginning on: the next one of the file that the `last` was of; else
    the first of a file that nobody reads; else the first, and so nobody ever goes back without need. `missing` has at
    least one."""
    if last is not None:
        at = bisect_left(missing, last + 1)
        if at < len(missing) and file_of(missing[at]) == file_of(last):
            return missing[at]
    read = {file_of(shard) for shard in reached}
    return next((shard for shard in missing if file_of(shard) not in read), missing[0])


def _runs(missing: Sequence[int]) -> list[tuple[int, int]]:
    """Consecutive numbers as [start, stop)."""
    runs: list[tuple[int, int]] = []
    for number in missing:
        if runs and runs[-1][1] == number:
            runs[-1] = runs[-1][0], number + 1
        else:
            runs.append((number, number + 1))
    return runs
