"""The program of the child process: `python -m foretell.remote.child SOCKET LIFELINE REQUESTS ANSWERS SPARE`.

`SOCKET`: the number of an inherited socket. `LIFELINE`: of the reading end of a pipe that the parent holds open as long
as it lives. `REQUESTS`, `ANSWERS`, `SPARE`: the numbers of the files of shared memory, joined by commas; `SPARE` is for
the answer to a call while the one before it may not have been read yet. Imports nothing but the
standard library before the recipe has said where packages are.
"""

from __future__ import annotations

import fcntl
import io
import os
import signal
import socket
import sys
import threading

from foretell.remote.recipe import read_recipe


def main(arguments: list[str]) -> None:
    connection = connected(int(arguments[0]), int(arguments[1]))
    recipe = read_recipe(connection)
    sys.path[:] = recipe.search  # modules are looked for where the parent does, in the same order

    from foretell.remote.worker import work

    requests, answers, spare = ([int(number) for number in each.split(",")] for each in arguments[2:5])
    work(recipe, connection, requests, answers, spare)


def connected(number: int, lifeline: int) -> socket.socket:
    """The inherited socket. From now on this process ends with its parent, and not before, and prints line by line."""
    _leave_the_end_to_parent()
    _end_with_parent(lifeline)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(line_buffering=True, errors="backslashreplace")
    return socket.socket(fileno=number)


def _leave_the_end_to_parent() -> None:
    """A supervisor may signal all processes of a service at once, while the parent still answers what it accepted."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Not ignored, which what the model starts itself would inherit, and could then not be ended by it.
    signal.signal(signal.SIGTERM, _let_be)
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_end_as_usual)


def _let_be(number: int, frame: object) -> None:
    """A signal that is for the parent to follow."""


def _end_as_usual() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _end_with_parent(lifeline: int) -> None:
    """Ends this process, with what it has started itself, once the parent has ended, whatever it is doing."""
    if sys.platform == "linux":
        # The kernel does it when the other end closes: also under code that never lets another thread run.
        fcntl.fcntl(lifeline, fcntl.F_SETOWN, -os.getpgrp())
        fcntl.fcntl(lifeline, fcntl.F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(lifeline, fcntl.F_SETFL, fcntl.fcntl(lifeline, fcntl.F_GETFL) | os.O_ASYNC)
    threading.Thread(target=_watch, args=(lifeline,), name="foretell-parent-watch", daemon=True).start()


def _watch(lifeline: int) -> None:
    os.read(lifeline, 1)  # nothing is ever written: it returns when the other end is closed
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main(sys.argv[1:])
