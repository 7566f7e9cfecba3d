"""From the bytes of a connection to requests, within limits."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import httptools

from foretell.errors import InferenceError
from foretell.serve.exchange import Exchange, is_plain
from foretell.serve.heads import TEXT_LENGTH, Head, Headers, again
from foretell.serve.held import SMALL_BYTES
from foretell.serve.large_body import LARGE_BYTES, LargeBody
from foretell.serve.messages import HttpError, body_too_large, head_too_large, too_many_headers, why_of, without_upgrade
from foretell.serve.templates import Template, changing, with_template

if TYPE_CHECKING:
    from foretell.serve.guard import Caller
    from foretell.serve.patterns import KnownRequest
    from foretell.serve.server import HttpServer

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

_PIECE_BYTES = 1 << 16
_SMALL_BYTES = 1 << 12
_MOST_MISSES = 8
_SLASH = ord("/")


class RequestReader:
    """The reading half of a connection: gives each whole request to `_accept`, what is none to `_refuse`."""

    __slots__ = (
        "_before", "_body", "_body_bytes", "_chunk_bytes", "_closing", "_exchange", "_exchanges", "_fed",
        "_framing_bytes", "_head", "_head_bytes", "_headers", "_held", "_large", "_lingers", "_misses", "_parser",
        "_paused", "_repeated", "_settings", "_shares_read", "_take_known", "_templates", "_upgrading",
        "_url", "caller", "server", "since", "state",
    )  # fmt: skip

    def __init__(self, server: HttpServer) -> None:
        self.server = server
        self.since = server.now
        """When the present state began: idle, reading a head or a body, or closing (see `state`)."""
        self.state = "head"
        self.caller: Caller | None = None
        """Whose token came last, where tokens are needed."""
        self._settings, self._exchange = server.settings, server.exchange
        self._take_known: Callable[[Any, bytes], bool] = server.patterns.take
        self._exchanges: deque[Exchange | KnownRequest] = deque()
        self._closing = self._lingers = self._upgrading = self._shares_read = self._paused = False
        self._parser = httptools.HttpRequestParser(self)
        self._fed = False
        """Whether the parser has ever had a byte; before that, it is as idle as between two requests."""
        self._misses = 0
        """Heads in a row that were not known; a client whose heads all differ is not worth looking up."""
        self._templates: tuple[Template, ...] = ()
        self._before: Headers | None = None
        """The headers of the last request that was parsed although its head could have been known."""
        self._head_bytes = self._body_bytes = self._chunk_bytes = 0
        self._framing_bytes: int | None = None
        """Read since the last piece of a body, and no part of it; None: a read that was in part."""
        self._url = b""
        self._headers: Headers = {}
        self._repeated = 0
        """Headers that came again, and so are not counted by the length of `_headers`."""
        self._head: Headers = {}
        self._body: list[bytes | bytearray] = []
        self._large: LargeBody | None = None
        """Where the body goes instead."""
        self._held = 0
        """Bytes of it that count as held by the server."""

    @property
    def client_address(self) -> str:
        """The client's address without its port; "" where it has none, as on a Unix socket."""
        raise NotImplementedError

    def replied(self, exchange: Exchange) -> None:
        """An exchange has its reply now."""
        raise NotImplementedError

    def _accept(self, exchange: Exchange) -> None:
        raise NotImplementedError

    def _refuse(self, error: InferenceError, *, lingers: bool = True) -> None:
        raise NotImplementedError

    def close_after_last(self) -> None:
        raise NotImplementedError

    def _room_for(self, length: int, text_length: int) -> LargeBody:
        """Where a large body goes; `text_length`: how much of it is text that tells of the tensors behind it."""
        raise NotImplementedError

    def _read_into(self, large: LargeBody) -> None:
        """What is read from now on is the body's."""
        raise NotImplementedError

    def _write(self, data: bytes) -> None:
        raise NotImplementedError

    def data_received(self, data: bytes) -> None:
        if self._closing:
            self._lingers = True
            return
        began = self.state == "idle" or not self._fed
        if began:
            if not (self._exchanges or self._paused) and self._take_known(self, data):
                return
            if self._misses < _MOST_MISSES and self._take_with_known_head(data):
                return
            self.state, self.since, self._fed = "head", self.server.now, True
        self._chunk_bytes, self._shares_read = len(data), False
        try:
            self._feed(data)
        except httptools.HttpParserError as error:
            self._refuse(why_of(error))
            return
        if self.state == "idle":
            if began and self._misses < _MOST_MISSES and self._exchanges:
                self._learn(data)
        else:
            self._limit_what_is_unfinished(len(data))
            if self._large is not None and not self._closing:
                self._read_into(self._large)

    def _limit_what_is_unfinished(self, size: int) -> None:
        """A request that has begun may not go on for ever."""
        if self.state == "head":
            self._head_bytes += 0 if self._shares_read else size
            if self._head_bytes > self._settings.max_header_bytes:
                self._refuse(head_too_large(self._settings.max_header_bytes))
            elif len(self._headers) + self._repeated > self._settings.max_headers:
                self._refuse(too_many_headers(self._settings.max_headers))
        elif self.state == "body":  # sizes and extensions of chunks, and trailers
            self._framing_bytes = 0 if self._framing_bytes is None else self._framing_bytes + size
            if self._framing_bytes > self._settings.max_header_bytes:
                self._refuse(head_too_large(self._settings.max_header_bytes))

    def _take_with_known_head(self, data: bytes) -> bool:
        """Takes a request whose head was parsed before."""
        if self._templates and self._take_fitting(data):
            return True
        found = self.server.heads.find(data)
        if found is None:
            self._misses += 1
            return False
        head, body = found
        if head.usual:
            self.server.patterns.learn(data, head, body)
        self._take(head, head.headers, body)
        return True

    def _take(self, head: Head | Template, headers: Headers, body: bytes) -> None:
        """A request whose head was parsed before; the parser is idle and stays so."""
        self._misses, self.state, self.since = 0, "idle", self.server.now
        self._accept(self._exchange(self, head.method, head.url, headers, body, not self.server.draining, head.plain))

    def _take_fitting(self, data: bytes) -> bool:
        """Takes a request that one of the templates fits."""
        for template in self._templates:
            fits = template.fit(data)
            if fits is not None:
                if template.usual:
                    template.teach(self.server.patterns, data, *fits)
                self._take(template, *fits)
                return True
        return False

    def _learn(self, data: bytes) -> None:
        """Remembers the head of the last request, unless it is a client's first: one that asks once shall take
        nobody's place. (Other headers than were read belong to another body, which was compressed.)"""
        exchange = self._exchanges[-1]
        before, self._before = self._before, self._head
        if before is None or not isinstance(exchange, Exchange) or exchange.headers is not self._head or exchange.old:
            return
        names = changing(exchange.headers, before)
        if names:
            self._templates = with_template(self._templates, data, exchange, names, self._settings)
        else:
            self.server.heads.learn(data, exchange)

    def _feed(self, data: bytes) -> None:
        while data:
            try:
                self._parser.feed_data(data)
            except httptools.HttpParserUpgrade as stop:
                if not self._upgrading:  # CONNECT: what follows is no HTTP
                    self.close_after_last()
                    return
                # Nobody has to grant an upgrade. The parser leaves the body to the other protocol: it starts again.
                parser = self._parser
                head = without_upgrade(parser.get_method(), self._url, self._head, parser.get_http_version())
                data = head + data[stop.args[0] :]
                self._url, self._headers, self._repeated, self._upgrading = b"", {}, 0, False
                self._parser = httptools.HttpRequestParser(self)
            else:
                return

    def on_message_begin(self) -> None:
        if self.state == "idle":  # behind another request in the same read
            self.state, self._shares_read = "head", True

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        name, headers = name.lower(), self._headers
        if name in headers:
            value = again(name, headers[name], value)
            self._repeated += 1
            if self._repeated > self._settings.max_headers:
                raise too_many_headers(self._settings.max_headers)
        headers[name] = value

    def on_headers_complete(self) -> None:
        if self._head_bytes + self._chunk_bytes > self._settings.max_header_bytes:
            # Only now the head can be too large; the chunk also holds what comes after it.
            size = len(self._url) + sum(len(name) + len(value) for name, value in self._headers.items())
            if size > self._settings.max_header_bytes:
                raise head_too_large(self._settings.max_header_bytes)
        self.state, self.since = "body", self.server.now
        headers = self._head = self._headers
        if len(headers) + self._repeated > self._settings.max_headers:
            raise too_many_headers(self._settings.max_headers)
        host = headers.get(b"host")
        if host not in self.server.hosts.passed or self._url[0] != _SLASH:
            self.server.hosts.check(host, self._url, self._parser.get_http_version())
        length = headers.get(b"content-length")
        if length is not None and (len(length) > 18 or int(length) > self._settings.max_body_bytes):
            raise body_too_large(self._settings.max_body_bytes)
        if b"transfer-encoding" in headers:
            if headers[b"transfer-encoding"].lower() != b"chunked":
                raise HttpError(501, "the only Transfer-Encoding that is understood is chunked")
            self._headers = {}  # for trailers: they may not change a request that was checked already
            self._ask_for_body()
        elif length is not None and int(length) > SMALL_BYTES:
            self._ask_for_body()
            if int(length) >= LARGE_BYTES:
                text = headers.get(TEXT_LENGTH, b"")
                self._large = self._room_for(int(length), int(text) if text.isdigit() and len(text) < 19 else 0)
        if b"upgrade" in headers and self._parser.should_upgrade():
            self._upgrading = True
            return
        if b"expect" in headers and headers[b"expect"].lower() == b"100-continue":
            self._ask_for_body()
            if not self._exchanges and self._parser.get_http_version() != "1.0":
                self._write(CONTINUE)

    def _ask_for_body(self) -> None:
        """A body that will be of no use is not read. (A small one has come already.)"""
        self.server.held.check(int(self._head.get(b"content-length", b"0")))
        gate = self.server.gate
        if gate is not None:
            method = self._parser.get_method()
            gate(Exchange(self, method, self._url, self._head, b"", keep_alive=False, plain=False))

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        if self._body_bytes > self._settings.max_body_bytes:
            raise body_too_large(self._settings.max_body_bytes)
        if self._body_bytes > SMALL_BYTES:
            self._hold(self._body_bytes)
        self._framing_bytes = None
        if self._large is not None:
            self._large.add(body)
            return
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
        pieces, parser, large = self._body, self._parser, self._large
        body: bytes | memoryview
        if large is None:
            body = bytes(pieces[0]) if len(pieces) == 1 else b"".join(pieces)
        elif TEXT_LENGTH in self._head:
            body = large.content()
        else:
            body = bytes(large.content())
        exchange = self._exchange(
            self,
            parser.get_method(),
            self._url,
            self._head,
            body,
            parser.should_keep_alive() and not self.server.draining,
            is_plain(self._head),
        )
        if b"connection" in self._head and parser.get_http_version() == "1.0":
            exchange.old, exchange.plain = True, False
            exchange.keep_alive &= b"close" not in self._head[b"connection"].lower()
        if self._held:
            exchange.held, exchange.plain, self._held = self._held, False, 0
        self.state, self.since = "idle", self.server.now
        self._url, self._headers, self._body, self._large = b"", {}, [], None
        self._body_bytes = self._head_bytes = self._repeated = 0
        self._accept(exchange)

    def _hold(self, size: int) -> None:
        """So much of it is there. Raises `HttpError` 503 where that is too much."""
        self.server.held.take(size - self._held)
        self._held = size

    def _let_go(self) -> None:
        """What there is of a body will never be a request."""
        self.server.held.give_back(self._held)
        self._held, self._body = 0, []
