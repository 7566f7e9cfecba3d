"""Loading that lets what serves have its turn."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator

_TURN_S = 0.0005


class ShortTurns:
    """Python code of one thread gives way to that of another after half a millisecond, instead of five, while anything
    is loaded. Belongs to one thread.

    The priority of the thread that loads stays as it is: one that holds the interpreter's lock and has to wait for a
    processor has everybody wait (docs/decisions/0013).
    """

    def __init__(self) -> None:
        self._loads, self._usual_s = 0, 0.0

    @contextlib.contextmanager
    def short(self) -> Iterator[None]:
        if not self._loads:
            self._usual_s = sys.getswitchinterval()
            sys.setswitchinterval(min(self._usual_s, _TURN_S))
        self._loads += 1
        try:
            yield
        finally:
            self._loads -= 1
            if not self._loads:
                sys.setswitchinterval(self._usual_s)
