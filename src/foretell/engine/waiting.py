"""The queue before a replica: requests by group, taken in turns, counted in rows."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence

from foretell.engine import policy
from foretell.engine.lengths import Lengths, companions
from foretell.engine.work import Group, Work


class Waiting:
    """Requests that wait. Those of one group leave together; the group that has waited longest has the next turn."""

    def __init__(self, lengths: Lengths) -> None:
        self._lengths = lengths
        self.groups: dict[Group, deque[Work]] = {}
        """The groups that have requests here, in the order of their turns."""
        self.rows = 0

    def __iter__(self) -> Iterator[Work]:
        for queue in self.groups.values():
            yield from queue

    def add(self, work: Work) -> None:
        self.rows += work.rows
        queue = self.groups.get(work.group)
        if queue is None:
            queue = self.groups[work.group] = deque()
        queue.append(work)

    def take(self, max_rows: int) -> list[Work]:
        """The next batch's requests, at most `max_rows` rows unless the first is larger; empty where nothing waits."""
        if not self.groups:
            return []
        group, queue = next(iter(self.groups.items()))
        del self.groups[group]
        if self.rows <= max_rows and not self.groups and group.mergeable:  # the usual case: all of it
            self.rows = 0
            return list(queue)
        count = policy.take((work.rows for work in queue), max_rows) if group.mergeable else 1
        if count == len(queue):
            works = list(queue)
        else:
            works = [queue.popleft() for _ in range(count)]
            self.groups[group] = queue
        taken = sum([work.rows for work in works])
        self.rows -= taken
        if group.family is not None and 0 < taken < max_rows:
            works += self._relatives(group, taken, max_rows - taken)
        return works

    def _relatives(self, group: Group, rows: int, free_rows: int) -> list[Work]:
        """Requests of other lengths for a call that has `rows` rows of `group`."""
        others = [other for other in self.groups if other.family is group.family and other is not group]
        waiting = [(other.sizes, sum([work.rows for work in self.groups[other]])) for other in others]
        works: list[Work] = []
        for at in companions(group.sizes, rows, waiting, free_rows, self._lengths.overhead):
            joining = self.take_of(others[at], free_rows)
            if rows := sum([work.rows for work in joining]):
                free_rows -= rows
                works += joining
            elif joining:  # requests without rows: nothing would tell how long the rows of their answer are
                self.put_back(joining)
        return works

    def take_of(self, group: Group, max_rows: int) -> list[Work]:
        """Requests of `group`, from its head, of together at most `max_rows` rows; the others keep their place."""
        queue, works = self.groups.get(group), []
        while queue and queue[0].rows <= max_rows:
            work = queue.popleft()
            max_rows -= work.rows
            works.append(work)
        if queue is not None and not queue:
            del self.groups[group]
        self.rows -= sum([work.rows for work in works])
        return works

    def put_back(self, works: Sequence[Work]) -> None:
        """Requests taken and not run, before those of their groups that still wait."""
        for work in reversed(works):
            self.groups.setdefault(work.group, deque()).appendleft(work)
        self.rows += sum([work.rows for work in works])

    def clear(self) -> list[Work]:
        """Takes everything."""
        works = list(self)
        self.groups.clear()
        self.rows = 0
        return works

    def forget_ended(self) -> None:
        """What has ended takes no place from those who come now."""
        works = self.clear()
        for work in works:
            if not work.ended:
                self.add(work)
