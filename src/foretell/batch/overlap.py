"""Whether a process reads and writes while it predicts, learned from its shards: pure decisions."""

from __future__ import annotations

_TRIALS = 2
_BETTER = 1.03
"""So much faster must it be to do things in turns: what is still to be written at the end of a shard is not seen."""


class Overlap:
    """Where it is of use it is tried on every other shard, and then done in the faster way.

    A model that waits, for a device or for a service, leaves time for all else; one whose threads have every core
    already would only share them.
    """

    def __init__(self, of_use: bool) -> None:
        self._rates: dict[bool, list[float]] = {True: [], False: []}
        self._choice = None if of_use else False
        self._warm = False

    @property
    def now(self) -> bool:
        """Of the next shard."""
        if self._choice is not None:
            return self._choice
        return len(self._rates[True]) <= len(self._rates[False])

    def learn(self, overlapped: bool, rows: int, seconds: float) -> None:
        """A shard of `rows` rows took `seconds`."""
        if self._choice is not None or not rows:
            return
        if not self._warm:
            self._warm = True  # the first one of all pays for much that is made once
            return
        self._rates[overlapped].append(rows / max(seconds, 1e-9))
        if min(map(len, self._rates.values())) >= _TRIALS:
            self._choice = max(self._rates[False]) <= max(self._rates[True]) * _BETTER
