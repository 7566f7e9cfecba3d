"""Events on their way through a stream: read, and answered."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from foretell.columns import Batch
from foretell.errors import InvalidInput, RowError
from foretell.events.interfaces import Events, Position
from foretell.events.planning import Plan
from foretell.forms.json_cells import objects
from foretell.types import ModelSpec


@dataclass(slots=True)
class Parsed:
    """Events as objects, empty ones in the place of `bad`. `read_at`: of the clock, when the source gave them."""

    events: Events
    objects: Sequence[Mapping[str, Any]]
    bad: Mapping[int, RowError]
    read_at: float

    @classmethod
    def of(cls, events: Events, read_at: float) -> Parsed:
        made, wrong = objects(events.texts)
        bad = {row: RowError(InvalidInput.code, why) for row, why in wrong.items()}
        return cls(events, made, {**bad, **events.bad} if events.bad else bad, read_at)

    @property
    def rows(self) -> int:
        return len(self.objects)

    @property
    def size_bytes(self) -> int:
        return self.events.size_bytes


class Failed(NamedTuple):
    """An event without an answer. `number`: of the event in its load."""

    number: int
    error: RowError
    place: Mapping[str, Any]
    text: bytes


@dataclass(slots=True)
class Answered:
    """The events of `parts`, which follow each other, with an answer or an error for each.

    `first_row`: the number of the first in the stream. `spec`: of the model that answered. `plan`: None before there is
    one.
    """

    parts: Sequence[Parsed]
    first_row: int
    answer: Batch
    spec: ModelSpec
    plan: Plan | None

    @property
    def rows(self) -> int:
        return self.answer.rows

    @property
    def size_bytes(self) -> int:
        return sum(part.size_bytes for part in self.parts)

    @property
    def position(self) -> Position:
        return self.parts[-1].events.position

    @property
    def objects(self) -> Sequence[Mapping[str, Any]]:
        return self.parts[0].objects if len(self.parts) == 1 else [row for part in self.parts for row in part.objects]

    def failed(self) -> Iterator[Failed]:
        """Each event without an answer, in order."""
        first, left = 0, sorted(self.answer.errors)
        at = 0
        for part in self.parts:
            while at < len(left) and left[at] < first + part.rows:
                number = left[at]
                events = part.events
                place, text = events.place(number - first), events.texts[number - first]
                yield Failed(number, self.answer.errors[number], place, text)
                at += 1
            first += part.rows


def bad_of(parts: Sequence[Parsed]) -> Mapping[int, RowError]:
    """The bad events of several loads, by their number among all."""
    if len(parts) == 1:
        return parts[0].bad
    made: dict[int, RowError] = {}
    first = 0
    for part in parts:
        made |= {first + row: error for row, error in part.bad.items()}
        first += part.rows
    return made
