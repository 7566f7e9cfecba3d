"""A bounded reader of the protobuf wire format, enough to look into a model without trusting it.

It walks a buffer in place: nothing is copied, nothing is allocated by a length that the file names. See
https://protobuf.dev/programming-guides/encoding/ for the format.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from mmap import mmap

MAX_FIELDS = 10_000_000
"""Most fields looked at in one file, so that a hostile one cannot keep the reader busy for long."""

VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5
Buffer = mmap | bytes

# Attributes of tree ensembles hold millions of unpacked numbers; a regular expression skips such a run at once.
_RUNS = {
    0x3D: re.compile(rb"(?:\x3d[\x00-\xff]{4})++"),
    0x40: re.compile(rb"(?:\x40[\x80-\xff]{0,9}+[\x00-\x7f])++"),
}


class WireError(ValueError):
    """The bytes are not a protobuf message; the message says why, without the file's name."""


@dataclass(frozen=True, slots=True)
class Message:
    """The bytes of one message: `buffer[start:stop]`."""

    buffer: Buffer
    start: int
    stop: int

    def bytes(self) -> bytes:
        return self.buffer[self.start : self.stop]

    def text(self) -> str:
        return self.bytes().decode("utf-8", "replace")

    def __len__(self) -> int:
        return self.stop - self.start


class Reader:
    """Walks the fields of messages and counts them, all messages of one file together."""

    def __init__(self) -> None:
        self._left = MAX_FIELDS

    def fields(self, message: Message, *, every: bool = False) -> Iterator[tuple[int, int | Message]]:
        """(number, value) of each field: an int for varints, a `Message` for strings, bytes and inner messages.

        Numbers of fixed width are passed over, and long runs of numbers too unless `every`. Raises `WireError`.
        """
        buffer, at, stop = message.buffer, message.start, message.stop
        while at < stop:
            self._left -= 1
            if self._left < 0:
                raise WireError(f"more than {MAX_FIELDS:,} fields")
            run = None if every else _RUNS.get(buffer[at])
            if run is not None and stop - at > 16:
                found = run.match(buffer, at, stop)
                if found is not None and found.end() - at > 16:
                    at = found.end()
                    continue
            tag, at = _varint(buffer, at, stop)
            number, kind = tag >> 3, tag & 7
            if number == 0:
                raise WireError(f"field number 0 at byte {at}")
            if kind == VARINT:
                value, at = _varint(buffer, at, stop)
                yield number, value
            elif kind == LENGTH:
                length, at = _varint(buffer, at, stop)
                if length > stop - at:
                    raise WireError(f"a field at byte {at} claims {length} bytes where {stop - at} are left")
                yield number, Message(buffer, at, at + length)
                at += length
            elif kind in (FIXED64, FIXED32):
                at += 8 if kind == FIXED64 else 4
                if at > stop:
                    raise WireError("it ends inside a number")
            else:
                raise WireError(f"unknown wire type {kind} at byte {at}")


def _varint(buffer: Buffer, at: int, stop: int) -> tuple[int, int]:
    value = shift = 0
    while at < stop:
        byte = buffer[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFF_FFFF_FFFF_FFFF, at
        shift += 7
        if shift > 63:
            raise WireError(f"a number of more than 64 bits at byte {at}")
    raise WireError("it ends inside a number")
