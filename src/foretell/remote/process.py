"""A child process, the thread that watches over it, and how it ended."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import foretell

if TYPE_CHECKING:
    from foretell.errors import Unavailable

_ROOT = os.path.dirname(os.path.dirname(os.path.realpath(foretell.__file__)))
"""Where this very package is, so that the child runs the same code."""


class Process:
    """Runs `python -m MODULE`, in a session of its own: whoever interrupts this process from a keyboard means it alone.

    What it prints goes to this process's standard error. `on_end` is called once, on the watching thread, after
    `ended` is set. Safe from any thread.
    """

    def __init__(
        self, module: str, arguments: Sequence[str], files: Sequence[int], on_end: Callable[[], None], name: str
    ) -> None:
        """`files`: descriptors that the child gets, under the same numbers. Raises `Unavailable`."""
        self.ended = threading.Event()
        self._lock = threading.RLock()  # a garbage collection may come to `kill` from within `_watch`
        self._code: int | None = None
        self._on_end = on_end
        output = _standard_error()
        try:
            self._process = subprocess.Popen(
                [*_python(), "-m", module, *arguments], cwd=_ROOT, stdin=subprocess.DEVNULL, stdout=output,
                stderr=output, pass_fds=files, start_new_session=True,
            )  # fmt: skip
        except (OSError, ValueError) as error:
            raise _unavailable("a process of its own cannot be started", error) from error
        self.pid = self._process.pid
        self._thread = threading.Thread(target=self._watch, name=f"foretell-{name}-watch", daemon=True)
        try:
            self._thread.start()
        except RuntimeError as error:
            self._process.kill()
            self._process.wait()
            raise _unavailable("a process of its own cannot be watched", error) from error

    @property
    def ending(self) -> str:
        """How it ended, as the end of a sentence."""
        code = self._code
        if code is None:
            return "ended"
        if code >= 0:
            return f"ended with exit code {code}"
        return f"ended with signal {-code}"

    def kill(self) -> None:
        """Ends it and what it has started at once. Harmless when it has ended."""
        with self._lock:
            if not self.ended.is_set():
                _kill_group(self.pid)

    def wait(self, timeout_s: float) -> bool:
        """Whether it has ended within `timeout_s`."""
        return self.ended.wait(max(0.0, timeout_s))

    def join(self, timeout_s: float) -> None:
        """Waits for the watching thread, unless called by it."""
        if threading.current_thread() is not self._thread:
            self._thread.join(timeout_s)

    def _watch(self) -> None:
        process = self._process
        if not _ended_unreaped(process.pid):
            process.wait()
        with self._lock:  # until it is reaped, its number belongs to nobody else
            if process.returncode is None:
                _kill_group(process.pid)
            self._code = process.wait()
            self.ended.set()
        self._on_end()


def _unavailable(what: str, error: Exception | None = None) -> Unavailable:
    from foretell.errors import Unavailable  # its import takes as long as the start of a process

    return Unavailable(what, got=error or "")


def _python() -> list[str]:
    if not sys.executable:
        raise _unavailable("a process of its own needs a Python program, and this one is part of another program")
    return [sys.executable, *["-O"] * sys.flags.optimize]


def _standard_error() -> int:
    try:
        os.fstat(2)
    except OSError:
        return subprocess.DEVNULL
    return 2


def _ended_unreaped(pid: int) -> bool:
    """Waits until it has ended; False where this system cannot tell, or somebody else reaps this process's children."""
    if not hasattr(os, "waitid"):
        return False
    try:
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def _kill_group(pid: int) -> None:
    """Also ends what the child has started itself, which else would stay when it ends."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
