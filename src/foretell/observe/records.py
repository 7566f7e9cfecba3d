"""Records for a log: who hands them over never waits, encodes nothing, and is told by a count of what was lost."""

from __future__ import annotations

import threading
import time
import warnings
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

from foretell.observe.line_file import LineFile

RecordT = TypeVar("RecordT")

QUEUE_FULL, WRITE_FAILED, SHUTDOWN, NOT_ENCODED = "queue_full", "write_failed", "shutdown", "not_encoded"
_MOST_WAITING_BYTES = 64 << 20
_SMALL_BYTES = 4096
_CHUNK_BYTES = 256 << 10
_MOST_IN_CHUNK = 64
_LINGER_S = 0.05
"""Whoever hands records over wakes the thread so often at most: each time costs more than to write one."""
_BREATH_S = 500e-6
_BETWEEN_BREATHS = 8
_BETWEEN_BREATHS_BYTES = 32 << 10
"""Whoever answers requests gets the interpreter after so many records, and not only after its switch interval. More
often would cost both threads more than it saves."""


class RecordWriter(Generic[RecordT]):
    """Encodes and writes records on a thread of its own, in their order. Safe from any thread.

    Each record that is handed over is counted once: in `written`, or in `dropped` under the reason. At most
    `most_bytes` wait, as `add` is told of their sizes.
    """

    def __init__(
        self, file: LineFile, encode: Callable[[RecordT], bytes], name: str, most_bytes: int = _MOST_WAITING_BYTES
    ) -> None:
        """`encode`: a record as whole lines; it runs on the thread. `name`: what people are told has trouble."""
        self._file, self._encode, self._name, self._most_bytes = file, encode, name, most_bytes
        self._lock = threading.Lock()
        self._wake, self._end = threading.Event(), threading.Event()
        self._waiting: deque[tuple[RecordT, int]] = deque()
        self._waiting_bytes = self._taken = 0
        self._closed = self._given_up = self._told = False
        self.written = 0
        self.dropped = dict.fromkeys((QUEUE_FULL, WRITE_FAILED, SHUTDOWN, NOT_ENCODED), 0)
        self._thread = threading.Thread(target=self._work, name="foretell-records", daemon=True)
        self._thread.start()

    @property
    def waiting_bytes(self) -> int:
        return self._waiting_bytes

    @property
    def full(self) -> bool:
        """Whether not even a small record would be taken now."""
        return self._waiting_bytes + _SMALL_BYTES > self._most_bytes

    def add(self, record: RecordT, size: int) -> None:
        """Takes a record that holds about `size` bytes, or drops it."""
        with self._lock:
            if self._closed or self._waiting_bytes + size > self._most_bytes:
                self.dropped[SHUTDOWN if self._closed else QUEUE_FULL] += 1
                return
            self._waiting.append((record, size))
            self._waiting_bytes += size
        if not self._wake.is_set():
            self._wake.set()

    def drop(self, reason: str) -> None:
        """Counts a record that could not be handed over."""
        with self._lock:
            self.dropped[reason] += 1

    def close(self, patience_s: float) -> None:
        """Writes what waits, for at most `patience_s`; the rest is dropped."""
        with self._lock:
            self._closed = True
        self._end.set()
        self._wake.set()
        self._thread.join(patience_s)
        with self._lock:
            self._given_up = True
            self.dropped[SHUTDOWN] += self._taken + len(self._waiting)
            self._taken = 0
            self._waiting.clear()
            self._waiting_bytes = 0

    def _work(self) -> None:
        while not self._given_up:
            self._wake.wait()
            self._end.wait(_LINGER_S)
            self._wake.clear()
            while (chunk := self._take()) and not self._given_up:
                self._write(chunk)
            if self._closed:
                break
        self._file.close()

    def _take(self) -> list[tuple[RecordT, int]]:
        """The next records; they count as waiting until they are written."""
        chunk: list[tuple[RecordT, int]] = []
        size = 0
        with self._lock:
            while self._waiting and size < _CHUNK_BYTES and len(chunk) < _MOST_IN_CHUNK:
                chunk.append(self._waiting.popleft())
                size += chunk[-1][1]
            self._taken = len(chunk)
        return chunk

    def _write(self, chunk: list[tuple[RecordT, int]]) -> None:
        lines: list[bytes] = []
        since = 0
        for at, (record, _) in enumerate(chunk, 1):
            try:
                lines.append(self._encode(record))
                since += len(lines[-1])
            except Exception as error:
                self._tell(f"a record cannot be written: {error!r}")
            if at % _BETWEEN_BREATHS == 0 or since > _BETWEEN_BREATHS_BYTES:
                since = 0
                time.sleep(_BREATH_S)
        data = b"".join(lines)
        done = self._file.append(data, lambda: self._given_up)
        whole, end = 0, 0
        for line in lines:
            end += len(line)
            whole += end <= done
        if self._file.trouble is not None and not self._given_up:
            self._tell(f"cannot be written: {self._file.trouble}; what is lost is counted")
        with self._lock:
            if self._given_up:  # all of it is counted
                return
            self.written += whole
            self.dropped[WRITE_FAILED] += len(lines) - whole
            self.dropped[NOT_ENCODED] += len(chunk) - len(lines)
            self._waiting_bytes -= sum([size for _, size in chunk])
            self._taken = 0

    def _tell(self, trouble: str) -> None:
        """Once."""
        if not self._told:
            self._told = True
            warnings.warn(f"{self._name} {trouble}", stacklevel=2)
