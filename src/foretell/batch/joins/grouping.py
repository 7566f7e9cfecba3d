"""Which parts become one file: a pure decision."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, TypeVar


class Sized(Protocol):
    @property
    def bytes(self) -> int: ...


PartT = TypeVar("PartT", bound=Sized)


_BEYOND = 1.2
"""Times the size that was asked for that a file may have."""


def grouped(parts: Iterable[PartT], about_bytes: int) -> list[list[PartT]]:
    """Neighbours together, in order, as long as that brings them nearer to `about_bytes`.

    Where parts have up to 40% of it, each file but the last is within 20% of it. A file goes further beyond it only
    where one part does.
    """
    groups: list[list[PartT]] = []
    held = 0
    for part in parts:
        joined = held + part.bytes
        if not groups or joined > about_bytes * _BEYOND or abs(joined - about_bytes) >= abs(held - about_bytes):
            groups.append([])
            held = 0
        groups[-1].append(part)
        held += part.bytes
    return groups
