"""The two queues before the replicas: interactive requests, and bulk ones, which take what those leave idle."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from foretell.engine import policy
from foretell.engine.lengths import Lengths
from foretell.engine.profile import Profile
from foretell.engine.waiting import Waiting
from foretell.engine.work import Work

_LATELY_S = 1.0
_REMEMBER_S = 5.0
_LEARN = 0.1


class Lanes:
    """Says who is next. Bulk work rides along where it costs nothing, runs in small calls while nobody interactive
    waits, and is never left without 2% of the time."""

    def __init__(self, max_rows: int, profile: Profile) -> None:
        self.lengths = Lengths()
        """What calls cost by the elements in them; learned only of a model whose rows may be filled up."""
        self.interactive, self.bulk = Waiting(self.lengths), Waiting(self.lengths)
        self._max_rows, self._profile = max_rows, profile
        self.counts = False
        """Whether there was ever bulk work; before, `ran` need not be told."""
        self._total_s = self._bulk_s = 0.0
        self._interactive_s = 0.0
        self._interactive_at = float("-inf")

    def __bool__(self) -> bool:
        return bool(self.interactive.groups or self.bulk.groups)

    def __iter__(self) -> Iterator[Work]:
        yield from self.interactive
        yield from self.bulk

    @property
    def rows(self) -> int:
        return self.interactive.rows + self.bulk.rows

    @property
    def bulk_share(self) -> float:
        """Of the time of calls lately."""
        return self._bulk_s / self._total_s if self._total_s else 0.0

    def of(self, work: Work) -> Waiting:
        """The queue of a request."""
        if not work.group.bulk:
            return self.interactive
        self.counts = True
        return self.bulk

    def take(self, max_rows: int, now: float) -> list[Work]:
        """The next batch's requests, which share a call; at most `max_rows` rows unless the first alone is larger."""
        if not self.bulk.groups:
            return self.interactive.take(max_rows)
        if not self.interactive.groups or policy.bulk_starves(self._bulk_s, self._total_s):
            lately = self._interactive_s if now - self._interactive_at < _LATELY_S else None
            return self.bulk.take(min(max_rows, policy.bulk_rows(self._profile, lately, self._max_rows)))
        works = self.interactive.take(max_rows)
        rows = sum([work.rows for work in works])
        riding = policy.riding_rows(self._profile, rows, max_rows)
        if riding and works[0].group.bulk_twin is not None:
            works += self.bulk.take_of(works[0].group.bulk_twin, riding)
        return works

    def ran(self, works: Sequence[Work], seconds: float, now: float) -> None:
        """A batch took `seconds` and has ended."""
        bulk = [work.rows for work in works if work.group.bulk]
        rows = sum([work.rows for work in works])
        self._total_s += seconds
        self._bulk_s += seconds * sum(bulk) / max(1, rows)
        if self._total_s > _REMEMBER_S:
            self._total_s, self._bulk_s = self._total_s / 2, self._bulk_s / 2
        if len(bulk) < len(works):
            # The first of a batch has waited longest.
            self._interactive_s += _LEARN * (now - works[0].arrived - self._interactive_s)
            self._interactive_at = now

    def clear(self) -> list[Work]:
        """Takes everything."""
        return self.interactive.clear() + self.bulk.clear()

    def forget_ended(self) -> None:
        self.interactive.forget_ended()
        self.bulk.forget_ended()
