"""A connection without a socket, and an application without models."""

from __future__ import annotations

from foretell.serve.exchange import Exchange
from foretell.serve.messages import Reply


class Kept:
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        self.written = b""

    def write(self, data: bytes) -> None:
        self.written += data

    def set_write_buffer_limits(self, high: int | None = None) -> None: ...

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return False

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None: ...

    def close(self) -> None: ...


class Echo:
    """Answers with what it was asked."""

    def __init__(self) -> None:
        self.seen: list[tuple[bytes, bytes, bytes, dict[bytes, bytes]]] = []

    def handle(self, exchange: Exchange) -> None:
        self.seen.append((exchange.method, exchange.url, exchange.body, exchange.headers))
        exchange.respond(Reply(exchange.body or b"-"))

    def error_reply(self, error: Exception) -> Reply:
        return Reply(str(error).encode(), 400)

    async def drain(self) -> None: ...
