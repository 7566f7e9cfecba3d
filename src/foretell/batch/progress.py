"""How far a job is, for whoever looks on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from foretell.errors import RowError


@dataclass(frozen=True, slots=True)
class Progress:
    """`rows`, `quarantined`: of all runs of this job; `scored_now`: since this run began. `total_rows`: None where only
    reading tells. `stages`: the share of time that the processes spent in each stage since this run began; what they
    do at the same time counts for each. `call_rows`: rows of one call now.
    """

    elapsed_s: float
    rows: int
    scored_now: int
    total_rows: int | None
    quarantined: int
    shards_done: int
    shards: int
    stages: Mapping[str, float] = field(default_factory=dict)
    processes: int = 0
    call_rows: int = 0
    seconds: Mapping[str, float] = field(default_factory=dict)
    """What the processes spent in each stage since this run began, all together."""
    crashes: int = 0
    shards_now: int = 0
    """Of `shards_done`, those of this run."""
    committed: int = 0
    """Of `rows`, those whose shards are committed: never fewer than before."""
    bytes: int = 0
    """Of the parts that are committed."""
    reasons: Mapping[str, int] = field(default_factory=dict)
    """How many of the quarantined rows ended with each code."""

    @property
    def rate(self) -> float:
        """Rows a second since this run began."""
        return self.scored_now / self.elapsed_s if self.elapsed_s > 0 else 0.0

    @property
    def left_s(self) -> float | None:
        """Seconds until the end at this rate, of shards where the rows are not known; None while nobody can tell."""
        if self.total_rows is None:
            # The first shard is a small one, and tells nothing of the others.
            known = self.shards_now > 1
            return self.elapsed_s * (self.shards - self.shards_done) / self.shards_now if known else None
        if not self.scored_now:
            return None
        return max(0, self.total_rows - self.rows - self.quarantined) / self.rate

    @property
    def bottleneck(self) -> str:
        """The stage that most time goes into; "" before there was any."""
        spent = {stage: share for stage, share in self.stages.items() if share > 0}
        return max(spent, key=spent.__getitem__, default="")


class Onlooker(Protocol):
    """Told of a job as it goes on, on the thread that runs it."""

    def queried(self, rows: int) -> None:
        """So many rows of the query were read; before `began`, now and then."""

    def began(self, progress: Progress) -> None:
        """The model is loaded, the data is planned."""

    def went_on(self, progress: Progress) -> None:
        """A few times a second."""

    def crashed(self, how: str, rows: str) -> None:
        """A process ended in the middle of `rows`; the search for the row that ends it has begun."""

    def left_out(self, rows: str, why: RowError) -> None:
        """A row that ends processes is left out."""

    def checks_keys(self) -> None:
        """All rows are scored; some keys may stand more than once, and are read again."""

    def publishes(self) -> None:
        """All shards are done; the output is being put in its place."""


class Nobody:
    """For jobs that nobody looks at."""

    def queried(self, rows: int) -> None: ...

    def began(self, progress: Progress) -> None: ...

    def went_on(self, progress: Progress) -> None: ...

    def crashed(self, how: str, rows: str) -> None: ...

    def left_out(self, rows: str, why: RowError) -> None: ...

    def checks_keys(self) -> None: ...

    def publishes(self) -> None: ...
