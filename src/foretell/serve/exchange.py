"""One request, and the reply it will have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from foretell.serve.messages import Reply, head_of

if TYPE_CHECKING:
    from foretell.serve.reading import RequestReader


class Cancellable(Protocol):
    def cancel(self) -> None: ...


class Exchange:
    """One request and the reply it will have. The application calls `respond` or `respond_json` once.

    `headers` has lower-case names; a repeated one keeps its last value.
    """

    __slots__ = ("_connection", "abandoned", "body", "headers", "keep_alive", "method", "out", "url", "work")

    def __init__(
        self,
        connection: RequestReader,
        method: bytes,
        url: bytes,
        headers: dict[bytes, bytes],
        body: bytes,
        keep_alive: bool,
    ) -> None:
        self._connection = connection
        self.method, self.url, self.headers, self.body = method, url, headers, body
        self.keep_alive = keep_alive
        self.out: bytes | None = None
        self.abandoned = False
        self.work: Cancellable | None = None
        """Cancelled when the client goes away before its reply is there."""

    def respond(self, reply: Reply) -> None:
        head = head_of(reply, self._connection.server.date, self.keep_alive)
        self._leave(head if self.method == b"HEAD" else head + reply.body)

    def respond_json(self, body: bytes) -> None:
        """The reply of most requests: status 200, JSON. Its head is remembered by length."""
        if self.keep_alive and self.method != b"HEAD":
            self._leave(self._connection.server.json_head(len(body)) + body)
        else:
            self.respond(Reply(body))

    def _leave(self, out: bytes) -> None:
        if self.out is None:
            self.out = out
            self.work = None  # the two hold each other, and the garbage collector is not free
            self._connection.replied(self)
