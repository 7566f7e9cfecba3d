"""What a run of a stream did, for people and for programs; and how far it is while it runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Protocol

from foretell.saying import Level


@dataclass(frozen=True, slots=True)
class Progress:
    """Of this run, up to now. `events`: that have ended; `dead_letters`: those of them without an answer."""

    events: int
    dead_letters: int
    seconds: float


class Onlooker(Protocol):
    """Told by several threads; it may not raise."""

    def went_on(self, progress: Progress) -> None: ...

    def noted(self, line: str, level: Level) -> None:
        """Something unusual, in a line for people."""
        ...


class Nobody:
    """Looks at nothing."""

    def went_on(self, progress: Progress) -> None:
        """Not looked at."""

    def noted(self, line: str, level: Level) -> None:
        """Not looked at."""


@dataclass(frozen=True, slots=True)
class Report:
    """`events`: that ended in this run, with an answer or as a dead letter; `dead_letters`: those without an answer.

    `events_total` and `dead_letters_total`: of the stream since its beginning. `outcome`: "done" at the end of the
    source, "stopped" where it was told to stop. `dead_letter_file`: None where they stand among the results. `state`:
    the folder of the record, None where the stream cannot be resumed.
    """

    source: str
    sink: str
    events: int
    dead_letters: int
    seconds: float
    outcome: Literal["done", "stopped"]
    model: Mapping[str, str]
    events_total: int = 0
    dead_letters_total: int = 0
    reasons: Mapping[str, int] = field(default_factory=dict)
    """How many dead letters of this run have each code."""
    dead_letter_file: str | None = None
    state: str | None = None
    resumed: bool = False
    """Whether an earlier run had begun it."""
    calls: int = 0
    commits: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    crashes: int = 0
    """Ends of the process of the model."""
    rotations: int = 0
    truncations: int = 0

    @property
    def rate(self) -> float:
        """Events a second of this run."""
        return self.events / self.seconds if self.seconds else 0.0

    def to_dict(self) -> dict[str, Any]:
        """As plain data, with the rate."""
        return {**asdict(self), "events_per_s": self.rate}
