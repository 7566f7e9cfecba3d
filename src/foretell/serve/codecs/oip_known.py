"""Requests that differ from an earlier one only in their numbers, as those of one client usually do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec

from foretell.engine.work import Group
from foretell.serve.codecs.oip_message import RequestedOutput

_DATA = b'"data":'
_MOST_KNOWN = 1024
_MOST_BYTES = 512
_LONGEST_BODY = 1 << 16
_MOST_MISSES = 64


@dataclass(frozen=True, slots=True)
class Asked:
    """A checked request without its values: what the engine needs to know, and what the reply must look like.

    `decode_flat` decodes the `count` values of a request of one input, flat in JSON; None: it is another kind.
    """

    rows: int
    group: Group
    id: str | None = None
    outputs: list[RequestedOutput] | None = None
    binary: bool = False
    timeout_s: float | None = None
    decode_flat: Callable[[bytes], list[Any]] | None = None
    count: int = 0


class Numbers(NamedTuple):
    """Where the numbers of a known body are, all that is new in it, and how they are read.

    `read` takes `body[start:stop]` and gives `length` of something; else it is another body.
    """

    start: int
    stop: int
    asked: Asked
    read: Callable[[bytes], list[Any] | bytes]
    length: int


class KnownRequests:
    """What a request asks, by its bytes before and after the flat list of values of its one input.

    JSON is context-free: where another list of as many values of the same kind stood, the whole was decoded, checked
    and within its limits, so with this list it is. What is found here therefore says what the full way would say;
    what is not found goes that way. Bounded: 1,024 requests of at most 1 KiB; a full memory starts again.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[bytes, bytes], Asked] = {}
        self._misses = 0

    def __len__(self) -> int:
        return len(self._known)

    def find(self, body: bytes) -> tuple[list[Any], Asked] | None:
        """The values of a known request, and what it asks."""
        found = self._look_up(body)
        if found is None:
            self._misses += 1
            return None
        self._misses = 0
        start, end, asked, decode = found
        try:
            values = decode(body[start:end])
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return None
        return (values, asked) if len(values) == asked.count else None

    def numbers(self, body: bytes) -> Numbers | None:
        """Those of a known request."""
        found = self._look_up(body)
        return None if found is None else Numbers(*found, found[2].count)

    def _look_up(self, body: bytes) -> tuple[int, int, Asked, Callable[[bytes], list[Any]]] | None:
        start = body.find(_DATA, 0, _MOST_BYTES) + len(_DATA)
        end = body.find(b"]", start) + 1
        asked = self._known.get((body[:start], body[end:]))
        if asked is None or asked.decode_flat is None or len(body) > _LONGEST_BODY:
            return None
        return start, end, asked, asked.decode_flat

    def learn(self, body: bytes, data: msgspec.Raw, asked: Asked) -> None:
        """Remembers what `body` asks, if its one input's values, `data`, are just the list that `find` would cut out.

        A client whose requests all differ elsewhere, in an id for instance, is soon not learned from any more.
        """
        if asked.decode_flat is None or (self._misses > _MOST_MISSES and self._misses % _MOST_MISSES):
            return
        start = body.find(_DATA, 0, _MOST_BYTES) + len(_DATA)
        end = body.find(b"]", start) + 1
        before, after = body[:start], body[end:]
        # Without escapes and with one such key, the list stands where the decoder found the values.
        alone = b"\\" not in before and b"\\" not in after and _DATA[:-1] not in after
        if before.endswith(_DATA) and alone and len(after) <= _MOST_BYTES and body[start:end].strip() == bytes(data):
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            self._known[before, after] = asked
