"""A file that whole lines are appended to, by one process or by several."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import select
import stat
from collections.abc import Callable

from foretell.errors import InvalidSetting
from foretell.observe.rotation import Rotation

_LINE_END = b"\n"
_LOOK_MS = 200
_MODE = 0o640


class LineFile:
    """Appends to a file, or to a descriptor that is open. A file that was renamed or removed is made anew. One thread
    at a time."""

    def __init__(self, target: str | int, mode: int = _MODE, rotation: Rotation | None = None) -> None:
        """`mode`: permissions of a new file. `rotation`: nobody else may write to the file then, and it is put aside
        when it is large enough.

        Raises `InvalidSetting` for a path that cannot be written, or that is another's.
        """
        self._path = target if isinstance(target, str) else None
        self._mode, self._rotation = mode, rotation
        self._torn = False
        self.trouble: str | None = None
        """Why the last write failed; None: it did not."""
        try:
            self._fd = target if isinstance(target, int) else self._open(target)
        except OSError as error:
            raise InvalidSetting(f"cannot be written: {error.strerror}", where=str(target)) from None

    def append(self, lines: bytes, hopeless: Callable[[], bool]) -> int:
        """Writes `lines`, each with its end. Returns how many of their bytes are there; fewer than all: see `trouble`.

        `hopeless`: whether to wait no longer for a pipe that takes no more now.
        """
        data = _LINE_END + lines if self._torn else lines
        left = memoryview(data)
        try:
            self._follow(len(data))
            while left:
                try:
                    left = left[os.write(self._fd, left) :]
                except BlockingIOError:
                    self._wait(hopeless)
        except OSError as error:
            self.trouble = error.strerror
        else:
            self.trouble = None
        done = len(data) - len(left)
        if done:
            self._torn = data[done - 1 : done] != _LINE_END
        return max(0, done - (len(data) - len(lines)))

    def close(self) -> None:
        """A descriptor that was given stays open."""
        if self._path is not None and self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _follow(self, more: int) -> None:
        """Opens the file again where its path leads elsewhere by now, or where it is full. Raises `OSError`."""
        if self._path is None:
            return
        if self._fd >= 0:
            with contextlib.suppress(FileNotFoundError):
                there, ours = os.stat(self._path), os.fstat(self._fd)
                same = (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino)
                if same and not self._is_full(ours, more):
                    return
                if same and self._rotation is not None:
                    self._rotation.put_aside()
            os.close(self._fd)
            self._fd = -1
        self._fd = self._open(self._path)
        self._torn = False

    def _is_full(self, file: os.stat_result, more: int) -> bool:
        rotation = self._rotation
        regular = rotation is not None and stat.S_ISREG(file.st_mode)
        return rotation is not None and regular and file.st_size > 0 and file.st_size + more > rotation.most_bytes

    def _open(self, path: str) -> int:
        """Never waits: a pipe without a reader is an error."""
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC
        descriptor = os.open(path, flags, self._mode)
        if self._rotation is not None and stat.S_ISREG(os.fstat(descriptor).st_mode):
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                if error.errno in (errno.EAGAIN, errno.EACCES):  # any other: a file system without locks
                    os.close(descriptor)
                    raise OSError(error.errno, "another process writes it") from None
        return descriptor

    def _wait(self, hopeless: Callable[[], bool]) -> None:
        """For a pipe that takes no more now. Raises `TimeoutError` where it is hopeless."""
        poll = select.poll()
        poll.register(self._fd, select.POLLOUT)
        while not poll.poll(_LOOK_MS):
            if hopeless():
                raise TimeoutError(0, "nobody reads it")
