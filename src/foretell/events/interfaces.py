"""What events come from, what their answers go to, and where it is written down how far a stream is: the contracts."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, ClassVar

import msgspec

from foretell.errors import RowError

Position = Mapping[str, Any]
"""Where a source stands, as plain data of JSON: all before it was given out. Only a source of its kind understands
it."""

Mark = Mapping[str, Any]
"""How far a sink holds what was written, as plain data of JSON. Only a sink of its kind understands it."""

FORMAT = 1


@dataclass(slots=True)
class Events:
    """Events that follow each other. `texts`: one JSON object each, without a line end.

    `position`: of the source behind the last of them. `bad`: those whose text is not whole, by their number here, and
    why. There may be none, where only the position has moved. `size_bytes`: what they take in memory, about.
    """

    texts: Sequence[bytes]
    position: Position
    size_bytes: int = 0
    bad: Mapping[int, RowError] = field(default_factory=dict)

    def place(self, number: int) -> dict[str, Any]:
        """Where the event stands in its source, for people: plain data of JSON."""
        return {"number": number}


class Source(ABC):
    """Gives out events in order. One thread polls; `stop` may be called by any, also by a signal handler.

    Guarantee: opened at a position that it gave with some events, a source whose `resumes` holds gives every event
    behind them, and none of those up to it, once and in the same order. Where `resumes` does not hold, an event is
    given out at most once.
    """

    resumes: ClassVar[bool]

    @abstractmethod
    def open(self, at: Position | None) -> Position | None:
        """Begins behind `at`; None: at the beginning. Returns where it stands; None where it has not begun.

        Raises `InvalidInput` where there is no such source.
        """

    @abstractmethod
    def poll(self, most: int) -> Events | None:
        """The next events, at most `most` (1 or more): what is there, as soon as there is one.

        Waits where there is none. None at the end, or soon after `stop`. Memory is bounded, however long an event is.
        """

    @abstractmethod
    def stop(self) -> None:
        """Lets `poll` return None soon, and from then on."""

    def acknowledge(self, position: Position) -> None:  # noqa: B027 (optional hook)
        """All up to `position`, which it has given, is committed: it will not be asked for again. Any thread."""

    def behind(self) -> int | None:
        """About how many bytes there are behind the position that was last acknowledged; None: not known. Any
        thread."""
        return None

    @abstractmethod
    def close(self) -> None:
        """Gives back what it holds; no more calls follow."""


class Sink(ABC):
    """Takes lines in order. One thread writes; `give_up` may be called by any.

    Guarantee: opened at a mark that `commit` gave, a sink whose `resumes` holds has exactly the lines that were written
    before that `commit`, also after a crash of the process or the machine: all others are gone from it. Where `resumes`
    does not hold, what was written is gone from our hands, and no mark is understood.
    """

    resumes: ClassVar[bool]

    @abstractmethod
    def open(self, at: Mark | None, *, fresh: bool = False) -> None:
        """Takes it over, cut back to `at`; None: to be empty, and with `fresh` it is emptied.

        Raises `InvalidInput` where it does not hold what `at` says, or holds something at None, and `Occupied` where
        another stream writes to it.
        """

    @abstractmethod
    def write(self, lines: bytes) -> None:
        """Adds whole lines; waits where the other side is slow. Raises `NoRoom`, another `Unavailable`, or
        `BrokenPipeError` where nobody reads any more."""

    @abstractmethod
    def commit(self) -> Mark:
        """Returns once all that was written is safe. Raises `NoRoom`; `Unavailable` where somebody else has changed
        what was written."""

    def give_up(self) -> None:  # noqa: B027 (optional hook)
        """Lets a `write` that waits for the other side fail soon, with `Unavailable`."""

    @abstractmethod
    def close(self) -> None:
        """Gives back what it holds. What was not committed may be lost."""


class Counts(msgspec.Struct, frozen=True):
    """Of a stream since its beginning. `events`: all that have ended; `dead`: those of them without an answer."""

    events: int = 0
    dead: int = 0

    def plus(self, events: int, dead: int) -> Counts:
        return Counts(self.events + events, self.dead + dead)


class Record(msgspec.Struct, frozen=True):
    """How far a stream is: everything together, so that nothing of it can be true without the rest.

    `made_from`: what decides the lines, by name; a stream goes on only with the same. `position`: None at the
    beginning. `plan`: see `events.planning`. `dead_letters`: of the sink of events without an answer, None where they
    stand among the answers.
    """

    made_from: Mapping[str, str]
    position: Position | None
    sink: Mark
    dead_letters: Mark | None
    counts: Counts
    plan: Mapping[str, Any] | None = None
    format: int = FORMAT


class State(ABC):
    """Keeps the record of one stream.

    Guarantee: `load` gives what the last `save` that returned was given, also after a crash, or what one that did not
    return was given; never anything else.
    """

    @abstractmethod
    def lock(self) -> AbstractContextManager[None]:
        """Held by one stream at a time, and free once its process has ended, however it ended. Raises `Occupied`."""

    @abstractmethod
    def load(self) -> Record | None:
        """None where no stream has begun. Raises `InvalidInput` for a record that is damaged, or of another release."""

    @abstractmethod
    def save(self, record: Record) -> None:
        """Raises `NoRoom`."""

    @abstractmethod
    def forget(self) -> None:
        """As if no stream had begun."""
