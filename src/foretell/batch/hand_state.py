"""What a job knows of one of its processes."""

from __future__ import annotations

from dataclasses import dataclass, field

from foretell.batch.hand import AnyHand


@dataclass(slots=True)
class HandState:
    """Changes as the process is given shards, and does them."""

    hand: AnyHand
    device: str
    ready: bool = False
    since: float | None = None
    """When it was given its first shard."""
    shards: list[int] = field(default_factory=list)
    """What it has: one that it scores, one that it commits or that waits."""
    last: int | None = None
    stuck: bool = False
    leaving: bool = False
    """It gets no more shards, and ends once it has done those it has."""
