"""A request of the batcher whose caller awaits it."""

from __future__ import annotations

import asyncio

from foretell.columns import Batch
from foretell.engine.work import Completed, Group, Work
from foretell.errors import InferenceError


class AwaitedWork(Work):
    """Ends in `future`."""

    __slots__ = ("future",)

    def __init__(self, batch: Batch, group: Group, deadline: float | None) -> None:
        super().__init__(list(batch.columns.values()), batch.rows, group, deadline)
        self.future: asyncio.Future[Batch] = asyncio.get_running_loop().create_future()

    def done(self, completed: Completed, start: int) -> None:
        if not self.future.done():
            self.future.set_result(completed.batch.slice(start, start + self.rows))

    def fail(self, error: InferenceError) -> None:
        if not self.future.done():
            self.future.set_exception(error)


def running_loop() -> asyncio.AbstractEventLoop | None:
    """The event loop of this thread, where one runs."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
