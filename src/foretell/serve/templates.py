"""Request heads that differ from an earlier one of their connection in a few values only, such as an id for each."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from foretell.config import ServerSettings
from foretell.serve.exchange import Exchange, is_plain
from foretell.serve.heads import TEXT_LENGTH, Head, Headers
from foretell.serve.messages import ID_HEADER

if TYPE_CHECKING:
    from foretell.serve.patterns import Patterns

_MOST_TEMPLATES = 4
_MOST_GAPS = 8
_MOST_BYTES = 2048
_LONGEST_VALUE = 512
_MOST_DIGITS = 10
_END = b"\r\n\r\n"
_LENGTH = b"content-length"
_ENCODED = frozenset((b"content-encoding", TEXT_LENGTH))
"""Headers that tell how to read the body."""
_NEVER = frozenset((b"expect", b"transfer-encoding", b"upgrade"))
_SECRET = frozenset((b"authorization", b"cookie", b"proxy-authorization"))
_CHANGING = _SECRET | {b"x-request-id", b"x-correlation-id", b"traceparent", b"tracestate", b"baggage"}
"""What is another value each time wherever it is sent, and what shall not be kept."""
_FIXED = frozenset((b"host", b"connection", b"proxy-connection", b"keep-alive", b"te", b"trailer", b"http2-settings"))
"""What the parser acts on, or who the request is for: never a gap."""
_VISIBLE = bytes(byte if 0x20 <= byte < 0x7F else byte ^ 0x80 for byte in range(256))
"""Changes every byte that is not visible ASCII."""


class Template(NamedTuple):
    """A head with gaps, each the value of one header.

    What fits has, byte for byte, the lines of a head that the parser has accepted; only the values in the gaps are
    others, and they are visible ASCII. So the parser would say the same of it, with these values.
    """

    first: bytes
    """All before the first gap."""
    gaps: tuple[tuple[bytes, bytes], ...]
    """The name of the header whose value stands there, and the bytes that follow."""
    length: int | None
    """Bytes of the body; None: one of the gaps tells it."""
    method: bytes
    url: bytes
    headers: Headers
    plain: bool
    most_head_bytes: int
    most_body_bytes: int
    usual: bool
    """Whether nothing but the numbers and the id of the request is new, see `patterns`."""

    def teach(self, patterns: Patterns, data: bytes, headers: Headers, body: bytes) -> None:
        """Has a usual request remembered, which fits, but for its id."""
        known = {name: value for name, value in headers.items() if name != ID_HEADER}
        at = len(self.first)
        for gap, then in self.gaps:
            stop = data.find(b"\r\n", at)
            if gap == ID_HEADER:
                head = Head(self.method, self.url, known, True, len(body), True)
                patterns.learn(data, head, body, slice(at, stop))
                return
            at = stop + len(then)

    def fit(self, data: bytes) -> tuple[Headers, bytes] | None:
        """The headers and body of `data`, if it is one whole request with such a head. The parser must be idle."""
        first, gaps, length, _, _, known, _, most_head_bytes, most_body_bytes, _ = self
        if not data.startswith(first):
            return None
        headers, at = known.copy(), len(first)
        for name, then in gaps:
            stop = data.find(b"\r\n", at, at + _LONGEST_VALUE)
            value = data[at:stop]
            if not data.startswith(then, stop) or value.translate(_VISIBLE) != value or value.strip() != value:
                return None
            headers[name] = value
            at = stop + len(then)
        if length is None:
            told = headers[_LENGTH]
            length = int(told) if told.isdigit() and len(told) < _MOST_DIGITS else -1
        if len(data) - at != length or length > most_body_bytes or at > most_head_bytes:
            return None
        return headers, data[at:]


def with_template(
    known: tuple[Template, ...], data: bytes, exchange: Exchange, names: set[bytes], settings: ServerSettings
) -> tuple[Template, ...]:
    """`known`, and a template of `data`, from which the parser made `exchange` and nothing else.

    `names`: the headers whose values are the gaps. At most four are kept; the oldest leaves.
    """
    headers = exchange.headers
    end = data.find(_END, 0, _MOST_BYTES) + 4
    body_bytes = int(headers.get(_LENGTH, b"0"))
    if end < 4 or not exchange.keep_alive or body_bytes != len(data) - end or _NEVER & headers.keys():
        return known
    places = _places(data[:end], headers, names)
    if not places or len(places) > _MOST_GAPS:
        return known
    gaps = []
    for (_, stop, name), (following, _, _) in zip(places, [*places[1:], (end, end, b"")], strict=True):
        gaps.append((name, data[stop:following]))
    kept = {name: b"" if name in names else value for name, value in headers.items()}
    length = None if _LENGTH in names else body_bytes
    first = data[: places[0][0]]
    template = Template(
        first, tuple(gaps), length, exchange.method, exchange.url, kept, is_plain(headers),
        min(_MOST_BYTES, settings.max_header_bytes), settings.max_body_bytes, _is_usual(exchange, names),
    )  # fmt: skip
    return (template, *known[: _MOST_TEMPLATES - 1])


def _is_usual(exchange: Exchange, names: set[bytes]) -> bool:
    others = exchange.headers.keys() - {ID_HEADER}
    return (
        ID_HEADER in names and names <= {ID_HEADER, _LENGTH} and exchange.method == b"POST"
        and is_plain(others) and _ENCODED.isdisjoint(others)
    )  # fmt: skip


def changing(headers: Headers, before: Headers) -> set[bytes]:
    """The headers that are another value each time, as far as two requests and the names tell."""
    return {
        name
        for name, value in headers.items()
        if name in _CHANGING or (name not in _FIXED and before.get(name, value) != value)
    }


def _places(head: bytes, headers: Headers, names: set[bytes]) -> list[tuple[int, int, bytes]]:
    """Where the values of `names` begin and end, in order; none where one cannot be told for sure."""
    small, places = head.lower(), []
    for name in names:
        line = b"\r\n" + name + b":"
        at = small.find(line) + len(line)
        start = at + head.startswith(b" ", at)
        stop = head.find(b"\r\n", start)
        if small.count(line) != 1 or head[start:stop] != headers[name] or not headers[name]:
            return []
        places.append((start, stop, name))
    return sorted(places)
