"""How the parts of a server tell what happened, without knowing how that is written."""

from __future__ import annotations

from typing import Literal, Protocol

Level = Literal["info", "warning", "error"]


class Say(Protocol):
    def __call__(self, line: str, /, *, event: str = "message", level: Level = "info", **fields: object) -> None:
        """`line` is for people. `event`: a short name for programs; `fields`: what the line is about."""
        ...


def nobody(line: str, /, *, event: str = "message", level: Level = "info", **fields: object) -> None:
    """For parts that nobody listens to."""
