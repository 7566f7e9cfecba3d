"""The streams of a model that runs in a child process: the parent asks for one item after the other."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator

from foretell.columns import Batch
from foretell.errors import InferenceError

Items = Generator[Batch]


class OpenStreams:
    """The child's streams that have begun and not ended. The parent counts them, and has a limit for them."""

    def __init__(self) -> None:
        self._open: dict[int, Items] = {}

    def step(self, number: int, begin: Callable[[], Items] | None) -> Batch | None:
        """The next item of a stream, which begins where `begin` is given; None: there is none, and it is over. It is
        over, too, where it raises."""
        items = self._open.pop(number) if begin is None else begin()
        item = next(items, None)
        if item is not None:
            self._open[number] = items
        return item

    def stop(self, number: int) -> None:
        """Nobody wants more. What the model raises over it is nobody's."""
        items = self._open.pop(number, None)
        if items is not None:
            with contextlib.suppress(Exception, SystemExit):
                items.close()

    def close(self) -> None:
        for number in list(self._open):
            self.stop(number)


def drawn(step: Callable[[bool], Batch | None], stop: Callable[[], object]) -> Items:
    """The parent's side: `step(begins)` gives the next item, None at the end. `stop` wherever it ends otherwise."""
    begun = over = False
    try:
        while not over:
            begins, begun = not begun, True
            item = step(begins)
            over = item is None
            if item is not None:
                yield item
    finally:
        if not over:
            with contextlib.suppress(InferenceError, MemoryError):  # what ended it is what counts
                stop()
