"""Counts the calls that a model is in, so that it is closed between calls and never under one."""

from __future__ import annotations

import threading
from types import TracebackType

from foretell.errors import NotReady


class CallsUnderWay:
    """Enter it around each call of the model. Safe from any thread."""

    def __init__(self, where: str) -> None:
        self._where = where
        self._changed = threading.Condition(threading.Lock())
        self._count = 0
        self._closed = False

    def __enter__(self) -> None:
        """Raises `NotReady` once closed."""
        with self._changed:
            if self._closed:
                raise NotReady("the model is closed", where=self._where)
            self._count += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._changed:
            self._count -= 1
            if self._closed:
                self._changed.notify_all()

    def close(self, patience_s: float) -> bool:
        """Lets no further call begin; whether those under way have ended within `patience_s`."""
        with self._changed:
            self._closed = True
            return self._changed.wait_for(lambda: not self._count, patience_s)
