"""One client's HTTP/1.1 connection: bytes to requests, replies back in the order of the requests."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

import httptools

from foretell.errors import InferenceError
from foretell.serve.exchange import Exchange
from foretell.serve.messages import HttpError, without_upgrade

if TYPE_CHECKING:
    from foretell.serve.server import HttpServer

_HIGH_WATER_BYTES = 1 << 20
_PIECE_BYTES = 1 << 16
_SMALL_BYTES = 1 << 12
_LINGER_S = 5.0
_PROBE_S = 0.1
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class HttpConnection(asyncio.Protocol):
    """Parses requests, keeps limits, and writes at most once per tick of the loop."""

    def __init__(self, server: HttpServer) -> None:
        self.server = server
        self.since = server.now
        """When the present state began: idle, reading a head or a body, or closing (see `state`)."""
        self.state = "head"
        self._settings = server.settings
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpRequestParser(self)
        self._exchanges: deque[Exchange] = deque()
        self._dirty = self._closing = self._lingers = self._upgrading = self._half_closed = False
        self._crowded = self._full = self._paused = False
        self._head_bytes = self._body_bytes = self._chunk_bytes = self._unsent_bytes = 0
        self._framing_bytes: int | None = None
        """Read since the last piece of a body, and no part of it; None: a read that was in part."""
        self._url = b""
        self._headers: dict[bytes, bytes] = {}
        self._head: dict[bytes, bytes] = {}
        self._body: list[bytes | bytearray] = []

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
        self._transport = None
        self.server.closed(self)
        for exchange in self._exchanges:
            exchange.abandoned = True
            if exchange.out is None and exchange.work is not None:
                exchange.work.cancel()
        self._exchanges.clear()

    def eof_received(self) -> bool:
        """A client may close its side and still read: what it asked is answered first."""
        if not self._exchanges:
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
        if waits and self._transport is not None and self._parser.get_http_version() != "1.0":
            self._transport.write(_CONTINUE)

    def data_received(self, data: bytes) -> None:
        if self._closing:
            self._lingers = True
            return
        if self.state == "idle":
            self.state, self.since = "head", self.server.now
        self._chunk_bytes = len(data)
        try:
            self._feed(data)
        except httptools.HttpParserError as error:
            cause = error.__context__
            if isinstance(cause, HttpError):
                self._refuse(cause)
            else:
                self._refuse(HttpError(400, f"not a valid HTTP/1.1 request: {error}"))
            return
        if self.state == "head":
            self._head_bytes += len(data)
            if self._head_bytes > self._settings.max_header_bytes:
                self._refuse(self._head_too_large())
        elif self.state == "body":  # sizes and extensions of chunks, and trailers, may not go on for ever
            self._framing_bytes = 0 if self._framing_bytes is None else self._framing_bytes + len(data)
            if self._framing_bytes > self._settings.max_header_bytes:
                self._refuse(self._head_too_large())

    def _feed(self, data: bytes) -> None:
        while data:
            try:
                self._parser.feed_data(data)
            except httptools.HttpParserUpgrade as stop:
                if not self._upgrading:  # CONNECT: what follows is no HTTP
                    self.close_after_last()
                    return
                # Nobody has to grant an upgrade. The parser leaves the body to the other protocol: it starts again.
                data = without_upgrade(self._parser.get_method(), self._url, self._head) + data[stop.args[0] :]
                self._url, self._headers, self._upgrading = b"", {}, False
                self._parser = httptools.HttpRequestParser(self)
            else:
                return

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        if self._head_bytes + self._chunk_bytes > self._settings.max_header_bytes:
            # Only now the head can be too large; the chunk also holds what comes after it.
            size = len(self._url) + sum(len(name) + len(value) for name, value in self._headers.items())
            if size > self._settings.max_header_bytes:
                raise self._head_too_large()
        self.state, self.since = "body", self.server.now
        headers = self._head = self._headers
        length = headers.get(b"content-length")
        if length is not None and (len(length) > 18 or int(length) > self._settings.max_body_bytes):
            raise self._body_too_large()
        if b"transfer-encoding" in headers:
            if headers[b"transfer-encoding"].lower() != b"chunked":
                raise HttpError(501, "the only Transfer-Encoding that is understood is chunked")
            self._headers = {}  # for trailers: they may not change a request that was checked already
        if b"upgrade" in headers and self._parser.should_upgrade():
            self._upgrading = True
            return
        if b"expect" in headers and headers[b"expect"].lower() == b"100-continue" and not self._exchanges:
            self._write(_CONTINUE)

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        if self._body_bytes > self._settings.max_body_bytes:
            raise self._body_too_large()
        self._framing_bytes = None
        pieces = self._body
        if len(body) < _SMALL_BYTES and pieces and len(pieces[-1]) < _PIECE_BYTES:
            # An object for each of many tiny chunks would take far more memory than they.
            if type(pieces[-1]) is not bytearray:
                pieces[-1] = bytearray(pieces[-1])
            pieces[-1] += body
        else:
            pieces.append(body)

    def on_message_complete(self) -> None:
        if self._closing or self._upgrading:
            return
        body, parser = self._body, self._parser
        exchange = Exchange(
            self,
            parser.get_method(),
            self._url,
            self._head,
            bytes(body[0]) if len(body) == 1 else b"".join(body),
            parser.should_keep_alive() and not self.server.draining and not self._is_old(),
        )
        self.state, self.since = "idle", self.server.now
        self._url, self._headers, self._body, self._body_bytes, self._head_bytes = b"", {}, [], 0, 0
        self._exchanges.append(exchange)
        if not exchange.keep_alive:
            self._closing = True
        elif len(self._exchanges) >= self._settings.max_pipelined:
            self._crowded = True
            self._throttle()
        self.server.handle(exchange)

    def _is_old(self) -> bool:
        """HTTP/1.0: a client that is not told that the connection stays open waits for its end."""
        return b"connection" in self._head and self._parser.get_http_version() == "1.0"

    def replied(self, exchange: Exchange) -> None:
        """A reply is there; it leaves when those before it have left, with all others of this tick."""
        if not self._dirty and self._exchanges and self._exchanges[0] is exchange:
            self._dirty = True
            self.server.dirty(self)

    def flush(self) -> None:
        """Writes every reply whose turn it is."""
        self._dirty = False
        exchanges, out, last = self._exchanges, [], None
        while exchanges and (reply := exchanges[0].out) is not None:
            out.append(reply)
            last = exchanges.popleft()
        if self._transport is None or last is None:
            return
        self._transport.write(out[0] if len(out) == 1 else b"".join(out))
        if not last.keep_alive:
            self._close()
        elif self._crowded and len(exchanges) < self._settings.max_pipelined // 2 + 1:
            self._crowded = False
            self._throttle()
        if not exchanges and self.state == "idle":
            self.since = self.server.now

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
        for exchange in self._exchanges:
            if exchange.work is not None:
                exchange.work.cancel()
            if exchange.out is None:
                exchange.respond(self.server.error_reply(error))

    def expire(self, now: float) -> None:
        """Ends a connection that has been too slow; called about once a second."""
        transport, settings = self._transport, self._settings
        if self._half_closed:
            self._probe()
        if self._exchanges or transport is None:
            return
        before, self._unsent_bytes = self._unsent_bytes, transport.get_write_buffer_size()
        if self._unsent_bytes < before:  # slow, but it reads
            self.since = now
        waited = now - self.since
        if self.state == "closing" or (self.state == "idle" and self._unsent_bytes):
            if waited > (_LINGER_S if self._lingers else settings.idle_timeout_s):
                transport.abort()  # closing would wait for a client that does not read
        elif self.state == "idle":
            if waited > settings.idle_timeout_s:
                transport.close()
        elif self.state == "head":
            if waited > settings.header_timeout_s:
                self._refuse(HttpError(408, "the request head did not arrive in time"))
        elif waited > settings.body_timeout_s:
            self._refuse(HttpError(408, "the request body did not arrive in time"))

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def pause_writing(self) -> None:
        self._full = True
        self._throttle()

    def resume_writing(self) -> None:
        self._full = False
        self._throttle()

    def _throttle(self) -> None:
        """Reads on only while there is room for further requests and for their replies."""
        wanted = self._crowded or self._full
        if wanted != self._paused and self._transport is not None and not self._transport.is_closing():
            self._paused = wanted
            if wanted:
                self._transport.pause_reading()
            else:
                self._transport.resume_reading()

    def _refuse(self, error: HttpError, *, lingers: bool = True) -> None:
        """Answers something that is not a request we serve, after the replies before it, and closes."""
        if self._closing:  # what follows the last request is nobody's
            self._lingers = True
            return
        self._closing, self._lingers = True, lingers
        exchange = Exchange(self, b"", b"", {}, b"", keep_alive=False)
        self._exchanges.append(exchange)
        exchange.respond(self.server.error_reply(error))

    def _close(self) -> None:
        """Closes when everything is written.

        Where the client sent more than is answered, what still comes is read and dropped for a while: closing at once
        would reset the connection, and the client might never see the last reply.
        """
        self.state, self.since = "closing", self.server.now
        if self._transport is None or self._transport.is_closing():
            return
        if self._lingers:
            self._transport.write_eof()
        else:
            self._transport.close()

    def _write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)

    def _head_too_large(self) -> HttpError:
        return HttpError(
            431, f"the request head is too large; expected at most {self._settings.max_header_bytes} bytes"
        )

    def _body_too_large(self) -> HttpError:
        return HttpError(413, f"the body is too large; expected at most {self._settings.max_body_bytes} bytes")
