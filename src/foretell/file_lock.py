"""A lock that one process has on a file, and the errors of jobs and streams whose files are another's or cannot be."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from foretell.errors import Unavailable


class Occupied(Unavailable):
    """Another job or stream writes there now."""


class NoRoom(Unavailable):
    """What is to be kept cannot be written: the disk is full, or may not be written to."""


def open_lock(path: Path) -> int:
    """A descriptor for `held`; makes the file and its folder. Raises `OSError`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)


@contextmanager
def held(descriptor: int, what: str, where: str, fix: str) -> Iterator[None]:
    """Has the lock, and closes the descriptor at the end. A dead owner's lock is nobody's.

    Raises `Occupied` with `what`, `where` and `fix` where another process has it.
    """
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EACCES):
                raise
            owner = os.read(descriptor, 100).decode("utf-8", "replace").strip()
            raise Occupied(what, where=where, got=f"process {owner}" if owner else "", fix=fix) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(descriptor)
