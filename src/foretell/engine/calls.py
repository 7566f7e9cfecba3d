"""Counts the calls that a model is in, so that it is closed between calls and never under one."""

from __future__ import annotations

import threading
from collections import deque

from foretell.errors import NotReady


class CallsUnderWay:
    """`begin` and `end` stand around each call of the model. Safe from any thread.

    A deque counts: its `append` and `pop` are atomic, and a call costs no lock. A call counts itself before it asks
    whether the model is closed, and `close` says so before it counts: one of the two sees the other.
    """

    def __init__(self, where: str) -> None:
        self._where = where
        self._calls: deque[None] = deque()
        self._closed = False
        self._ended = threading.Condition()

    def begin(self) -> None:
        """Raises `NotReady` once closed; then there is nothing to end."""
        self._calls.append(None)
        if self._closed:
            self.end()
            raise NotReady("the model is closed", where=self._where)

    def end(self) -> None:
        self._calls.pop()
        if self._closed:
            with self._ended:
                self._ended.notify_all()

    def close(self, patience_s: float) -> bool:
        """Lets no further call begin; whether those under way have ended within `patience_s`."""
        with self._ended:
            self._closed = True
            return self._ended.wait_for(lambda: not self._calls, patience_s)
