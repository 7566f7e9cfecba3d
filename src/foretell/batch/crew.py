"""The processes of a job, some of which may be under way before it is known what the job is."""

from __future__ import annotations

import queue
from abc import ABC, abstractmethod
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from foretell.batch.hand import AnyHand, Hand, Inbox
from foretell.batch.seat import Seat, close_all
from foretell.remote.recipe import Recipe


class AnyCrew(ABC):
    """Gives processes, or what stands for one. Whatever they say comes to `inbox`."""

    inbox: Inbox

    @abstractmethod
    def hire(self, recipe: Recipe | None) -> AnyHand:
        """One that knows its model. Raises `Unavailable`."""

    def keep(self, count: int) -> None:  # noqa: B027 (optional hook)
        """No more than so many will be needed soon: ends others that were started already."""

    def close(self) -> None:  # noqa: B027 (optional hook)
        """Ends those that were not needed."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Crew(AnyCrew):
    """Processes. Whatever they say comes to `inbox`. One thread calls it."""

    def __init__(self, waiting: Sequence[Seat] = ()) -> None:
        """`waiting`: those that were started already, which now belong to it."""
        self.inbox: Inbox = queue.Queue()
        self._waiting = list(waiting)
        self._started = len(waiting)

    def hire(self, recipe: Recipe | None) -> Hand:
        """One that is under way already, else a new one. Raises `Unavailable`."""
        if recipe is None:
            raise ValueError("a process needs to know its model")
        return Hand(self._waiting.pop(0) if self._waiting else self._new(), self.inbox, recipe)

    def keep(self, count: int) -> None:
        ended, self._waiting = self._waiting[count:], self._waiting[:count]
        close_all(ended)

    def close(self) -> None:
        """Ends those that were not needed."""
        self.keep(0)

    def _new(self) -> Seat:
        self._started += 1
        return Seat(self._started - 1)
