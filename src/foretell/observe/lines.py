"""Lines for a log: who writes them never waits for the disk, and what the disk does not take is counted."""

from __future__ import annotations

import threading

from foretell.observe.line_file import LineFile

_MOST_BYTES = 8 << 20
_LINE_END = b"\n"


class LineWriter:
    """Writes lines to a file, or to a descriptor that is open, on a thread of its own. Safe from any thread.

    At most `most_bytes` wait; beyond that, and where writing fails, lines are dropped and counted. Lines are appended
    whole, so several processes may share a file. A file that was renamed or removed is made anew.
    """

    def __init__(self, target: str | int, most_bytes: int = _MOST_BYTES) -> None:
        """Raises `InvalidSetting` for a path that cannot be written."""
        self._file = LineFile(target)
        self._most_bytes = most_bytes
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._lines: list[bytes] = []
        self._waiting_bytes = 0
        self._closed = False
        self.written = self.dropped = 0
        self._thread = threading.Thread(target=self._work, name="foretell-log", daemon=True)
        self._thread.start()

    @property
    def trouble(self) -> str | None:
        """Why the last write failed; None: it did not."""
        return self._file.trouble

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
        self._file.close()

    def _write(self, lines: list[bytes]) -> None:
        data = _LINE_END.join([*lines, b""])
        done = self._file.append(data, lambda: self._closed)
        lost = data.count(_LINE_END, done)
        with self._lock:
            self.written += len(lines) - lost
            self.dropped += lost
            self._waiting_bytes -= len(data)
