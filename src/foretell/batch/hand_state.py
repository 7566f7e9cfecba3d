"""What a job knows of one of its processes."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from foretell.batch.board import Seen
from foretell.batch.hand import AnyHand

_PATIENCE_S = 600.0
_PATIENCE_CALLS = 100


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

    def hangs(self, call_timeout_s: float | None) -> bool:
        """Whether the call or the block that is under way takes longer than any is waited for.

        Looks twice: a processor that shows two writes in another order (ARM) may show a new stage beside the moment in
        which the one before it began.
        """
        return all(_takes_too_long(self.hand.board.seen(), call_timeout_s) for _ in range(2))


def _takes_too_long(seen: Seen, call_timeout_s: float | None) -> bool:
    limit = call_timeout_s or max(_PATIENCE_S, _PATIENCE_CALLS * seen.longest_ns / 1e9)
    doing = seen.over_rows()
    return doing is not None and time.monotonic_ns() - doing.since_ns > limit * 1e9
