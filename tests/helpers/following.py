"""A source that is polled by a thread of its own, and a file for it to follow."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from looking import until

from foretell.clock import ManualClock
from foretell.events.follow import FileSource
from foretell.events.interfaces import Position


def lines(*numbers: int) -> bytes:
    return b"".join(b'{"number":%d}\n' % number for number in numbers)


def add(path: Path, content: bytes) -> None:
    with path.open("ab") as file:
        file.write(content)


class Follower:
    """A source that is polled by a thread of its own; what it has given, and what it has said."""

    def __init__(self, path: Path, at: Position | None = None, **options: Any) -> None:
        self.clock = ManualClock()
        self.said: list[str] = []
        self.texts: list[bytes] = []
        self.positions: list[Position] = []
        self.places: list[dict[str, Any]] = []
        self.bad: list[str] = []
        self.source = FileSource(path, say=lambda line, /, **_: self.said.append(line), clock=self.clock, **options)
        self.source.open(at)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def wait_for(self, content: bytes) -> None:
        """Until these lines were given, and no others; time passes meanwhile."""

        def there() -> bool:
            self.clock.advance(0.5)
            return len(self.texts) >= content.count(b"\n")

        until(there)
        assert self.content == content

    @property
    def content(self) -> bytes:
        return b"".join(text + b"\n" for text in self.texts)

    @property
    def position(self) -> Position:
        return self.positions[-1]

    def join(self) -> None:
        self._thread.join(60)
        assert not self._thread.is_alive()

    def close(self) -> None:
        self.source.stop()
        self.join()
        self.source.close()

    def _run(self) -> None:
        while (events := self.source.poll(4)) is not None:
            self.places += [events.place(number) for number in range(len(events.texts))]
            self.bad += [error.message for error in events.bad.values()]
            self.positions.append(events.position)
            self.texts += events.texts


@contextmanager
def followed(path: Path, at: Position | None = None, **options: Any) -> Iterator[Follower]:
    follower = Follower(path, at, **options)
    try:
        yield follower
    finally:
        follower.close()


def once(path: Path, at: Position | None = None) -> Follower:
    follower = Follower(path, at, once=True)
    follower.join()
    follower.close()
    return follower
