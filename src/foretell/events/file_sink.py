"""A file of lines as a sink: it grows at its end, and is cut back to what was committed."""

from __future__ import annotations

import errno
import fcntl
import os
from contextlib import suppress
from pathlib import Path

import msgspec

from foretell.errors import InvalidInput, Unavailable
from foretell.events.interfaces import Mark, Sink
from foretell.events.place_in_file import LOOKED_AT_BYTES, digest
from foretell.events.trouble import told
from foretell.file_lock import Occupied


class _Length(msgspec.Struct, frozen=True):
    """`tail`: digest of up to 1,024 bytes before the end."""

    bytes: int
    tail: str


class FileSink(Sink):
    """Lines at the end of `path`. What `commit` has returned for is on the disk, also after a power cut.

    Readers see lines as soon as they are written; those that were not committed when a process ended are cut off by
    the next one, and written again.
    """

    resumes = True

    def __init__(self, path: str | Path, *, when_needed: bool = False) -> None:
        """`when_needed`: there is no file before the first line."""
        self._path, self._when_needed = Path(path), when_needed
        self._descriptor: int | None = None
        self._bytes = self._synced = 0
        self._tail = b""

    def open(self, at: Mark | None, *, fresh: bool = False) -> None:
        length = _Length(0, digest(b"")) if at is None else _length(at, self._path)
        if self._when_needed and not length.bytes and not self._path.exists():
            return
        self._create(must_be_there=length.bytes > 0)
        try:
            if at is None and not fresh and self._size():
                what = "there is something already, and this stream did not write it"
                raise InvalidInput(what, where=str(self._path), fix="name another sink, or give --fresh to replace it")
            self._cut_back(length)
        except BaseException:
            self.close()
            raise

    def write(self, lines: bytes) -> None:
        if not lines:
            return
        if self._descriptor is None:
            self._create(must_be_there=False)
            if self._size():
                raise InvalidInput("somebody else has made this file", where=str(self._path))
        left = memoryview(lines)
        with told(self._path):
            while left:
                left = left[os.write(self._open(), left) :]
        self._bytes += len(lines)
        self._tail = lines[-LOOKED_AT_BYTES:] if len(lines) >= LOOKED_AT_BYTES else (
            self._tail + lines)[-LOOKED_AT_BYTES:]  # fmt: skip

    def commit(self) -> Mark:
        mark: Mark = msgspec.to_builtins(_Length(self._bytes, digest(self._tail)))
        if self._descriptor is None:
            return mark
        self._check_ours()
        if self._synced != self._bytes:
            with told(self._path):
                os.fsync(self._open())
            self._synced = self._bytes
        return mark

    def close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _create(self, *, must_be_there: bool) -> None:
        flags = os.O_RDWR | os.O_CLOEXEC | (0 if must_be_there else os.O_CREAT)
        try:
            with told(self._path):
                self._descriptor = os.open(self._path, flags, 0o644)
                _sync_folder(self._path)
        except Unavailable as error:
            if isinstance(error.__cause__, FileNotFoundError) and must_be_there:
                raise self._not_as_left("is gone") from None
            raise
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self.close()
            if error.errno not in (errno.EAGAIN, errno.EACCES):
                raise Unavailable(f"cannot be locked: {error.strerror}", where=str(self._path)) from None
            raise Occupied("another stream writes here", where=str(self._path), fix="name another sink") from None

    def _cut_back(self, length: _Length) -> None:
        if self._size() < length.bytes:
            raise self._not_as_left(f"has {self._size():,} bytes, and {length.bytes:,} were committed")
        at = min(LOOKED_AT_BYTES, length.bytes)
        self._tail = os.pread(self._open(), at, length.bytes - at)
        if digest(self._tail) != length.tail:
            raise self._not_as_left("holds other lines than were committed")
        with told(self._path):
            os.ftruncate(self._open(), length.bytes)
            os.lseek(self._open(), length.bytes, os.SEEK_SET)
            os.fsync(self._open())
        self._bytes = self._synced = length.bytes

    def _check_ours(self) -> None:
        """Raises `Unavailable` where somebody else has written to the file, or put another one in its place."""
        size, now = self._size(), None
        with suppress(OSError):
            now = os.stat(self._path)
        mine = os.fstat(self._open())
        if now is None or (now.st_dev, now.st_ino) != (mine.st_dev, mine.st_ino):
            what, fix = "the sink was moved or replaced while the stream wrote to it", "put it back, and start again"
            raise Unavailable(what, where=str(self._path), fix=fix)
        if size != self._bytes:
            raise Unavailable("somebody else has changed the sink", where=str(self._path),
                              expected=f"{self._bytes:,} bytes", got=f"{size:,}")  # fmt: skip

    def _not_as_left(self, how: str) -> InvalidInput:
        fix = "put it back as it was, or run with --fresh to start again"
        return InvalidInput(f"the sink {how}", where=str(self._path), fix=fix)

    def _open(self) -> int:
        if self._descriptor is None:
            raise RuntimeError("the sink is not open")
        return self._descriptor

    def _size(self) -> int:
        return os.fstat(self._open()).st_size


def _length(mark: Mark, path: Path) -> _Length:
    try:
        return msgspec.convert(dict(mark), _Length)
    except msgspec.ValidationError as error:
        raise InvalidInput(f"the mark is not one of a file: {error}", where=str(path)) from None


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path.absolute().parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
