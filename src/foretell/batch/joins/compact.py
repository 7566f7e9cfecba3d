"""Thrift's compact protocol, as much of it as the footer of a Parquet file needs: structures in and out as plain lists.

Source: "Thrift Compact protocol encoding" of Apache Thrift. Whatever a footer holds that is not known here is kept as
it is, with the types that it has.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Union

TRUE, FALSE, BYTE, I16, I32, I64, DOUBLE, BINARY, LIST, SET, MAP, STRUCT = range(1, 13)
_INTEGERS = (I16, I32, I64)
_LONG = 15
_DEEPEST = 64

Value = Union[bool, int, bytes, tuple[int, list["Value"]], "Struct"]
"""A list is the type of its items, and the items. A double is its eight bytes."""


@dataclass(slots=True)
class Struct:
    """Fields in order of their ids, each with its type."""

    fields: dict[int, tuple[int, Value]]

    def get(self, number: int) -> Value | None:
        """The value of a field, or None where it is not there."""
        found = self.fields.get(number)
        return None if found is None else found[1]

    def integer(self, number: int) -> int:
        """Raises `ValueError` where there is no such number."""
        value = self.get(number)
        if not isinstance(value, int):
            raise ValueError(f"field {number} is no number")
        return value

    def structs(self, number: int) -> list[Struct]:
        """The items of a list of structures. Raises `ValueError` where there is none."""
        value = self.get(number)
        if not isinstance(value, tuple) or not all(isinstance(item, Struct) for item in value[1]):
            raise ValueError(f"field {number} is no list of structures")
        return [item for item in value[1] if isinstance(item, Struct)]

    def put(self, number: int, kind: int, value: Value) -> None:
        """Sets a field."""
        self.fields[number] = kind, value


def decoded(content: bytes) -> Struct:
    """Raises `ValueError` for what is no structure."""
    try:
        return _Reader(content).struct(0)
    except IndexError:
        raise ValueError("it ends too early") from None


def encoded(struct: Struct) -> bytes:
    made = bytearray()
    _put_struct(made, struct)
    return bytes(made)


class _Reader:
    def __init__(self, content: bytes) -> None:
        self._content, self._at = content, 0

    def struct(self, depth: int) -> Struct:
        if depth > _DEEPEST:
            raise ValueError("it is nested too deeply")
        fields: dict[int, tuple[int, Value]] = {}
        number = 0
        while head := self._byte():
            kind, step = head & 0x0F, head >> 4
            number = number + step if step else _unzigzag(self._varint())
            fields[number] = kind, self._value(kind, depth)
        return Struct(fields)

    def _value(self, kind: int, depth: int) -> Value:
        if kind in (TRUE, FALSE):
            return kind == TRUE
        return self._item(kind, depth)

    def _item(self, kind: int, depth: int) -> Value:
        if kind in _INTEGERS:
            return _unzigzag(self._varint())
        if kind == BINARY:
            return self._bytes(self._varint())
        if kind == STRUCT:
            return self.struct(depth + 1)
        if kind in (LIST, SET):
            return self._list(depth + 1)
        if kind in (TRUE, FALSE, BYTE):
            return self._byte()
        if kind == DOUBLE:
            return self._bytes(8)
        raise ValueError(f"type {kind} is not known")

    def _list(self, depth: int) -> tuple[int, list[Value]]:
        head = self._byte()
        kind, size = head & 0x0F, head >> 4
        if size == _LONG:
            size = self._varint()
        if size > len(self._content):
            raise ValueError("a list is longer than what holds it")
        return kind, [self._item(kind, depth) for _ in range(size)]

    def _byte(self) -> int:
        self._at += 1
        return self._content[self._at - 1]

    def _bytes(self, size: int) -> bytes:
        self._at += size
        if self._at > len(self._content):
            raise ValueError("it ends too early")
        return self._content[self._at - size : self._at]

    def _varint(self) -> int:
        value = shift = 0
        while True:
            byte = self._byte()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7


def _put_struct(made: bytearray, struct: Struct) -> None:
    before = 0
    for number, (kind, value) in sorted(struct.fields.items()):
        kind = (TRUE if value else FALSE) if kind in (TRUE, FALSE) else kind
        step = number - before
        if 0 < step <= _LONG:
            made.append(step << 4 | kind)
        else:
            made.append(kind)
            _put_varint(made, _zigzag(number))
        before = number
        if kind not in (TRUE, FALSE):
            _put_item(made, kind, value)
    made.append(0)


def _put_item(made: bytearray, kind: int, value: Value) -> None:
    if isinstance(value, Struct):
        _put_struct(made, value)
    elif isinstance(value, tuple):
        of, items = value
        made.append((len(items) if len(items) < _LONG else _LONG) << 4 | of)
        if len(items) >= _LONG:
            _put_varint(made, len(items))
        for item in items:
            _put_item(made, of, item)
    elif isinstance(value, bytes):
        if kind == BINARY:
            _put_varint(made, len(value))
        made += value
    elif kind in _INTEGERS:
        _put_varint(made, _zigzag(value))
    else:
        made.append(value)


def _put_varint(made: bytearray, value: int) -> None:
    while value >= 0x80:
        made.append(value & 0x7F | 0x80)
        value >>= 7
    made.append(value)


def _zigzag(value: int) -> int:
    return value << 1 if value >= 0 else (-value << 1) - 1


def _unzigzag(value: int) -> int:
    return (value >> 1) ^ -(value & 1)
