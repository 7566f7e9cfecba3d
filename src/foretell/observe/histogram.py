"""Counts in fixed buckets: cheap to fill, mergeable over processes, good for percentiles."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import TypedDict

SECONDS = (
    0.00005, 0.0001, 0.00015, 0.0002, 0.0003, 0.0004, 0.0005, 0.00075, 0.001, 0.0015, 0.002, 0.003, 0.004, 0.005,
    0.0075, 0.01, 0.015, 0.02, 0.03, 0.04, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0,
    5.0, 10.0, 30.0, 60.0,
)  # fmt: skip
"""Upper bounds of latency buckets, seconds."""

ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 4096, 16384)
"""Upper bounds of batch-size buckets, rows."""


class Counted(TypedDict):
    """The counts of a histogram, bucket by bucket, and the sum of its values."""

    counts: list[int]
    total: float


class Histogram:
    """Counts of values by bucket. Not locked: fill it from one thread, or lose a count now and then."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(self.bounds) + 1)
        self.total = 0.0

    def add(self, value: float, times: int = 1) -> None:
        self.counts[bisect_left(self.bounds, value)] += times
        self.total += value * times

    def add_all(self, values: list[float]) -> None:
        """Counts many values at once; sorts them for it."""
        bounds, counts, at, last = self.bounds, self.counts, 0, len(values)
        self.total += sum(values)
        values.sort()
        while at < last:  # bucket by bucket, not one by one
            bucket = bisect_left(bounds, values[at])
            beyond = bisect_right(values, bounds[bucket], at) if bucket < len(bounds) else last
            counts[bucket] += beyond - at
            at = beyond

    def counted(self) -> Counted:
        return {"counts": list(self.counts), "total": self.total}

    def include(self, other: Counted) -> None:
        """Adds what another histogram of the same buckets has counted. Raises `ValueError` where they are others."""
        if len(other["counts"]) != len(self.counts):
            raise ValueError(f"histograms of {len(self.counts)} and {len(other['counts'])} buckets do not add up")
        self.counts = [ours + theirs for ours, theirs in zip(self.counts, other["counts"], strict=True)]
        self.total += other["total"]

    @property
    def count(self) -> int:
        return sum(self.counts)

    def percentile(self, share: float) -> float | None:
        """The value below which `share` (0 to 1) of the values lie, interpolated within its bucket; None if empty.

        Values beyond the last bound count as that bound.
        """
        count = self.count
        if not count:
            return None
        wanted, seen, low = share * count, 0, 0.0
        for bound, inside in zip(self.bounds, self.counts, strict=False):
            if inside and seen + inside >= wanted:
                return low + (bound - low) * max(0.0, wanted - seen) / inside
            seen += inside
            low = bound
        return self.bounds[-1]
