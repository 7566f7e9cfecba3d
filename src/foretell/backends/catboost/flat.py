"""A bounded reader of FlatBuffers, enough to look into a model: https://flatbuffers.dev/internals/."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np

from foretell.columns import Array


class FlatError(ValueError):
    """The bytes are no FlatBuffer, or half of one."""


class Table:
    """One table; its fields go by their numbers in the schema. A field that is not there is 0 or empty."""

    def __init__(self, data: bytes, at: int | None = None) -> None:
        self._data = data
        self._at = _number("I", data, 0) if at is None else at
        self._fields = self._at - _number("i", data, self._at)
        self._count = (_number("H", data, self._fields) - 4) // 2

    def number(self, field: int, kind: str, default: int = 0) -> int:
        """`kind`: as `struct` has it."""
        at = self._place(field)
        return default if at is None else int(_number(kind, self._data, at))

    def table(self, field: int) -> Table:
        at = self._place(field)
        if at is None:
            raise FlatError(f"field {field} is missing")
        return Table(self._data, at + _number("I", self._data, at))

    def tables(self, field: int) -> list[Table]:
        start, count = self._vector(field, 4)
        places = range(start, start + 4 * count, 4)
        return [Table(self._data, place + _number("I", self._data, place)) for place in places]

    def array(self, field: int, dtype: Any) -> Array:
        kind = np.dtype(dtype)
        start, count = self._vector(field, kind.itemsize)
        return np.frombuffer(self._data, kind, count, start) if count else np.zeros(0, kind)

    def text(self, field: int) -> str:
        return self.array(field, np.uint8).tobytes().decode()

    def texts(self, field: int) -> list[str]:
        start, count = self._vector(field, 4)
        found = []
        for place in range(start, start + 4 * count, 4):
            at = place + _number("I", self._data, place)
            found.append(_slice(self._data, at + 4, _number("I", self._data, at)).decode())
        return found

    def _place(self, field: int) -> int | None:
        if field >= self._count:
            return None
        offset = _number("H", self._data, self._fields + 4 + 2 * field)
        return self._at + offset if offset else None

    def _vector(self, field: int, size: int) -> tuple[int, int]:
        at = self._place(field)
        if at is None:
            return 0, 0
        start = at + _number("I", self._data, at)
        count = _number("I", self._data, start)
        if start + 4 + count * size > len(self._data):
            raise FlatError(f"field {field} claims {count} values where fewer bytes are left")
        return start + 4, count


def _slice(data: bytes, at: int, length: int) -> bytes:
    if at + length > len(data):
        raise FlatError("a text leads out of its bytes")
    return data[at : at + length]


def _number(kind: str, data: bytes, at: int) -> int:
    if not 0 <= at <= len(data) - struct.calcsize(kind):
        raise FlatError("it leads out of its bytes")
    return int(struct.unpack_from(f"<{kind}", data, at)[0])
