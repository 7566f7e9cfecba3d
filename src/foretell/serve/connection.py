"""One client's HTTP/1.1 connection, from its first byte to its orderly end."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import httptools

from foretell.errors import InferenceError
from foretell.serve.large_body import LargeBody
from foretell.serve.messages import HttpError
from foretell.serve.reading import CONTINUE
from foretell.serve.stream_reply import EventStream, StreamReply
from foretell.serve.writing import ReplyWriter

if TYPE_CHECKING:
    from foretell.serve.server import HttpServer

_HIGH_WATER_BYTES = 1 << 20
_LINGER_S = 5.0
_QUIET_S = 1.0
_PROBE_S = 0.1
_NO_PARSER = httptools.HttpRequestParser(None)
"""Of connections that are gone."""


class HttpConnection(ReplyWriter, asyncio.Protocol):
    """Begins and ends: a client that goes, one that is too slow, a server that stops."""

    __slots__ = ("_half_closed", "_unsent_bytes")

    def __init__(self, server: HttpServer) -> None:
        super().__init__(server)
        self._half_closed = False
        self._unsent_bytes = 0

    @property
    def client_address(self) -> str:
        peer = self._transport.get_extra_info("peername") if self._transport is not None else None
        return str(peer[0]) if isinstance(peer, tuple) else ""

    @property
    def busy(self) -> bool:
        return bool(self._exchanges)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]
        transport.set_write_buffer_limits(high=_HIGH_WATER_BYTES)  # type: ignore[attr-defined]
        if not self.server.opened(self):
            error = HttpError(503, "too many connections; try again later", ((b"Retry-After", b"1"),))
            self._refuse(error, lingers=False)

    def connection_lost(self, exc: Exception | None) -> None:
        self._closing = True
        for exchange in self._exchanges:
            exchange.abandon()
        self._transport = self._large = None
        self._parser = _NO_PARSER  # the two hold each other, and the garbage collector is not free
        self.server.closed(self)
        self._let_go()
        self._exchanges.clear()
        self._put_off.clear()

    def eof_received(self) -> bool:
        """A client may close its side and still read: what it asked is answered first. TLS has no such half."""
        if not self._exchanges or self._transport is None or not self._transport.can_write_eof():
            return False
        self.close_after_last()
        self._half_closed = True
        self._probe()
        asyncio.get_running_loop().call_later(_PROBE_S, self._probe)
        return True

    def _probe(self) -> None:
        """Finds out whether a client that closed its side still reads, since nobody waits for the answer otherwise.

        The first interim reply that comes back as a reset ends the connection with the next, and with it the work.
        """
        waits = self._exchanges and self._exchanges[0].out is None
        if isinstance(stream := self._first_stream(), EventStream) and stream.begun:
            stream.probe()
        elif waits and self._transport is not None and self._parser.get_http_version() != "1.0":
            self._transport.write(CONTINUE)

    def _room_for(self, length: int, text_length: int) -> LargeBody:
        return LargeBody(self, length, text_length)

    def _read_into(self, large: LargeBody) -> None:
        if self._transport is not None:
            self._transport.set_protocol(large)

    def large_body_read(self) -> None:
        large = self._large
        if self._transport is None or large is None:
            return
        if not self._closing:
            try:
                self._hold(large.size)
            except HttpError as error:
                self._refuse(error)
        if not (large.whole or self._closing):
            return
        self._transport.set_protocol(self)
        if self._closing:
            self._large, self._lingers = None, True
            return
        try:
            self.on_message_complete()
        finally:
            self._parser = httptools.HttpRequestParser(self)  # the other one still waits for the body

    def close_after_last(self) -> None:
        """No request after those accepted by now is answered."""
        if self._exchanges:
            self._closing = True
            self._exchanges[-1].keep_alive = False

    def close_if_idle(self) -> None:
        """Closes where no request is accepted, nor on its way."""
        idle = self.state in ("idle", "closing") or (self.state == "head" and not self._head_bytes)
        if idle and not self._exchanges and self._transport is not None:
            self._transport.close()

    def give_up(self, error: InferenceError) -> None:
        """Ends every request that has no reply yet with `error`."""
        self.close_after_last()
        self._put_off.clear()
        for exchange in self._exchanges:
            work = exchange.work
            if isinstance(work, StreamReply):
                work.give_up(error)
                continue
            if work is not None:
                work.cancel()
            if exchange.out is None:
                exchange.respond(self.server.error_reply(error))

    def expire(self, now: float) -> None:
        """Ends a connection that has been too slow; called about once a second."""
        transport, settings = self._transport, self._settings
        if self._half_closed:
            self._probe()
        waits = self._full and (self._put_off or self._first_stream() is not None)
        if transport is None or (self._exchanges and not waits):
            return
        before, self._unsent_bytes = self._unsent_bytes, transport.get_write_buffer_size()
        if self._unsent_bytes < before:  # slow, but it reads
            self.since = now
        waited = now - self.since
        if self._exchanges:
            if waited > settings.idle_timeout_s:
                transport.abort()  # a stream, or replies to many requests, that its client does not read
        elif self.state == "closing" or (self.state == "idle" and self._unsent_bytes):
            if waited > (_LINGER_S if self._lingers else settings.idle_timeout_s):
                transport.abort()  # closing would wait for a client that does not read
        elif self.state == "idle":
            if waited > settings.idle_timeout_s:
                transport.close()
        elif self.state == "head":
            if waited > settings.header_timeout_s:
                self._without_head(transport)
        elif waited > settings.body_timeout_s:
            self._refuse(HttpError(408, "the request body did not arrive in time"))

    def _without_head(self, transport: asyncio.BaseTransport) -> None:
        """Ends a connection whose client has not sent a whole head in time. Who has not sent a byte is told nothing: a
        pool may have opened it ahead of use, and would take what comes for the answer to what it sends next."""
        if self._fed:
            self._refuse(HttpError(408, "the request head did not arrive in time"))
        else:
            transport.close()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def _refuse(self, error: InferenceError, *, lingers: bool = True) -> None:
        """Answers something that is not a request we serve, after the replies before it, and closes."""
        if self._closing:  # what follows the last request is nobody's
            self._lingers = True
            return
        self._closing, self._lingers = True, lingers
        self._let_go()
        headers = self._head if self.state == "body" else {}
        exchange = self._exchange(self, b"", self._url, headers, b"", keep_alive=False, plain=False)
        self._exchanges.append(exchange)
        exchange.respond(self.server.error_reply(error))

    def _close(self) -> None:
        """Closes when everything is written.

        Where the client sent more than is answered, what still comes is read and dropped for a while: closing at once
        would reset the connection, and the client might never see the last reply. TLS cannot close one side alone, and
        so closes when nothing more has come for a while.
        """
        if self.state != "closing":
            self.state, self.since = "closing", self.server.now
        if self._transport is None or self._transport.is_closing():
            return
        if not self._lingers:
            self._transport.close()
        elif self._transport.can_write_eof():
            self._transport.write_eof()
        else:
            self._lingers = False  # until more comes
            asyncio.get_running_loop().call_later(_QUIET_S, self._close)


class PlainConnection(HttpConnection):
    """Of a client that speaks HTTP where HTTPS is spoken: it is told so, and nothing else."""

    __slots__ = ()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        if not self._closing:
            self._refuse(HttpError(400, "this address speaks HTTPS; ask for https://, not for http://"))
