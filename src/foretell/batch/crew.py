"""The processes of a job, some of which may be under way before it is known what the job is."""

from __future__ import annotations

import queue
from abc import ABC, abstractmethod
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from foretell.batch.hand import AnyHand, Hand, Inbox
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
    """Starts processes. Whatever they say comes to `inbox`. One thread calls it."""

    def __init__(self) -> None:
        self.inbox: Inbox = queue.Queue()
        self._waiting: list[Hand] = []
        self._started = 0

    def warm(self, count: int, hints: Sequence[str]) -> None:
        """Starts processes that import `hints` while their model is still being looked for. Raises `Unavailable`."""
        self._waiting += [self._new(hints) for _ in range(count)]

    def hire(self, recipe: Recipe | None) -> Hand:
        """One that is under way already, else a new one. Raises `Unavailable`."""
        if recipe is None:
            raise ValueError("a process needs to know its model")
        hand = self._waiting.pop(0) if self._waiting else self._new(())
        hand.know(recipe)
        return hand

    def keep(self, count: int) -> None:
        ended, self._waiting = self._waiting[count:], self._waiting[:count]
        for hand in ended:
            hand.kill()
        for hand in ended:
            hand.close()

    def close(self) -> None:
        """Ends those that were not needed."""
        self.keep(0)

    def _new(self, hints: Sequence[str]) -> Hand:
        self._started += 1
        return Hand(self._started - 1, self.inbox, hints)
