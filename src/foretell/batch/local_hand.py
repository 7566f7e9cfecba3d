"""Scoring in this very process, for models that exist nowhere else: as the job sees it, a process like any other."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable

from foretell.batch.board import Board
from foretell.batch.hand import AnyHand, Inbox
from foretell.batch.messages import Ended, Event, Load, Task
from foretell.batch.tasks import Tasks
from foretell.remote.loading import Loaded

_END_S = 10.0


class LocalHand(AnyHand):
    """A thread that does tasks. A call that crashes ends this process, and one that hangs cannot be ended."""

    def __init__(self, loading: Callable[[Load], Loaded], inbox: Inbox) -> None:
        self.number = 0
        self.board = Board.make()
        self._inbox = inbox
        self._given: queue.Queue[Task | None] = queue.Queue()
        self._doing = Tasks(loading, self.board, self._tell)
        self._thread = threading.Thread(target=self._run, name="foretell-score", daemon=True)
        self._thread.start()

    def give(self, task: Task) -> None:
        self._given.put(task)

    def kill(self) -> None:
        """A call that it has begun goes on to its end; no other is begun."""
        self.board.stop()
        self._given.put(None)

    def leave(self) -> None:
        self._given.put(None)

    def close(self) -> None:
        self._thread.join(_END_S)
        if not self._thread.is_alive():
            self.board.close()
            os.close(self.board.descriptor)

    def _tell(self, event: Event) -> None:
        self._inbox.put((self, event))

    def _run(self) -> None:
        while (task := self._given.get()) is not None:
            self._doing.do(task)
        self._doing.close()
        self._tell(Ended("ended"))
