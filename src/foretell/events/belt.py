"""What one thread hands to the next, in order, with a limit on how much may lie between them."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from foretell.clock import LOOK_S
from foretell.engine.policy import take


class Load(Protocol):
    @property
    def rows(self) -> int: ...

    @property
    def size_bytes(self) -> int: ...


LoadT = TypeVar("LoadT", bound=Load)


class Belt(Generic[LoadT]):
    """One thread puts, one takes. At most `most_rows` and `most_bytes` lie on it, or one load of any size.

    Either may be the main thread: the handlers of signals run at most `LOOK_S` late.
    """

    def __init__(self, most_rows: int, most_bytes: int) -> None:
        self._most_rows, self._most_bytes = most_rows, most_bytes
        self._loads: deque[LoadT] = deque()
        self._rows = self._bytes = 0
        self._changed = threading.Condition()
        self._ended = self._broken = False

    def put(self, load: LoadT) -> bool:
        """Waits for room. False where nobody will take it."""
        with self._changed:
            self._wait_for(lambda: self._broken or self._has_room(load))
            if self._broken:
                return False
            self._loads.append(load)
            self._rows, self._bytes = self._rows + load.rows, self._bytes + load.size_bytes
            self._changed.notify_all()
            return True

    def take(self, most_rows: int, wait_s: float | None = None) -> list[LoadT] | None:
        """All that lies there, up to `most_rows` rows or one load; waits for the first. [] when `wait_s` have passed,
        None at the end."""
        with self._changed:
            if wait_s is None:
                self._wait_for(self._has_news)
            else:
                self._changed.wait_for(self._has_news, wait_s)
            if self._broken or (self._ended and not self._loads):
                return None
            count = take((load.rows for load in self._loads), most_rows) if self._loads else 0
            taken = [self._loads.popleft() for _ in range(count)]
            self._rows -= sum(load.rows for load in taken)
            self._bytes -= sum(load.size_bytes for load in taken)
            self._changed.notify_all()
            return taken

    def end(self) -> None:
        """Nothing will be put any more; what lies there is still taken."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def break_off(self) -> None:
        """Nothing is put or taken any more."""
        with self._changed:
            self._broken = True
            self._changed.notify_all()

    def _wait_for(self, holds: Callable[[], bool]) -> None:
        while not self._changed.wait_for(holds, LOOK_S):
            pass  # Python looks for signals between two rounds

    def _has_news(self) -> bool:
        return bool(self._loads) or self._ended or self._broken

    def _has_room(self, load: LoadT) -> bool:
        if not self._loads:
            return True
        return self._rows + load.rows <= self._most_rows and self._bytes + load.size_bytes <= self._most_bytes
