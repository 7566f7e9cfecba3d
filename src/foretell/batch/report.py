"""What a job did, for people and for programs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import msgspec


@dataclass(frozen=True, slots=True)
class Report:
    """`rows`: with an answer; `quarantined`: without. `seconds`: of this run; `scored_now`: rows of this run.

    `stages`: seconds that the processes of this run spent in each. `cost`: of this run, where a price was given.
    `quarantine`: the file of the rows without an answer, or None.
    """

    out: str
    rows: int
    quarantined: int
    scored_now: int
    seconds: float
    shards: int
    shards_now: int
    bytes_in: int
    bytes_out: int
    processes: int
    crashes: int
    model: Mapping[str, str]
    stages: Mapping[str, float] = field(default_factory=dict)
    reasons: Mapping[str, int] = field(default_factory=dict)
    quarantine: str | None = None
    cost: float | None = None

    @property
    def rate(self) -> float:
        """Rows a second of this run, from its start to the output in its place."""
        return self.scored_now / self.seconds if self.seconds else 0.0

    @property
    def seconds_per_million(self) -> float | None:
        """Of this run, for a million rows; None where it scored none."""
        return 1e6 / self.rate if self.scored_now and self.seconds else None

    @property
    def cost_per_million(self) -> float | None:
        """In the currency of the price that was given."""
        return None if self.cost is None or not self.scored_now else self.cost * 1e6 / self.scored_now

    def to_dict(self) -> dict[str, Any]:
        """As plain data, with the rates."""
        more = {"rows_per_s": self.rate, "seconds_per_million": self.seconds_per_million,
                "cost_per_million": self.cost_per_million}  # fmt: skip
        return {**asdict(self), **more}

    def encoded(self) -> bytes:
        return msgspec.json.format(msgspec.json.encode(self.to_dict()), indent=1)
