"""Memory that two processes share: files without a name, mapped by both. One side writes, the other one reads."""

from __future__ import annotations

import errno
import mmap
import os
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from foretell.errors import Overloaded, Unavailable

Memory = NDArray[np.uint8]

MOST_BYTES = 8 * 2**30
"""A batch beyond it is refused rather than let it fill the memory of the machine."""
ALIGN_BYTES = 64
HEADER_BYTES = 64
"""At the start of each file, for what must be seen while the other side is busy."""

_LEAST_BYTES = 64 * 2**10
_STEP_BYTES = 2**20
_CALLS_BEFORE_SHRINKING = 8
_SHARED_FOLDER = Path("/dev/shm")
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.ENOMEM}


class TooLarge(Exception):
    """There will never be room for so much. The text is how much."""


class Files:
    """The files of one direction, best first: in memory where the system has a folder for that, else on disk.

    They never have a name that another process could open, so nothing is left of them however the processes end.
    Both places are opened at the start, since the first one may turn out to be too small for a large batch.
    """

    def __init__(self) -> None:
        """Raises `Unavailable` where there is no place for them."""
        self._opened: list[IO[bytes]] = []
        with ExitStack() as undo:
            for folder in _folders():
                try:
                    self._opened.append(undo.enter_context(tempfile.TemporaryFile(dir=folder, buffering=0)))
                except OSError:
                    continue  # the other place may do
            if not self._opened:
                where = ", ".join(map(str, _folders()))
                raise Unavailable("there is no place for the memory that a process of its own shares", where=where)
            undo.pop_all()

    @property
    def numbers(self) -> tuple[int, ...]:
        return tuple(file.fileno() for file in self._opened)

    def close(self) -> None:
        for file in self._opened:
            file.close()


def _folders() -> list[Path]:
    shared = [_SHARED_FOLDER] if _SHARED_FOLDER.is_dir() and os.access(_SHARED_FOLDER, os.W_OK) else []
    try:
        return [*shared, Path(tempfile.gettempdir())]
    except FileNotFoundError:
        return shared


class Writer:
    """Room to write in, as much as a batch needs, given back when large batches have become rare."""

    def __init__(self, files: Sequence[int], first: int = 0) -> None:
        """`files`: descriptors, best place first; `first`: how many the reader has before them.

        Raises `Overloaded` where no place has room for anything.
        """
        self._files, self._first = files, first
        self._file = 0
        self._size = 0
        self._small_calls = 0
        self._memory: Memory = np.zeros(0, np.uint8)
        self.reserve(0)

    @property
    def place(self) -> tuple[int, int]:
        """Which of the files, and its size: what the reader has to know."""
        return self._first + self._file, self._size

    def reserve(self, size: int) -> Memory:
        """At least `size` bytes behind the header. The start is aligned.

        Raises `TooLarge` for more than `MOST_BYTES`, `Overloaded` where there is no room for so many now.
        """
        needed = _rounded(HEADER_BYTES + size)
        if needed > MOST_BYTES:
            raise TooLarge(f"{size} bytes")
        if needed > self._size:
            self._grow(needed)
        elif needed * 4 <= self._size:
            self._small_calls += 1
            if self._small_calls >= _CALLS_BEFORE_SHRINKING:
                self._map(self._file, needed)
        else:
            self._small_calls = 0
        return self._memory

    def rest(self) -> None:
        """A call that needs no room."""
        if self._size > _LEAST_BYTES:
            self.reserve(0)

    def flag(self, number: int) -> None:
        """Shows `number` to the reader at once, whatever it is doing, beside the last one before or after it."""
        self._memory[:16].view(np.int64)[number & 1] = number

    def close(self) -> None:
        self._memory = np.zeros(0, np.uint8)

    def _grow(self, size: int) -> None:
        for file in range(self._file, len(self._files)):
            if _allocated(self._files[file], size):
                if file != self._file:
                    os.ftruncate(self._files[self._file], 0)
                self._map(file, size)
                return
        raise Overloaded("there is no room for the data of this call in shared memory", got=f"{size} bytes")

    def _map(self, file: int, size: int) -> None:
        self._memory = np.zeros(0, np.uint8)
        if size < self._size and file == self._file:
            os.ftruncate(self._files[file], size)
        self._memory = np.frombuffer(mmap.mmap(self._files[file], size), np.uint8)
        self._file, self._size, self._small_calls = file, size, 0


class Reader:
    """What the other side has written."""

    def __init__(self, files: Sequence[int]) -> None:
        self._files = files
        self._place = (0, 0)
        self._memory: Memory = np.zeros(0, np.uint8)
        self.flags: Sequence[int] = (0, 0)
        """Two numbers, an even and an odd one, which the writer may change at any time."""

    def at(self, file: int, size: int) -> Memory:
        """The whole of a file, read-only. Raises `ValueError` where there is no such file or it is smaller."""
        if self._place != (file, size):
            if not (0 <= file < len(self._files) and HEADER_BYTES <= size <= os.fstat(self._files[file]).st_size):
                raise ValueError(f"no shared memory of {size} bytes in place {file}")
            self.close()  # gives the old mapping back first, unless somebody still looks at it
            mapped = mmap.mmap(self._files[file], size, access=mmap.ACCESS_READ)
            self._memory, self._place = np.frombuffer(mapped, np.uint8), (file, size)
            self.flags = memoryview(mapped)[:16].cast("q")
        return self._memory

    def close(self) -> None:
        self._memory, self._place, self.flags = np.zeros(0, np.uint8), (0, 0), (0, 0)


def aligned(size: int) -> int:
    return -(-size // ALIGN_BYTES) * ALIGN_BYTES


def _rounded(size: int) -> int:
    step = _LEAST_BYTES if size <= _STEP_BYTES else _STEP_BYTES
    return -(-size // step) * step


def _allocated(file: int, size: int) -> bool:
    """Whether the file has now `size` bytes that are really there: to touch others would end this process."""
    before = os.fstat(file).st_size
    try:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file, 0, size)
        else:
            free = os.fstatvfs(file)
            if free.f_bavail * free.f_frsize < size - before:
                return False
            os.ftruncate(file, size)
    except OSError as error:
        if error.errno not in _NO_ROOM:
            raise
        os.ftruncate(file, before)
        return False
    return True
