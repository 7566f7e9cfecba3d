"""Whose turn it is to take a client in: the connections of every worker, in memory that all of them see.

Several processes that wait at one listening socket race for each client, and who is awake wins: of 64 clients that
come together, one of two workers got 42 as a rule, and once all (docs/decisions/0009). So whoever holds more than
another gives way for a moment.
"""

from __future__ import annotations

import mmap
import os
import struct
import tempfile
from collections.abc import Callable

_ENTRY = struct.Struct("=qd")
"""Connections, or `_ABSENT`; and when the worker was last seen to be awake (monotonic seconds, one clock for all)."""
_ABSENT = -1
_ASLEEP_AFTER_S = 3.0
_HANGS_AFTER_S = 30.0
"""Whoever has room waits for nobody that sleeps; whoever is full waits for so long before it refuses a client that
another has room for: a slow answer is better than none, and none that comes is better than a wait for ever."""
_EVEN = 8
"""Differences below one eighth are none: it is not worth making clients wait for."""


class Tally:
    """An entry for each worker. It is a hint, read without a lock: a wrong guess costs a client a moment."""

    def __init__(self, descriptor: int, workers: int, monotonic: Callable[[], float]) -> None:
        self.descriptor = descriptor
        self._workers = workers
        self._monotonic = monotonic
        self._memory = mmap.mmap(descriptor, workers * _ENTRY.size)

    @classmethod
    def made(cls, workers: int, monotonic: Callable[[], float]) -> Tally:
        """In a file without a name, whose descriptor the workers inherit. All are absent."""
        descriptor = _unnamed_file()
        os.ftruncate(descriptor, workers * _ENTRY.size)
        tally = cls(descriptor, workers, monotonic)
        for worker in range(workers):
            tally.absent(worker)
        return tally

    def absent(self, worker: int) -> None:
        """It takes nobody in: nobody gives way to it."""
        self._write(worker, _ABSENT)

    def holds(self, worker: int, connections: int) -> None:
        """It has so many connections, and is awake."""
        self._write(worker, connections)

    def may_take(self, worker: int, connections: int, most: int, *, waited: bool = False) -> bool:
        """Whether a worker that holds `connections` takes the next client, or leaves it to one that holds fewer.

        `waited`: the client has been left to others for long enough. `most`: as many as each may hold; who is full
        takes a client, to refuse it, only where all are that do not hang.
        """
        full = connections >= most
        least, awake = connections, self._monotonic() - (_HANGS_AFTER_S if full else _ASLEEP_AFTER_S)
        for other in range(self._workers):
            held, seen = _ENTRY.unpack_from(self._memory, other * _ENTRY.size)
            if other != worker and held != _ABSENT and seen >= awake:
                least = min(least, held)
        if full:
            return least >= most
        return waited or connections <= least + least // _EVEN

    def close(self) -> None:
        self._memory.close()
        os.close(self.descriptor)

    def _write(self, worker: int, connections: int) -> None:
        _ENTRY.pack_into(self._memory, worker * _ENTRY.size, connections, self._monotonic())


class Seat:
    """The place of one worker in the tally. `most`: as many connections as it may have."""

    def __init__(self, tally: Tally, worker: int, most: int) -> None:
        self._tally, self._worker, self._most = tally, worker, most

    def may_take(self, connections: int, *, waited: bool) -> bool:
        return self._tally.may_take(self._worker, connections, self._most, waited=waited)

    def holds(self, connections: int) -> None:
        self._tally.holds(self._worker, connections)

    def leave(self) -> None:
        self._tally.absent(self._worker)


def _unnamed_file() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("foretell-tally")
    with tempfile.TemporaryFile(buffering=0) as file:
        return os.dup(file.fileno())
