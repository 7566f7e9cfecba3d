"""One request, and the reply it will have."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Protocol

from foretell.serve.codings import COMPRESS_FROM_BYTES, compressed, encoding_of
from foretell.serve.messages import NOT_KEPT, Reply, head_of, own_request_id, stream_head_of
from foretell.serve.trace import HEADER as TRACEPARENT
from foretell.serve.trace import Trace, trace_of

if TYPE_CHECKING:
    from foretell.serve.reading import RequestReader


class Cancellable(Protocol):
    def cancel(self) -> None: ...


_COMPRESS_HERE_BYTES = 1 << 16
_KEPT = (b"GET", b"HEAD")
"""Methods whose answers caches keep unless they are told not to."""
_ASK = frozenset((b"x-request-id", b"foretell-explain", TRACEPARENT))
"""Headers that ask for more in the reply than the answer."""


def is_plain(names: Iterable[bytes]) -> bool:
    """Whether the reply to a request with these headers is the answer and what every reply has."""
    return _ASK.isdisjoint(names)


class Exchange:
    """One request and the reply it will have. The application calls `respond` or `respond_json` once.

    `headers` has lower-case names; a repeated one keeps its last value. `body` is a read-only memoryview where tensors
    in it are large, so that nobody has to copy them. `plain`: see `is_plain`.
    """

    __slots__ = (
        "_connection", "_id", "abandoned", "body", "headers", "held", "keep_alive", "method", "old", "out", "plain",
        "url", "work",
    )  # fmt: skip

    def __init__(
        self,
        connection: RequestReader,
        method: bytes,
        url: bytes,
        headers: dict[bytes, bytes],
        body: bytes | memoryview,
        keep_alive: bool,
        plain: bool,
    ) -> None:
        self._connection = connection
        self.method = method
        self.url = url
        self.headers = headers
        self.body = body
        self.keep_alive = keep_alive
        self.plain = plain
        self.old = False
        """Whether it came by HTTP/1.0 and would keep the connection, which such a client has to be told."""
        self.out: bytes | None = None
        self.abandoned = False
        self.work: Cancellable | None = None
        """Cancelled when the client goes away before its reply is there."""
        self.held = 0
        """Bytes that count as held by the server until the reply is there. Only one that is not `plain` has any."""
        self._id: bytes | None = None

    @property
    def connection(self) -> RequestReader:
        """Where it came from."""
        return self._connection

    @property
    def trace(self) -> Trace | None:
        """The trace that the caller named, and a new span of it each time."""
        return trace_of(self.headers)

    @property
    def request_id(self) -> bytes:
        """The caller's own where it is sane, else one of ours; the same in the reply and in the log."""
        if self._id is None:
            self._id = own_request_id(self.headers) or self._connection.server.reply_heads.new_id()
            self.plain = False  # somebody knows this id: the reply may not have another one
        return self._id

    @property
    def _last_header(self) -> bytes:
        """The id of the request, and behind it the answer to a trace, and that the connection stays open."""
        last, trace = self.request_id, self.trace
        if self.old and self.keep_alive:
            last += b"\r\nConnection: keep-alive"
        return last if trace is None else b"%b\r\ntraceresponse: %b" % (last, trace.header)

    def abandon(self) -> None:
        """The client has gone: nobody reads a reply any more."""
        self.abandoned = True
        self.release()
        if self.out is None and self.work is not None:
            self.work.cancel()
        self.work = None  # see `_leave`

    def respond(self, reply: Reply) -> None:
        """Compressed where the client accepts that; a large body is compressed beside the loop, and leaves later."""
        if len(reply.body) >= COMPRESS_FROM_BYTES and b"accept-encoding" in self.headers and self.out is None:
            encoding = encoding_of(reply, self.headers[b"accept-encoding"])
            packer = self._connection.server.packer
            if encoding is not None and len(reply.body) <= _COMPRESS_HERE_BYTES:
                reply = compressed(reply, encoding)
            elif encoding is not None and packer.has_room:
                as_it_is, call = reply, partial(compressed, reply, encoding)
                packer.begin(self, call, self._respond, lambda _: self._respond(as_it_is))
                return
        self._respond(reply)

    def _respond(self, reply: Reply) -> None:
        server = self._connection.server
        server.responses[reply.status // 100] += 1
        if self.method in _KEPT:
            reply = replace(reply, headers=(*reply.headers, NOT_KEPT))
        head = head_of(reply, server.date, self.keep_alive, self._last_header)
        self._leave(head if self.method == b"HEAD" else head + reply.body)

    def respond_json(self, body: bytes) -> None:
        """The reply of most requests: status 200, JSON, no method but POST or GET. Its head is remembered by length."""
        if self.plain and self.keep_alive and self.out is None:
            connection = self._connection
            self.out = connection.server.json_head(len(body)) + body
            self.work = None
            connection.replied(self)
        elif self.keep_alive:
            self._leave(self._connection.server.reply_heads.others(len(body), self._last_header) + body)
        else:
            self.respond(Reply(body))

    def hold(self, size: int) -> None:
        """Counts so many more bytes until the reply is there. Raises `HttpError` 503 where they are too many."""
        self._connection.server.held.take(size)
        self.held += size
        self.plain = False

    def release(self) -> None:
        """What it holds is wanted no longer."""
        self._connection.server.held.give_back(self.held)
        self.held = 0

    def stream_head(self, content_type: bytes, chunked: bool) -> bytes:
        """The head of a reply that comes in parts; with them, the connection writes it."""
        server = self._connection.server
        server.responses[2] += 1
        return stream_head_of(content_type, server.date, self.keep_alive, chunked, self._last_header)

    def end_stream(self, last: bytes, body_bytes: int) -> None:
        """The last bytes of a reply that came in parts, `body_bytes` of them in all."""
        self._leave(last)

    def _leave(self, out: bytes) -> None:
        if self.out is None:
            self.out = out
            if self.held:
                self.release()
            self.work = None  # the two hold each other, and the garbage collector is not free
            self._connection.replied(self)
