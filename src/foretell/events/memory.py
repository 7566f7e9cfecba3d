"""A source, a sink and a state in memory, for tests and for who has events in a program: full peers of the files."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from foretell.errors import InvalidInput, Unavailable
from foretell.events.interfaces import Events, Mark, Position, Record, Sink, Source, State
from foretell.file_lock import Occupied


class MemorySource(Source):
    """Events that a program adds. Safe from any thread. Keeps all of them, so that it can be opened anywhere."""

    resumes = True

    def __init__(self, texts: Iterable[bytes] = (), *, ended: bool = False) -> None:
        """`ended`: nothing will be added."""
        self._changed = threading.Condition()
        self._texts, self._ended, self._stopped = list(texts), ended, False
        self._at = 0
        self.acknowledged = 0
        """How many events are committed."""

    def add(self, *texts: bytes) -> None:
        with self._changed:
            self._texts += texts
            self._changed.notify_all()

    def end(self) -> None:
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def open(self, at: Position | None) -> Position | None:
        self._at = self.acknowledged = int(at["at"]) if at is not None else 0
        self._stopped = False
        return {"at": self._at}

    def poll(self, most: int) -> Events | None:
        with self._changed:
            self._changed.wait_for(lambda: self._at < len(self._texts) or self._ended or self._stopped)
            texts = [] if self._stopped else self._texts[self._at : self._at + most]
        self._at += len(texts)
        return Events(texts, {"at": self._at}, sum(map(len, texts))) if texts else None

    def stop(self) -> None:
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def acknowledge(self, position: Position) -> None:
        self.acknowledged = int(position["at"])

    def behind(self) -> int:
        return sum(map(len, self._texts[self.acknowledged :]))

    def close(self) -> None:
        """It stays as it is."""


class MemorySink(Sink):
    """Lines that a program looks at: `content`."""

    resumes = True

    def __init__(self) -> None:
        self._content = bytearray()
        self._owner = threading.Lock()

    @property
    def content(self) -> bytes:
        return bytes(self._content)

    def open(self, at: Mark | None, *, fresh: bool = False) -> None:
        if not self._owner.acquire(blocking=False):
            raise Occupied("another stream writes here", where="memory")
        length = 0 if at is None else int(at["length"])
        if len(self._content) < length or (at is None and self._content and not fresh):
            self._owner.release()
            raise InvalidInput("it does not hold what was committed", where="memory", expected=length,
                               got=len(self._content))  # fmt: skip
        del self._content[length:]

    def write(self, lines: bytes) -> None:
        self._content += lines

    def commit(self) -> Mark:
        return {"length": len(self._content)}

    def close(self) -> None:
        if self._owner.locked():
            self._owner.release()


class MemoryState(State):
    """Lives as long as its program. `failing`: what `save` raises, for tests of what follows from it."""

    def __init__(self) -> None:
        self._record: Record | None = None
        self._owner = threading.Lock()
        self.failing: Unavailable | None = None

    @contextmanager
    def lock(self) -> Iterator[None]:
        if not self._owner.acquire(blocking=False):
            raise Occupied("another stream has this state", where="memory")
        try:
            yield
        finally:
            self._owner.release()

    def load(self) -> Record | None:
        return self._record

    def save(self, record: Record) -> None:
        if self.failing is not None:
            raise self.failing
        self._record = record

    def forget(self) -> None:
        self._record = None
