"""What a job did, for people and for programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import msgspec

from foretell.batch.shard_times import ShardTimes

Outcome = Literal["done", "stopped", "interrupted"]


@dataclass(frozen=True, slots=True)
class Duplicates:
    """Keys that stand more than once: how many, and in how many rows. `examples`: the first rows, as they stand in
    `file`, which names more of them; None where there are none."""

    keys: int = 0
    rows: int = 0
    examples: Sequence[Mapping[str, Any]] = ()
    file: str | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """`rows`: with an answer; `quarantined`: without. `seconds`: of this run; `scored_now`: rows of this run.

    `stages`: seconds that the processes of this run spent in each. `cost`: of this run, where a price was given.
    `quarantine`: the file of the rows without an answer, or None. `html`: this report for people, or None. `error`:
    what stopped the job, or "". `examples`: by reason, one of the rows that ended with it.
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
    """The most at a time."""
    crashes: int
    model: Mapping[str, str]
    stages: Mapping[str, float] = field(default_factory=dict)
    reasons: Mapping[str, int] = field(default_factory=dict)
    quarantine: str | None = None
    cost: float | None = None
    outcome: Outcome = "done"
    error: str = ""
    html: str | None = None
    started_at: str = ""
    """UTC, as is `ended_at`, in the form of ISO 8601."""
    ended_at: str = ""
    files: int = 0
    data: str = ""
    """The first of its files."""
    kind: str = ""
    """Of the files."""
    shards_done: int = 0
    """Of `shards`, whichever run did them."""
    total_rows: int | None = None
    """Of the data, with those that are not scored yet; None where only reading tells."""
    examples: Mapping[str, str] = field(default_factory=dict)
    phases: Mapping[str, float] = field(default_factory=dict)
    """Seconds of this run before the first shard was given out ("start"), while shards were scored ("score"), and while
    the output was put in its place ("publish"); "check": while keys were read again, where they were."""
    events: Sequence[str] = ()
    """What was unusual in this run, the first of it."""
    memory_bytes: int = 0
    """The most that was seen of all processes together; what processes share counts once."""
    shard_times: ShardTimes | None = None
    machine: Mapping[str, str | int] = field(default_factory=dict)
    timeline: Mapping[str, Sequence[float]] = field(default_factory=dict)
    """Of this run: see `batch.timeline.Point`; each field is a list, and all lists are equally long."""
    read_at: str | None = None
    """When the query was read, in UTC; None where the data are files."""
    duplicates: Duplicates | None = None
    """None where keys were not looked at."""

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

    def summary(self) -> dict[str, Any]:
        """The same without the time line."""
        return {key: value for key, value in self.to_dict().items() if key != "timeline"}

    def encoded(self) -> bytes:
        return msgspec.json.format(msgspec.json.encode(self.to_dict()), indent=1)
