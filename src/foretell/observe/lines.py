"""Lines for a log: who writes them never waits for the disk, and what the disk does not take is counted."""

from __future__ import annotations

import contextlib
import os
import select
import threading

from foretell.errors import InvalidSetting

_MOST_BYTES = 8 << 20
_LINE_END = b"\n"
_LOOK_MS = 200
_MODE = 0o640


class LineWriter:
    """Writes lines to a file, or to a descriptor that is open, on a thread of its own. Safe from any thread.

    At most `most_bytes` wait; beyond that, and where writing fails, lines are dropped and counted. Lines are appended
    whole, so several processes may share a file. A file that was renamed or removed is made anew.
    """

    def __init__(self, target: str | int, most_bytes: int = _MOST_BYTES) -> None:
        """Raises `InvalidSetting` for a path that cannot be written."""
        self._path = target if isinstance(target, str) else None
        self._most_bytes = most_bytes
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._lines: list[bytes] = []
        self._waiting_bytes = 0
        self._closed = self._torn = False
        self.written = self.dropped = 0
        self.trouble: str | None = None
        """Why the last write failed; None: it did not."""
        try:
            self._fd = target if isinstance(target, int) else _opened(target)
        except OSError as error:
            raise InvalidSetting(f"cannot be written: {error.strerror}", where=str(target)) from None
        self._thread = threading.Thread(target=self._work, name="foretell-log", daemon=True)
        self._thread.start()

    def add(self, line: bytes) -> None:
        """Takes a line, without its end, or drops it."""
        with self._lock:
            if self._closed or self._waiting_bytes + len(line) > self._most_bytes:
                self.dropped += 1
                return
            self._lines.append(line)
            self._waiting_bytes += len(line) + 1
        self._wake.set()

    def close(self, patience_s: float = 2.0) -> None:
        """Writes what waits, for at most `patience_s`. A descriptor that was given stays open."""
        with self._lock:
            self._closed = True
        self._wake.set()
        self._thread.join(patience_s)

    def _work(self) -> None:
        while True:
            self._wake.wait()
            self._wake.clear()
            with self._lock:
                lines, self._lines = self._lines, []
                closed = self._closed
            if lines:
                self._write(lines)
            elif closed:
                break
            if closed:
                self._wake.set()
        if self._path is not None and self._fd >= 0:
            os.close(self._fd)

    def _write(self, lines: list[bytes]) -> None:
        data = _LINE_END.join([*lines, b""])
        left = memoryview(_LINE_END + data if self._torn else data)
        try:
            self._follow()
            while left:
                try:
                    left = left[os.write(self._fd, left) :]
                except BlockingIOError:
                    self._wait()
        except OSError as error:
            lost = bytes(left).count(_LINE_END)
            self._torn = 0 < len(left) < len(data)
            self.trouble = error.strerror
        else:
            lost, self._torn, self.trouble = 0, False, None
        with self._lock:
            self.written += len(lines) - min(lost, len(lines))
            self.dropped += min(lost, len(lines))
            self._waiting_bytes -= len(data)

    def _follow(self) -> None:
        """Opens the file again where its path leads elsewhere by now. Raises `OSError`."""
        if self._path is None:
            return
        if self._fd >= 0:
            with contextlib.suppress(FileNotFoundError):
                there, ours = os.stat(self._path), os.fstat(self._fd)
                if (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino):
                    return
            os.close(self._fd)
            self._fd = -1
        self._fd = _opened(self._path)

    def _wait(self) -> None:
        """For a pipe that takes no more now. Raises `TimeoutError` where nobody waits for its end any more."""
        poll = select.poll()
        poll.register(self._fd, select.POLLOUT)
        while not poll.poll(_LOOK_MS):
            if self._closed:
                raise TimeoutError(0, "nobody reads it")


def _opened(path: str) -> int:
    """Never waits: a pipe without a reader is an error."""
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC, _MODE)
