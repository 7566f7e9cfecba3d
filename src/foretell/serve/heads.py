"""Request heads that have been parsed before, as a client sends the same one again and again."""

from __future__ import annotations

from typing import NamedTuple

from foretell.serve.exchange import Exchange, is_plain
from foretell.serve.messages import HttpError

_MOST_HEADS = 1024
_MOST_BYTES = 2048
_END = b"\r\n\r\n"
_NEVER = frozenset((b"authorization", b"cookie", b"expect", b"proxy-authorization", b"transfer-encoding", b"upgrade"))

Headers = dict[bytes, bytes]


TEXT_LENGTH = b"inference-header-content-length"
_ONCE = frozenset((b"authorization", b"host", TEXT_LENGTH, b"origin"))
"""Headers that decide something: two of them would let a proxy in front decide otherwise."""


class Head(NamedTuple):
    """What a head says. `length`: bytes of the body that follows it. Its connection stays open.

    `usual`: whether it is a POST whose reply is the answer and nothing more.
    """

    method: bytes
    url: bytes
    headers: Headers
    plain: bool
    length: int
    usual: bool


class HeadCache:
    """Heads by their bytes. Only what the parser has accepted gets in, and nothing that is secret or has a state.

    Bounded: 1,024 heads of at most 2 KiB; a full cache starts again.
    """

    def __init__(self) -> None:
        self._heads: dict[bytes, Head] = {}

    def __len__(self) -> int:
        return len(self._heads)

    def find(self, data: bytes) -> tuple[Head, bytes] | None:
        """The head and body of `data`, if it is one whole request with a known head. The parser must be idle."""
        end = data.find(_END, 0, _MOST_BYTES) + 4
        head = self._heads.get(data[:end])
        if head is None or head.length != len(data) - end:
            return None
        return head, data[end:]

    def learn(self, data: bytes, exchange: Exchange) -> None:
        """Remembers the head of `data`, from which the parser made `exchange` and nothing else.

        That the body has just the length the head tells proves where the head ends.
        """
        end = data.find(_END, 0, _MOST_BYTES) + 4
        headers = exchange.headers
        length = int(headers.get(b"content-length", b"0"))
        if end > 3 and exchange.keep_alive and length == len(data) - end and not _NEVER & headers.keys():
            if len(self._heads) >= _MOST_HEADS:
                self._heads.clear()
            plain = is_plain(headers)
            usual = exchange.method == b"POST" and plain and b"content-encoding" not in headers
            self._heads[data[:end]] = Head(exchange.method, exchange.url, headers, plain, length, usual)


def again(name: bytes, before: bytes, value: bytes) -> bytes:
    """The value of a header that is there already: a list (RFC 9110, 5.3). Raises `HttpError` 400 where none may be."""
    if name in _ONCE:
        raise HttpError(400, f"there are two {name.decode().title()} headers; expected one")
    return b"%b%b %b" % (before, b";" if name == b"cookie" else b",", value)
