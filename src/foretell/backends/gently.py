"""Loading that is not in the way of what serves: native work at the lowest priority, and short turns of Python code."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path

_LOWEST = 19
_TASKS = Path("/proc/self/task")
_TURN_S = 0.0005
_GENTLY: ContextVar[bool] = ContextVar("gently", default=False)


@contextlib.contextmanager
def gently() -> Iterator[None]:
    """Something else serves while the calling thread loads: `low_priority` has its effect."""
    token = _GENTLY.set(True)
    try:
        yield
    finally:
        _GENTLY.reset(token)


@contextlib.contextmanager
def short_turns() -> Iterator[None]:
    """Python code of one thread gives way to that of another after half a millisecond, instead of five."""
    usual_s = sys.getswitchinterval()
    sys.setswitchinterval(min(usual_s, _TURN_S))
    try:
        yield
    finally:
        sys.setswitchinterval(usual_s)


@contextlib.contextmanager
def low_priority() -> Iterator[None]:
    """Within `gently`, the calling thread gets the processor time that nobody else wants.

    For native code that leaves the interpreter's lock to others: a thread of low priority that holds the lock would
    have all others wait until it gets its turn. Threads inherit the priority of the one that begins them, and a model
    keeps those it begins while it is loaded: at the end they get the priority that the caller had. Where this process
    may not raise a priority again (it needs CAP_SYS_NICE or RLIMIT_NICE), or threads have none of their own (outside
    Linux), nothing is lowered.
    """
    if not _GENTLY.get() or not _may_raise_again():
        yield
        return
    own = threading.get_native_id()
    usual = os.getpriority(os.PRIO_PROCESS, own)
    before = _threads()
    os.setpriority(os.PRIO_PROCESS, own, _LOWEST)
    try:
        yield
    finally:
        for thread in [own, *sorted(_threads() - before)]:
            _restore(thread, usual)


def _restore(thread: int, priority: int) -> None:
    with contextlib.suppress(ProcessLookupError):  # it has ended
        if os.getpriority(os.PRIO_PROCESS, thread) == _LOWEST:
            os.setpriority(os.PRIO_PROCESS, thread, priority)


def _threads() -> set[int]:
    return {int(task.name) for task in _TASKS.iterdir()}


def _may_raise_again() -> bool:
    """Tried in a thread that ends with the question, since one that may not would stay low."""
    answer: list[bool] = []
    probe = threading.Thread(target=lambda: answer.append(_lowers_and_raises()), daemon=True)
    probe.start()
    probe.join()
    return answer == [True]


def _lowers_and_raises() -> bool:
    if not _TASKS.is_dir():
        return False
    own = threading.get_native_id()
    usual = os.getpriority(os.PRIO_PROCESS, own)
    try:
        os.setpriority(os.PRIO_PROCESS, own, min(_LOWEST, usual + 1))
        os.setpriority(os.PRIO_PROCESS, own, usual)
    except OSError:
        return False
    return usual < _LOWEST
