"""What an HTTP request and an HTTP reply are to the code between socket and engine."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import orjson

from foretell.errors import InferenceError

JSON = b"application/json"
BINARY = b"application/octet-stream"
LENGTH_HEADER = b"Inference-Header-Content-Length"
NOT_KEPT = (b"Cache-Control", b"no-store")
"""Caches may keep the answer to any GET for a while (RFC 9111, 4.2.2), and some keep readiness for minutes."""

REASONS = {
    100: b"Continue", 200: b"OK", 204: b"No Content", 400: b"Bad Request", 401: b"Unauthorized", 403: b"Forbidden",
    404: b"Not Found", 405: b"Method Not Allowed", 408: b"Request Timeout", 413: b"Content Too Large",
    421: b"Misdirected Request", 429: b"Too Many Requests",
    431: b"Request Header Fields Too Large", 499: b"Client Closed Request", 500: b"Internal Server Error",
    501: b"Not Implemented", 503: b"Service Unavailable", 504: b"Gateway Timeout",
}  # fmt: skip

_STATUS = {
    "invalid_input": 400, "invalid_setting": 400, "not_found": 404, "overloaded": 429, "cancelled": 499,
    "unavailable_here": 501, "not_ready": 503, "replica_lost": 503, "transient": 503, "out_of_memory": 503,
    "deadline_exceeded": 504,
}  # fmt: skip

ID_HEADER = b"x-request-id"
_LONGEST_ID = 128
_VISIBLE = bytes(byte if 0x21 <= byte < 0x7F else byte ^ 0x80 for byte in range(256))
"""Changes every byte that is not visible ASCII."""


@dataclass(slots=True)
class Reply:
    """A whole reply."""

    body: bytes = b""
    status: int = 200
    content_type: bytes = JSON
    headers: tuple[tuple[bytes, bytes], ...] = field(default=())


def json_reply(value: object, status: int = 200) -> Reply:
    return Reply(orjson.dumps(value), status)


def binary_reply(body: bytes, text_length: int) -> Reply:
    """Tensors, behind a text of `text_length` bytes."""
    return Reply(body, content_type=BINARY, headers=((LENGTH_HEADER, b"%d" % text_length),))


class HttpError(InferenceError):
    """An error that only HTTP has: a bad method, an unknown path, a body too large."""

    code = "http"

    def __init__(self, status: int, what: str, headers: tuple[tuple[bytes, bytes], ...] = ()) -> None:
        super().__init__(what)
        self.status, self.headers = status, headers


def head_too_large(most_bytes: int) -> HttpError:
    return HttpError(431, f"the request head is too large; expected at most {most_bytes} bytes")


def too_many_headers(most: int) -> HttpError:
    return HttpError(431, f"there are too many headers; expected at most {most}")


def body_too_large(most_bytes: int) -> HttpError:
    return HttpError(413, f"the body is too large; expected at most {most_bytes} bytes")


def why_of(error: Exception) -> InferenceError:
    """Why a parser stopped with `error`: what a callback of ours raised, or what it found itself.

    Nobody may keep it in a variable that its traceback leads to: both would stay, with the bytes that were read, for
    the garbage collector.
    """
    cause = error.__context__
    if isinstance(cause, InferenceError):
        return cause.with_traceback(None)
    what = "it begins HTTP/2, which this server does not speak" if "PRI" in str(error) else error
    return HttpError(400, f"not a valid HTTP/1.1 request: {what}")


def error_status(error: InferenceError) -> tuple[int, tuple[tuple[bytes, bytes], ...]]:
    """Status and extra headers of an error."""
    if isinstance(error, HttpError):
        return error.status, error.headers
    wait_s = max(1, math.ceil(error.retry_after_s or 0.0))
    headers = ((b"Retry-After", b"%d" % wait_s),) if error.retryable else ()
    return _STATUS.get(error.code, 500), headers


def head_of(reply: Reply, date: bytes, keep_alive: bool, request_id: bytes) -> bytes:
    """Status line and headers, with the blank line that ends them. The last header is the id of the request."""
    extra = b"".join([b"%b: %b\r\n" % header for header in reply.headers])
    close = b"" if keep_alive else b"Connection: close\r\n"
    length = b"" if reply.status == 204 else b"Content-Length: %d\r\n" % len(reply.body)
    kind = b"Content-Type: %b\r\n" % reply.content_type if reply.body else b""
    return b"HTTP/1.1 %d %b\r\n%b%b%b%b%bX-Request-Id: %b\r\n\r\n" % (
        reply.status, REASONS.get(reply.status, b"Unknown"), date, kind, length, extra, close, request_id
    )  # fmt: skip


def stream_head_of(content_type: bytes, date: bytes, keep_alive: bool, chunked: bool, request_id: bytes) -> bytes:
    """The head of a reply whose length nobody knows yet: in chunks, or up to the end of the connection.

    Proxies are not to collect the parts: nginx and others that do so unless told know `X-Accel-Buffering`.
    """
    framing = b"Transfer-Encoding: chunked\r\n" if chunked else b""
    close = b"" if keep_alive else b"Connection: close\r\n"
    return (
        b"HTTP/1.1 200 OK\r\n%bContent-Type: %b\r\nCache-Control: no-cache\r\nX-Accel-Buffering: no\r\n"
        b"%b%bX-Request-Id: %b\r\n\r\n" % (date, content_type, framing, close, request_id)
    )


def own_request_id(headers: Mapping[bytes, bytes]) -> bytes | None:
    """The id that the caller gave, if a log and a header can hold it: visible ASCII, at most 128 characters."""
    value = headers.get(ID_HEADER)
    return value if value and is_id(value) else None


def is_id(value: bytes) -> bool:
    """Whether a log and a header can hold it."""
    return 0 < len(value) <= _LONGEST_ID and value.translate(_VISIBLE) == value


def without_upgrade(method: bytes, url: bytes, headers: Mapping[bytes, bytes], version: str) -> bytes:
    """The head of a request, written anew without the wish for another protocol."""
    lines = [b"%b %b HTTP/%b\r\n" % (method, url, version.encode())]
    for name, value in headers.items():
        if name == b"connection":
            tokens = [token.strip() for token in value.split(b",")]
            value = b", ".join([token for token in tokens if token.lower() not in (b"upgrade", b"http2-settings")])
        if name not in (b"upgrade", b"http2-settings"):
            lines.append(b"%b: %b\r\n" % (name, value))
    return b"".join([*lines, b"\r\n"])
