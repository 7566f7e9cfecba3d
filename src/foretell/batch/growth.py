"""Whether more processes would score faster, tried while the job runs: pure decisions.

Processes that wait, for a device, for a store, or for a service that their model calls, leave cores idle that another
process could use. So one more is tried wherever the cores have little to do, and kept where rows get clearly faster.
"""

from __future__ import annotations

from dataclasses import dataclass

_WINDOW_S = 2.0
_BUSY = 0.7
"""Share of the cores' time from which on there is nothing left to win."""
_BETTER = 1.05
_MOST = 8
"""Times as many processes as there were to begin with."""


@dataclass(frozen=True, slots=True)
class Moment:
    """What was seen at a time: rows and seconds of processor time of all processes so far, and how long a processor of
    the machine has had nothing to do."""

    at_s: float
    rows: int
    cpu_s: float
    idle_s: float


class Growth:
    """`seen` gives how many processes there should be."""

    def __init__(self, processes: int, cores: int) -> None:
        self._cores, self._most = cores, processes * _MOST
        self._wanted = self._best = processes
        self._rate = 0.0
        self._from: Moment | None = None
        self._ended = False

    def seen(self, now: Moment, ready: int, room: int) -> int:
        """`ready`: processes that have loaded the model; `room`: for how many there are memory and work."""
        if self._ended:
            return min(self._wanted, room)
        if ready != self._wanted:
            if room < self._wanted:
                self._end()
            self._from = None
            return min(self._wanted, room)
        if self._from is None:
            self._from = now  # what a new process does first is not what it does later
        elif now.at_s - self._from.at_s >= _WINDOW_S:
            self._decide(self._from, now, room)
        return min(self._wanted, room)

    def _decide(self, before: Moment, now: Moment, room: int) -> None:
        seconds = now.at_s - before.at_s
        rate = (now.rows - before.rows) / seconds
        # Cores that others keep busy are no use to us, and cores that we may not use are none either.
        busy = max((now.cpu_s - before.cpu_s) / seconds / self._cores, 1 - (now.idle_s - before.idle_s) / seconds)
        self._from = now
        if rate <= 0:
            return  # calls take longer than we look
        if self._wanted > self._best and rate < self._rate * _BETTER:
            self._end()
            return
        self._best, self._rate = self._wanted, rate
        more = min(self._most, room, self._wanted + max(1, self._wanted // 2))
        if busy >= _BUSY or more <= self._wanted:
            self._ended = busy >= _BUSY
        else:
            self._wanted, self._from = more, None

    def _end(self) -> None:
        self._wanted, self._ended = self._best, True
