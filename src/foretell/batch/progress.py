"""How far a job is, for whoever looks on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from foretell.errors import RowError


@dataclass(frozen=True, slots=True)
class Progress:
    """`rows`, `quarantined`: of all runs of this job; `scored_now`: since this run began. `total_rows`: None where only
    reading tells. `stages`: the share of time that the processes spent in each stage since this run began; "idle" is
    the rest. `call_rows`: rows of one call now.
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

    @property
    def rate(self) -> float:
        """Rows a second since this run began."""
        return self.scored_now / self.elapsed_s if self.elapsed_s > 0 else 0.0

    @property
    def left_s(self) -> float | None:
        """Seconds until the end at this rate; None while nobody can tell."""
        if self.total_rows is None or not self.scored_now:
            return None
        return max(0, self.total_rows - self.rows - self.quarantined) / self.rate

    @property
    def bottleneck(self) -> str:
        """The stage that most time goes into."""
        return max(self.stages, key=lambda stage: self.stages[stage], default="")


class Onlooker(Protocol):
    """Told of a job as it goes on, on the thread that runs it."""

    def began(self, progress: Progress) -> None:
        """The model is loaded, the data is planned."""

    def went_on(self, progress: Progress) -> None:
        """About twice a second."""

    def crashed(self, how: str, rows: str) -> None:
        """A process ended in the middle of `rows`; the search for the row that ends it has begun."""

    def left_out(self, rows: str, why: RowError) -> None:
        """A row that ends processes is left out."""

    def publishes(self) -> None:
        """All shards are done; the output is being put in its place."""


class Nobody:
    """For jobs that nobody looks at."""

    def began(self, progress: Progress) -> None: ...

    def went_on(self, progress: Progress) -> None: ...

    def crashed(self, how: str, rows: str) -> None: ...

    def left_out(self, rows: str, why: RowError) -> None: ...

    def publishes(self) -> None: ...
