"""One process that scores, as the job sees it: tasks go in, events come out, and its board can be read."""

from __future__ import annotations

import queue
import threading
from abc import ABC, abstractmethod
from contextlib import suppress

from foretell.batch.board import Board
from foretell.batch.messages import Ended, Event, Task, events
from foretell.batch.seat import Seat
from foretell.remote.channel import Channel, ChannelClosed, Garbage
from foretell.remote.recipe import Recipe

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
    """Every event of the process goes to `inbox`; the last one is `Ended`. One thread calls it."""

    def __init__(self, seat: Seat, inbox: Inbox, recipe: Recipe) -> None:
        """`recipe`: of the model that it is to load."""
        self.number, self.pid = seat.number, seat.process.pid
        self.board = Board.on(seat.board)
        self._inbox, self._seat, self._process = inbox, seat, seat.process
        with suppress(OSError):  # if it has ended already, its last event tells
            recipe.send(seat.connection)
        self._channel = Channel(seat.connection)
        self._thread = threading.Thread(target=self._listen, name=f"foretell-score-{seat.number}", daemon=True)
        self._thread.start()

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
        self._process.wait(_END_S)
        self._process.kill()
        self._thread.join(_END_S)
        self.board.close()
        self._seat.close()

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
