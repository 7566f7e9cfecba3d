"""One batch on its way through a replica."""

from __future__ import annotations

from concurrent.futures import Future

from foretell.columns import Batch
from foretell.engine.member import Member
from foretell.engine.work import Work
from foretell.model import Context

_NONE = Context()


class Run:
    """Requests that share a call, and the member that has them."""

    __slots__ = (
        "alone",
        "attempt",
        "batch",
        "begun",
        "call",
        "ctx",
        "delivered",
        "ended",
        "expected",
        "finished",
        "inline",
        "lined_up",
        "member",
        "next",
        "open",
        "rows",
        "started",
        "works",
    )

    def __init__(self, member: Member, works: list[Work], attempt: int, started: float) -> None:
        self.member, self.works, self.attempt, self.started = member, works, attempt, started
        self.rows = works[0].rows if len(works) == 1 else sum([work.rows for work in works])
        """Of `works`."""
        self.expected = started
        """When it will probably end."""
        self.finished = started
        """When the model was done with it."""
        self.batch: Batch | None = None
        """What the model got; None before it starts."""
        self.inline = False
        """Whether it ran on the event loop."""
        self.ctx = _NONE
        """What the call was given, once it has begun."""
        self.delivered = False
        """Whether it was answered, so that the end of its pause frees the member (a failed one is searched first)."""
        self.begun = False
        """Whether it was begun in a process of its own, and no thread waits for it."""
        self.call: Future[Batch] | None = None
        """What the worker thread of the member was given, where it runs there."""
        self.lined_up = False
        """Whether it was begun behind another one, which then had not ended."""
        self.open = False
        """Whether requests may still join it, see `Runner.join`."""
        self.next: Run | None = None
        """The one that is lined up behind it."""
        self.alone = False
        """Whether there can be none."""
        self.ended = False
        """Whether the member has been given back."""
