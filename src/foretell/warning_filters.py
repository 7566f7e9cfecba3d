"""What Python does with warnings is one list for the whole process. `warnings.catch_warnings` puts it aside and back:
two threads at the same time put back each other's, and filters of the user's are gone for good."""

from __future__ import annotations

import os
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

_PER_THREAD = bool(getattr(sys.flags, "context_aware_warnings", False))
"""Whether each thread has a list of its own, as Python 3.14 can."""


class _Turns:
    def __init__(self) -> None:
        self.begin_anew()

    def begin_anew(self) -> None:
        """As in a process that was forked, where nobody is left who would end a turn."""
        self.calls, self.changes = threading.RLock(), threading.RLock()


_turns = _Turns()
os.register_at_fork(after_in_child=_turns.begin_anew)


def alone() -> AbstractContextManager[object]:
    """Stands around a short call that enters `warnings.catch_warnings`, in a thread that may not be the only one."""
    return nullcontext() if _PER_THREAD else _turns.calls


@contextmanager
def within(change: warnings.catch_warnings) -> Iterator[list[warnings.WarningMessage] | None]:
    """Enters and leaves `change` around what takes long, such as loading a model: short calls go on meanwhile, and each
    ends before or after its beginning, and its end. `change` has its filter from its start (`action=...`)."""
    with _turns.changes:
        with alone():
            caught = change.__enter__()
        try:
            yield caught
        finally:
            with alone():
                change.__exit__(None, None, None)
