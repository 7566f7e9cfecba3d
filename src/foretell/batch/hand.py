"""One process that scores, as the job sees it: tasks go in, events come out, and its board can be read."""

from __future__ import annotations

import queue
import threading
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import ExitStack, suppress

from foretell.batch.board import Board
from foretell.batch.messages import Ended, Event, Task, events
from foretell.remote.channel import Channel, ChannelClosed, Garbage
from foretell.remote.recipe import Recipe
from foretell.remote.start import start

_CHILD = "foretell.batch.child"
_END_S = 10.0


class AnyHand(ABC):
    """Does tasks in order, and tells of each what came of it; the last event is `Ended`. One thread calls it."""

    number: int
    board: Board
    pid: int | None = None
    """Of its process; None where that is this one."""

    @abstractmethod
    def give(self, task: Task) -> None:
        """Adds a task; if it is gone, its last event tells."""

    @abstractmethod
    def kill(self) -> None:
        """Ends it at once."""

    @abstractmethod
    def leave(self) -> None:
        """Lets it end by itself once it has done its task."""

    @abstractmethod
    def close(self) -> None:
        """Gives back what was shared, once it has ended."""


Inbox = queue.Queue[tuple[AnyHand, Event]]


class Hand(AnyHand):
    """Starts the process. Every event goes to `inbox`; the last one is `Ended`. One thread calls it."""

    def __init__(self, number: int, inbox: Inbox, hints: Sequence[str] = ()) -> None:
        """`hints`: modules that it will need. Raises `Unavailable` where no process can be started."""
        self.number = number
        self.board = Board.make()
        self._inbox = inbox
        with ExitStack() as ours:
            ours.callback(self.board.close)
            files = (self.board.descriptor,)
            self._connection, self._process = start(_CHILD, f"score-{number}", ours, _nothing, files, hints)
            self._channel = Channel(self._connection)
            self.pid = self._process.pid
            self._held = ours.pop_all()
        self._thread = threading.Thread(target=self._listen, name=f"foretell-score-{number}", daemon=True)
        self._thread.start()

    def know(self, recipe: Recipe) -> None:
        """Tells it, before its first task, which model it is to load."""
        with suppress(OSError):  # if it has ended already, its last event tells
            recipe.send(self._connection)

    def give(self, task: Task) -> None:
        """Sends a task; if the process is gone, its last event tells."""
        with suppress(ChannelClosed):
            self._channel.send(task)

    def kill(self) -> None:
        """Ends the process at once."""
        self._process.kill()

    def leave(self) -> None:
        """Lets the process end by itself once it has done its task."""
        self._channel.shut()

    def close(self) -> None:
        """Gives back what was shared, once the process has ended."""
        if not self._process.wait(_END_S):
            self.kill()
        self._process.join(_END_S)
        self._thread.join(_END_S)
        self._held.close()

    def _listen(self) -> None:
        try:
            while True:
                message = self._channel.receive()
                if message is not None:
                    self._inbox.put((self, events.decode(message)))
        except (ChannelClosed, Garbage, ValueError):
            pass  # what it says is not understood, or it says nothing any more
        if not self._process.wait(_END_S):
            self._process.kill()
            self._process.wait(_END_S)
        self._inbox.put((self, Ended(self._process.ending)))


def _nothing() -> None:
    """Its event is put by the thread that listens, after all that it had said."""
