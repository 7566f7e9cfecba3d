"""Events that are lines of something: each knows its place there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from foretell.events.cutter import Lines
from foretell.events.interfaces import Events, Position
from foretell.forms.mistaken import check_text

_UNPACK = "give what unpacks it a pipe: zcat FILE | foretell stream MODEL"


@dataclass(slots=True)
class LineEvents(Events):
    """`cut` begins at byte `offset`, behind `lines` lines, of the file `path`; "": of a pipe."""

    path: str = ""
    offset: int = 0
    lines: int = 0
    cut: Lines | None = None

    @classmethod
    def of(cls, cut: Lines, position: Position, path: str, offset: int, lines: int) -> LineEvents:
        return cls(cut.texts, position, cut.bytes, cut.bad, path, offset, lines, cut)

    def place(self, number: int) -> dict[str, Any]:
        before, offset = (number, 0) if self.cut is None else (self.cut.number(number), self.cut.offset(number))
        named = {"file": self.path} if self.path else {}
        return {**named, "line": self.lines + before + 1, "offset": self.offset + offset}


def check_lines(beginning: bytes, where: str) -> None:
    """Raises `InvalidInput` for the beginning of something else: each piece of it would be a dead letter."""
    check_text(beginning, where, "JSON Lines", _UNPACK)
