"""The access log: one line for each request, also for those that are refused or given up."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import orjson

from foretell.config import ServerSettings
from foretell.observe.lines import LineWriter
from foretell.serve.exchange import Exchange
from foretell.serve.trace import Trace

if TYPE_CHECKING:
    from foretell.serve.reading import RequestReader

_STANDARD_OUTPUT = 1
_GAVE_UP = 499
_LONGEST = 2048
_PLAIN = bytes(range(0x20, 0x7F)).translate(None, b'"\\')
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class LoggedExchange(Exchange):
    """An exchange whose end is written to the access log of its server."""

    __slots__ = ("_span", "began", "client")

    def __init__(self, connection: RequestReader, *request: Any, **more: Any) -> None:
        super().__init__(connection, *request, **more)
        self.plain = False  # the reply has to have the id that the log has
        self.began = time.monotonic()
        self.client = connection.client_address
        self._span: Trace | None = None

    @property
    def trace(self) -> Trace | None:
        """The same in the reply and in the log."""
        if self._span is None:
            self._span = super().trace
        return self._span

    def abandon(self) -> None:
        if self.out is None and not self.abandoned:
            self._log(_GAVE_UP, 0)
        super().abandon()

    def end_stream(self, last: bytes, body_bytes: int) -> None:
        if self.out is None and not self.abandoned:
            self._log(200, body_bytes)
        super()._leave(last)

    def _leave(self, out: bytes) -> None:
        if self.out is None and not self.abandoned:
            self._log(int(out[9:12]), len(out) - out.index(b"\r\n\r\n") - 4)
        super()._leave(out)

    def _log(self, status: int, body_bytes: int) -> None:
        log = self.connection.server.access_log
        if log is not None:
            log.add(self, status, body_bytes)


class AccessLog:
    """`combined`: the combined log format of Apache and nginx; `json`: one object for each line."""

    def __init__(self, form: str, path: str | None) -> None:
        """`path`: None is standard output. Raises `InvalidSetting`."""
        self._line = _combined if form == "combined" else _json
        self.lines = LineWriter(_STANDARD_OUTPUT if path is None else path)

    def add(self, exchange: LoggedExchange, status: int, body_bytes: int) -> None:
        self.lines.add(self._line(exchange, status, body_bytes))


def access_log_of(settings: ServerSettings) -> AccessLog | None:
    """Raises `InvalidSetting` for a file that cannot be written."""
    return None if settings.access_log == "off" else AccessLog(settings.access_log, settings.access_log_file)


def _json(exchange: LoggedExchange, status: int, body_bytes: int) -> bytes:
    headers, trace = exchange.headers, exchange.trace
    entry = {
        "time": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "level": "error" if status >= 500 else "info",
        "event": "request",
        "request_id": exchange.request_id.decode(),
        "client": exchange.client,
        "method": _cut(exchange.method),
        "path": _cut(exchange.url),
        "status": status,
        "bytes": body_bytes,
        "duration_ms": round((time.monotonic() - exchange.began) * 1e3, 3),
        "user_agent": _cut(headers.get(b"user-agent", b"")),
    }
    if trace is not None:
        entry["trace_id"], entry["span_id"] = trace.trace_id.decode(), trace.span_id.decode()
        entry["parent_id"] = trace.parent_id.decode()
    return orjson.dumps(entry)


def _combined(exchange: LoggedExchange, status: int, body_bytes: int) -> bytes:
    now, headers = datetime.now(UTC), exchange.headers
    date = f"{now.day:02}/{_MONTHS[now.month - 1]}/{now:%Y:%H:%M:%S} +0000"
    asked = f"{_quoted(exchange.method)} {_quoted(exchange.url)} HTTP/1.1" if exchange.url else "-"
    referer, agent = (_quoted(headers.get(name, b"")) or "-" for name in (b"referer", b"user-agent"))
    client, size = exchange.client or "-", body_bytes or "-"
    return f'{client} - - [{date}] "{asked}" {status} {size} "{referer}" "{agent}"'.encode()


def _cut(value: bytes) -> str:
    """With what a terminal might take for a command written as `\\xhh`."""
    text = value[:_LONGEST].decode("latin-1")
    return text if text.isprintable() else "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)


def _quoted(value: bytes) -> str:
    """With what would end the field or the line written as `\\xhh`, as Apache does."""
    value = value[:_LONGEST]
    if not value.translate(None, _PLAIN):
        return value.decode()
    return "".join(chr(byte) if byte in _PLAIN else f"\\x{byte:02x}" for byte in value)
