"""One stream on its way: what was asked, the items that nobody has taken yet, and one end."""

from __future__ import annotations

import threading
import weakref
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

from foretell.clock import Clock
from foretell.columns import Batch, row_bytes
from foretell.errors import Cancelled, DeadlineExceeded, InferenceError
from foretell.model import Context

ItemT = TypeVar("ItemT")

MOST_ITEMS = 16
MOST_BYTES = 2**20
"""What may wait to be taken: as many items, and no further one once they have as many bytes."""


class StreamCall(Generic[ItemT]):
    """The token that travels with a stream. A worker puts items in, one caller takes them out; safe from any thread.

    It ends once: when the model has nothing more to say, with an error, or by `cancel`. Items that were there before
    an error are still given out; after `cancel` nobody takes any. A worker that finds no room waits, so that a model
    is never far ahead of who reads.
    """

    def __init__(
        self,
        batch: Batch,
        context: Context,
        encode: Callable[[Batch], ItemT],
        clock: Clock,
        told: Callable[[], None] | None = None,
    ) -> None:
        """`context`: parameters, deadline, sequence, device. `encode` runs on the worker's thread. `told` is called on
        any thread when there is something new for a caller that has found nothing."""
        self.batch = batch
        self.rows = max(1, batch.rows)
        self.deadline = context.deadline
        self.arrived = clock.monotonic()
        self.started: float | None = None
        """When it got its place; None: it waits, or never got one."""
        self.ended = False
        """Whether no further item is wanted, or there is none."""
        known = weakref.ref(self)  # which has the context: neither may keep the other

        def gone() -> bool:
            call = known()
            return call is None or call.ended

        self.context = Context(context.params, context.deadline, gone, context.sequence, context.device)
        self.error: InferenceError | None = None
        self.on_end: Callable[[StreamCall[ItemT]], None] | None = None
        """Called once, on the thread that ends it."""
        self.items = self.item_rows = 0
        """How many the model has given so far."""
        self._encode, self._clock, self._told = encode, clock, told
        self._changed = threading.Condition()
        self._buffer: deque[tuple[ItemT, int]] = deque()
        self._bytes = 0
        self._cancelled = self._asked = False

    @property
    def over(self) -> bool:
        """Whether `take` will never give another item."""
        return self.ended and not self._buffer

    @property
    def items_waiting(self) -> int:
        """Items that nobody has taken yet."""
        return len(self._buffer)

    @property
    def has_room(self) -> bool:
        return len(self._buffer) < MOST_ITEMS and self._bytes < MOST_BYTES

    def put(self, batch: Batch) -> bool:
        """Takes the next item from the model; returns when the one after it is wanted. False: none is."""
        item, size = self._encode(batch), row_bytes(batch) * batch.rows
        with self._changed:
            if self.ended:
                return False
            self._buffer.append((item, size))
            self._bytes += size
            self.items, self.item_rows = self.items + 1, self.item_rows + batch.rows
            self._changed.notify_all()
        self._tell()
        return self._wait_for_room()

    def finish(self, error: InferenceError | None = None) -> None:
        """No further item comes: the model has said all, or `error` stands where the next one would."""
        with self._changed:
            if self.ended:
                return
            self.ended, self.error = True, error
            self._changed.notify_all()
        if self.on_end is not None:
            self.on_end(self)
        self._tell()

    def cancel(self) -> None:
        """Whoever takes the items has gone. Before it has a place it never reaches the model."""
        with self._changed:
            self._cancelled = True
            self._buffer.clear()
            self._bytes = 0
        self.finish(Cancelled("the caller gave up"))

    def take(self) -> ItemT | None:
        """The next item, if it is there; else `told` is called once when it is, or when there will be none."""
        with self._changed:
            if not self._buffer:
                self._asked = not self.ended
                return None
            item, size = self._buffer.popleft()
            self._bytes -= size
            self._changed.notify_all()
            return item

    def wait(self) -> ItemT | None:
        """The next item, for callers that wait; None at the end. Raises the error that ended it, and
        `DeadlineExceeded`."""
        with self._changed:
            came = self._changed.wait_for(lambda: self._buffer or self.ended, self._left_s())
        if not came:
            self.finish(expired())
        item = self.take()
        if item is None and self.error is not None:
            raise self.error
        return item

    def _wait_for_room(self) -> bool:
        with self._changed:
            if self._changed.wait_for(lambda: self.ended or self.has_room, self._left_s()):
                return not self.ended
        self.finish(expired())
        return False

    def _left_s(self) -> float | None:
        return None if self.deadline is None else max(0.0, self.deadline - self._clock.monotonic())

    def _tell(self) -> None:
        with self._changed:
            tell, self._asked = self._asked and not self._cancelled, False
        if tell and self._told is not None:
            self._told()


def expired() -> DeadlineExceeded:
    return DeadlineExceeded("the time limit of the stream passed")
