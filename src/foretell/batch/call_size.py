"""How many rows a call should have, learned from the calls themselves: pure decisions."""

from __future__ import annotations

_CALLS = 3
_SECONDS = 0.02
_BETTER = 1.1
"""So much faster a smaller size must be: what a call costs around the model is not measured."""


class CallSize:
    """Climbs from `start` rows to the size that answers the most rows in a second, of `most` and its halves.

    A neighbouring size is tried for a few calls, and kept where it is clearly faster. It settles, and starts anew only
    when memory allows another number of rows. Where `fixed`, nothing is tried.
    """

    def __init__(self, most: int, *, fixed: bool = False) -> None:
        self._most = self._top = max(1, most)
        self._fixed = fixed
        self._rates: dict[int, float] = {}
        self._rows = self._best = self._most
        self._calls, self._seconds, self._quickest = 0, 0.0, float("inf")
        self._step = 0 if fixed else 1
        self._warm = False

    @property
    def rows(self) -> int:
        """The most rows of the next call."""
        return self._rows

    @property
    def settled(self) -> bool:
        return not self._step

    def learn(self, rows: int, seconds: float) -> None:
        """A call of `rows` rows took `seconds`. Calls that are not as large as they may be tell nothing."""
        if not self._step or rows != self._rows:
            return
        if not self._warm:
            self._warm = True  # the first call of all pays for much that is made once
            return
        self._calls += 1
        self._seconds += seconds
        self._quickest = min(self._quickest, seconds)  # what else the machine does makes calls slower, never quicker
        if self._calls < _CALLS or self._seconds < _SECONDS:
            return
        self._rates[self._rows] = rows / max(self._quickest, 1e-9)
        self._calls, self._seconds, self._quickest = 0, 0.0, float("inf")
        self._choose()

    def limit(self, rows: int) -> None:
        """No call may have more than `rows` rows, until this is said again. What was learned holds for other sizes."""
        rows = max(1, min(rows, self._top))
        if rows != self._most:
            self._most = self._rows = self._best = rows
            self._rates.clear()
            self._calls, self._seconds, self._quickest = 0, 0.0, float("inf")
            self._step = 0 if self._fixed else 1

    def shrink(self) -> bool:
        """Memory has run out in a call: no call is as large again. False where calls have one row already."""
        if self._rows == 1:
            return False
        self._most = self._top = self._rows = self._best = max(1, self._rows // 2)
        self._step = 0
        return True

    def _choose(self) -> None:
        rate, best = self._rates[self._rows], self._rates.get(self._best, 0.0)
        if self._rows == self._best or rate > best * _BETTER:
            self._best = self._rows
            smaller = self._rows // 2
            if smaller >= 1 and smaller not in self._rates:
                self._rows = smaller
                return
        self._rows, self._step = self._best, 0
