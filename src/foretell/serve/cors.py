"""Cross-origin requests: which pages of other origins may read what this server answers (the Fetch standard)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from foretell.serve.connection import HttpConnection
from foretell.serve.exchange import Exchange
from foretell.serve.messages import Reply

if TYPE_CHECKING:
    from foretell.serve.server import HttpServer

_ASKS = b"access-control-request-method"
_ASKS_FROM_OUTSIDE = b"access-control-request-private-network"
_METHODS = b"GET, HEAD, POST"
_HEADERS = (
    b"Authorization, Content-Encoding, Content-Type, Foretell-Explain, Inference-Header-Content-Length, "
    b"Traceparent, Tracestate, X-Request-Id"
)
_EXPOSED = b"Inference-Header-Content-Length, Retry-After, Server-Timing, Traceresponse, WWW-Authenticate, X-Request-Id"
_MAX_AGE_S = 7200


class Cors:
    """The origins that are allowed. Cookies and the like never are, as nothing here looks at them."""

    def __init__(self, origins: tuple[str, ...]) -> None:
        self._any = "*" in origins
        self._origins = frozenset(origin.lower().encode() for origin in origins)

    def allows(self, origin: bytes | None) -> bool:
        return origin is not None and (self._any or origin.lower() in self._origins)

    def headers(self, origin: bytes | None) -> bytes:
        """The lines that every reply gets."""
        vary = b"" if self._any else b"Vary: Origin\r\n"
        if origin is None or not self.allows(origin):
            return vary
        allowed = b"*" if self._any else origin
        return b"Access-Control-Allow-Origin: %b\r\nAccess-Control-Expose-Headers: %b\r\n%b" % (allowed, _EXPOSED, vary)

    def preflight(self, exchange: Exchange) -> Reply | None:
        """The answer to a browser that asks whether a page may ask; None: it is another request.

        It says nothing of what there is: a browser sends no token with it.
        """
        headers = exchange.headers
        if exchange.method != b"OPTIONS" or _ASKS not in headers or not self.allows(headers.get(b"origin")):
            return None
        answer: tuple[tuple[bytes, bytes], ...] = (
            (b"Access-Control-Allow-Methods", _METHODS),
            (b"Access-Control-Allow-Headers", _HEADERS),
            (b"Access-Control-Max-Age", b"%d" % _MAX_AGE_S),
        )
        if _ASKS_FROM_OUTSIDE in headers:  # a page of the internet, and we are in a network of its user
            answer = (*answer, (b"Access-Control-Allow-Private-Network", b"true"))
        return Reply(b"", 204, headers=answer)


class CorsConnection(HttpConnection):
    """A connection of a server that other origins may read. Without CORS, no request pays for it."""

    __slots__ = ("_cors",)

    def __init__(self, server: HttpServer, cors: Cors) -> None:
        super().__init__(server)
        self._cors = cors

    def replied(self, exchange: Exchange) -> None:
        out = exchange.out
        if out is not None and out.startswith(b"HTTP/"):  # else it is the end of a stream
            first = out.index(b"\r\n") + 2
            exchange.out = out[:first] + self._cors.headers(exchange.headers.get(b"origin")) + out[first:]
        super().replied(exchange)

    def stream(self, data: bytes) -> None:
        if data.startswith(b"HTTP/"):
            first = data.index(b"\r\n") + 2
            data = data[:first] + self._cors.headers(self._exchanges[0].headers.get(b"origin")) + data[first:]
        super().stream(data)


def with_preflight(cors: Cors, handle: Callable[[Exchange], None]) -> Callable[[Exchange], None]:
    """`handle`, which sees no preflight."""

    def answer(exchange: Exchange) -> None:
        reply = cors.preflight(exchange)
        if reply is None:
            handle(exchange)
        else:
            exchange.respond(reply)

    return answer
