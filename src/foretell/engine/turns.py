"""A lock that is handed on in the order in which threads asked for it."""

from __future__ import annotations

import threading
from collections import deque


class Turns:
    """Taken by `with`. A thread that gives it back and wants it again waits behind those that wait already.

    A plain lock would let it back in at once, since it is awake and they are not: of several streams of a model, one
    would run and the others stand still.
    """

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._waiting: deque[threading.Lock] = deque()
        self._taken = False

    def __enter__(self) -> None:
        with self._guard:
            if not self._taken:
                self._taken = True
                return
            mine = threading.Lock()
            mine.acquire()
            self._waiting.append(mine)
        mine.acquire()

    def __exit__(self, *_: object) -> None:
        with self._guard:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._taken = False
