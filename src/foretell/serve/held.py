"""The memory that bodies of requests take, from their first bytes until the answer."""

from __future__ import annotations

from foretell.serve.messages import HttpError

SMALL_BYTES = 1 << 16
"""Smaller bodies are not counted: there are never more of them than connections and places in the queue."""


class HeldBodies:
    """Bytes that all requests hold together, and the most they may. Each alone may be within its own limit."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.bytes = 0

    def check(self, more: int) -> None:
        """Raises `HttpError` 503 where `more` bytes would be too many."""
        if self.bytes + more > self.most:
            raise HttpError(503, "the server holds as much of requests as it may; try again", ((b"Retry-After", b"1"),))

    def take(self, size: int) -> None:
        """Raises `HttpError` 503, and takes nothing."""
        self.check(size)
        self.bytes += size

    def give_back(self, size: int) -> None:
        self.bytes -= size
