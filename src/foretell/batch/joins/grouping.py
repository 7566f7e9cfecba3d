"""Which parts become one file: a pure decision."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, TypeVar


class Sized(Protocol):
    @property
    def bytes(self) -> int: ...


PartT = TypeVar("PartT", bound=Sized)


def grouped(parts: Iterable[PartT], most_bytes: int) -> list[list[PartT]]:
    """Neighbours together, in order, as long as they have at most `most_bytes`; a larger one stands alone."""
    groups: list[list[PartT]] = []
    held = 0
    for part in parts:
        if not groups or held + part.bytes > most_bytes:
            groups.append([])
            held = 0
        groups[-1].append(part)
        held += part.bytes
    return groups
