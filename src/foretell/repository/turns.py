"""Loading that lets what serves have its turn."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator

_TURN_S = 0.0005


@contextlib.contextmanager
def short_turns() -> Iterator[None]:
    """Python code of one thread gives way to that of another after half a millisecond, instead of five.

    The priority of the thread that loads stays as it is: one that holds the interpreter's lock and has to wait for a
    processor has everybody wait (docs/decisions/0013).
    """
    usual_s = sys.getswitchinterval()
    sys.setswitchinterval(min(usual_s, _TURN_S))
    try:
        yield
    finally:
        sys.setswitchinterval(usual_s)
