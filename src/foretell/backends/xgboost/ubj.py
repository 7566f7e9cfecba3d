"""A strict reader of UBJSON as XGBoost writes it: bounded, and nothing else is taken.

What follows a name decides what the native reader does; a file that says anything in another way than XGBoost is
refused, so that both readers see the same. The format: https://ubjson.org/type-reference/.
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np

_NUMBERS = {
    b"i": "b", b"U": "B", b"I": "h", b"u": "H", b"l": "i", b"m": "I", b"L": "q", b"M": "Q", b"d": "f", b"D": "d",
}  # fmt: skip
_CONSTANTS = {b"T": True, b"F": False, b"Z": None}
_MOST_DEEP = 32


class UbjError(ValueError):
    """The bytes are no UBJSON of XGBoost; the message says why, without the file's name."""


def read_ubj(data: bytes) -> Any:
    """Objects as dicts, arrays of one type as read-only NumPy arrays, others as lists. Raises `UbjError`."""
    reader = _Reader(data)
    value = reader.value(0)
    if reader.at != len(data):
        raise UbjError(f"{len(data) - reader.at} bytes follow its end")
    return value


class _Reader:
    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def value(self, depth: int) -> Any:
        if depth > _MOST_DEEP:
            raise UbjError("it is nested too deeply")
        marker = self._take(1)
        if marker == b"{":
            return self._object(depth)
        if marker == b"[":
            return self._array(depth)
        if marker == b"S":
            return self._text()
        if marker in _NUMBERS:
            return self._number(marker)
        if marker in _CONSTANTS:
            return _CONSTANTS[marker]
        raise UbjError(f"an unknown type at byte {self.at - 1}")

    def _object(self, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        while self.data[self.at : self.at + 1] != b"}":
            name = self._text()
            if name in found:
                raise UbjError(f"{name[:40]!r} stands twice before byte {self.at}")
            found[name] = self.value(depth + 1)
        self.at += 1
        return found

    def _array(self, depth: int) -> Any:
        kind = b""
        if self.data[self.at : self.at + 1] == b"$":
            self.at += 1
            kind = self._take(1)
        if self._take(1) != b"#":
            raise UbjError(f"an array without a length at byte {self.at - 1}")
        count = self._length()
        if not kind:
            return [self.value(depth + 1) for _ in range(self._fitting(count, 1))]
        if kind not in _NUMBERS:
            raise UbjError(f"an array of an unknown type at byte {self.at}")
        dtype = np.dtype(f">{_NUMBERS[kind]}")
        raw = self._take(self._fitting(count, dtype.itemsize) * dtype.itemsize)
        return np.frombuffer(raw, dtype)

    def _text(self) -> str:
        try:
            return self._take(self._fitting(self._length(), 1)).decode()
        except UnicodeDecodeError as error:
            raise UbjError(f"text that is not UTF-8 before byte {self.at}") from error

    def _length(self) -> int:
        marker = self._take(1)
        if marker != b"L":
            raise UbjError(f"a length of another type at byte {self.at - 1}")
        return int(self._number(marker))

    def _number(self, marker: bytes) -> Any:
        kind = f">{_NUMBERS[marker]}"
        return struct.unpack(kind, self._take(struct.calcsize(kind)))[0]

    def _fitting(self, count: int, size: int) -> int:
        if not 0 <= count <= (len(self.data) - self.at) // size:
            raise UbjError(f"{count} values where {len(self.data) - self.at} bytes are left")
        return count

    def _take(self, count: int) -> bytes:
        if count > len(self.data) - self.at:
            raise UbjError("it ends too early")
        taken = self.data[self.at : self.at + count]
        self.at += count
        return taken
