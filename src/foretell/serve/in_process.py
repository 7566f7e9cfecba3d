"""Clients in the server's own process: no sockets, and else everything from the parser to the bytes of the reply."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import httptools

from foretell.errors import Unavailable
from foretell.serve.server import HttpServer

_READ_BYTES = 1 << 18
"""A socket gives no more at a time either."""


class Received(NamedTuple):
    """A reply as it came. `headers` has lower-case names; of a repeated one the last value counts."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class InProcess(asyncio.Transport):
    """One connection to a server on this loop, for one request after another."""

    def __init__(self, server: HttpServer) -> None:
        super().__init__({"peername": ("127.0.0.1", 0)})
        self._connection = server.factory()
        self._reply: asyncio.Future[Received] | None = None
        self._head = self._closed = False
        self._begin()
        self._connection.connection_made(self)

    async def ask(self, request: bytes, *, head: bool = False) -> Received:
        """The reply to a whole request. `head`: its method is HEAD. Raises `Unavailable` where none comes."""
        if self._closed:
            raise Unavailable("the server has closed the connection")
        self._begin()
        reply: asyncio.Future[Received] = asyncio.get_running_loop().create_future()
        self._reply = reply
        self._head = head
        for at in range(0, len(request), _READ_BYTES):
            if not self._closed:
                self._connection.data_received(request[at : at + _READ_BYTES])
        try:
            return await reply
        except asyncio.CancelledError:
            self.close()  # the server hears of it as of a client that hangs up
            raise

    def _begin(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._headers: dict[str, str] = {}
        self._body: list[bytes] = []

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        if self._head:
            self._finish()

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        if self._parser.get_status_code() < 200:  # an interim reply
            self._headers = {}
        else:
            self._finish()

    def _finish(self) -> None:
        if self._reply is not None and not self._reply.done():
            self._reply.set_result(Received(self._parser.get_status_code(), self._headers, b"".join(self._body)))

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self._parser.feed_data(bytes(data))

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            if self._reply is not None and not self._reply.done():
                self._reply.set_exception(Unavailable("the server has closed the connection without a reply"))
            with contextlib.suppress(RuntimeError):  # a loop that has closed has no server any more
                asyncio.get_running_loop().call_soon(self._connection.connection_lost, None)

    def abort(self) -> None:
        self.close()

    def is_closing(self) -> bool:
        return self._closed

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        """The server has said its last: nothing of ours is still on its way to it."""
        self.close()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Nothing waits here: whoever asked has its reply at once."""

    def get_write_buffer_size(self) -> int:
        return 0

    def pause_reading(self) -> None:
        """There is one request at a time."""

    def resume_reading(self) -> None:
        """See `pause_reading`."""

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return super().get_extra_info(name, default)
