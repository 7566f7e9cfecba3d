"""Work that goes on behind the caller's back, one piece after the other."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable

_WAITING = 1


class Behind:
    """A thread that does what it is given, in order. `put` waits while one piece is under way and one more waits."""

    def __init__(self, name: str) -> None:
        self._pieces: queue.Queue[Callable[[], None] | None] = queue.Queue(_WAITING)
        self._thread = threading.Thread(target=self._run, name=f"foretell-{name}", daemon=True)
        self._thread.start()

    def put(self, piece: Callable[[], None]) -> None:
        """`piece` tells by itself how it ended, and raises nothing."""
        self._pieces.put(piece)

    def wait(self) -> None:
        """Returns when all that it was given is done."""
        done = threading.Event()
        self._pieces.put(done.set)
        done.wait()

    def close(self) -> None:
        """Returns when all of it is done."""
        self._pieces.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (piece := self._pieces.get()) is not None:
            piece()
