"""Waiting that a signal handler may end: it takes no lock, which the thread that it interrupts might have."""

from __future__ import annotations

import os
import select
from contextlib import suppress


class Bell:
    """Rung once. One thread waits for it, also beside a descriptor that something comes from."""

    def __init__(self, descriptor: int | None = None) -> None:
        """`descriptor`: `wait` ends when there is something to be read from it, too."""
        self._closed = True
        self._hears, self._rings = os.pipe()
        self._closed = False
        os.set_blocking(self._rings, False)
        self._poll = select.poll()
        self._poll.register(self._hears, select.POLLIN)
        if descriptor is not None:
            self._poll.register(descriptor, select.POLLIN)

    def wait(self, seconds: float | None = None) -> None:
        """Returns when it is rung, the descriptor has something, or the time is up. May return early."""
        self._poll.poll(None if seconds is None else seconds * 1000)

    def ring(self) -> None:
        if not self._closed:
            with suppress(BlockingIOError):  # it was rung often enough
                os.write(self._rings, b"x")

    def __del__(self) -> None:
        self.close()

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            os.close(self._hears)
            os.close(self._rings)
