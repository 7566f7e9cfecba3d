"""A worker does not outlive its supervisor."""

from __future__ import annotations

import ctypes
import signal
import sys

_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG


def end_with_parent() -> None:
    """Linux: the system ends this process when the thread that started it ends, whatever this one is doing.

    Elsewhere the end of the socket pair tells, which needs an event loop that runs.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_DEATH_SIGNAL, signal.SIGKILL)
