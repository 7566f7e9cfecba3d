"""Doing what a job asks, one task after the other: the same in a process of its own and in this one."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable

from foretell.batch.board import Board
from foretell.batch.messages import (
    Allow,
    Begin,
    CheckKeys,
    Event,
    Failed,
    Load,
    Loaded,
    MakePlan,
    Planned,
    Score,
    Scored,
    Task,
    WriteEmpty,
)
from foretell.batch.worker import Worker
from foretell.engine.identity import identity_of
from foretell.errors import InferenceError, ModelError, ReplicaLost
from foretell.remote.faults import fault_note
from foretell.remote.loading import Loaded as OneLoaded

Loading = Callable[[Load], OneLoaded]


class Tasks:
    """Answers tasks in order. One thread calls it."""

    def __init__(self, loading: Loading, board: Board, tell: Callable[[Event], None], *, apart: bool = False) -> None:
        """`tell` is called by several threads. `apart`: this process is there for nothing else."""
        self._loading, self._board, self._tell, self._apart = loading, board, tell, apart
        self._worker: Worker | None = None

    def do(self, task: Task) -> None:
        """Does `task`, and tells what it is answered with: now, or where it is to score, once that is committed.

        Raises `ReplicaLost` where this process is apart, and the model can compute nothing more in it.
        """
        try:
            answer = self._do(task)
        except ReplicaLost as error:
            if self._apart:
                raise
            self._failed(error)
        except (Exception, KeyboardInterrupt) as error:
            self._failed(error)
        else:
            if answer is not None:
                self._tell(answer)

    def _failed(self, error: BaseException) -> None:
        if not isinstance(error, InferenceError):
            # Nothing of a model comes here: this is ours, and the job must not go on as if it were a bad row.
            traceback.print_exception(error)
            error = ModelError(f"{type(error).__name__}: {error}", where="a process that scores")
        self._tell(Failed(fault_note(error)))

    def close(self) -> None:
        if self._worker is not None:
            self._worker.close()

    def _do(self, task: Task) -> Event | None:
        if isinstance(task, Load):
            model = self._loading(task)
            replica = model.replica
            identity = identity_of(replica.model, replica.settings, task.name, task.version, model.opened.digest)
            self._worker = Worker(replica, identity, task.device, task.retries, self._board)
            return Loaded()
        if self._worker is None:
            raise RuntimeError("no model is loaded")
        if isinstance(task, MakePlan):
            return Planned(self._worker.plan(task.data, task.wish))
        if isinstance(task, Begin):
            self._worker.begin(task)
            return None
        if isinstance(task, Allow):
            self._worker.allow(task.memory)
            return None
        if isinstance(task, CheckKeys):
            return self._worker.check_keys(task)
        if isinstance(task, WriteEmpty):
            return self._worker.write_empty()
        if isinstance(task, Score):
            self._score(self._worker, task)
            return None
        raise TypeError(type(task).__name__)

    def _score(self, worker: Worker, task: Score) -> None:
        began = time.monotonic()
        worker.run(
            task.shard, task.care, lambda commit: self._tell(Scored(commit, time.monotonic() - began)), self._failed
        )
