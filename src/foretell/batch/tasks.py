"""Doing what a job asks, one task after the other: the same in a process of its own and in this one."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from pathlib import Path

from foretell.batch.board import Board
from foretell.batch.messages import (
    Begin,
    Event,
    Failed,
    Join,
    Joined,
    Load,
    Loaded,
    MakePlan,
    Planned,
    Score,
    Scored,
    Task,
)
from foretell.batch.worker import Worker
from foretell.engine.identity import identity_of
from foretell.errors import InferenceError, ModelError
from foretell.observe.process import process_memory
from foretell.remote.faults import fault_note
from foretell.remote.loading import Loaded as OneLoaded

Loading = Callable[[Load], OneLoaded]


class Tasks:
    """Answers tasks in order. One thread calls it."""

    def __init__(self, loading: Loading, board: Board) -> None:
        self._loading, self._board = loading, board
        self._worker: Worker | None = None

    def do(self, task: Task) -> Event | None:
        """What `task` is answered with; `Failed` for every error."""
        try:
            return self._do(task)
        except InferenceError as error:
            return Failed(fault_note(error))
        except Exception as error:
            # Nothing of a model comes here: this is ours, and the job must not go on as if it were a bad row.
            traceback.print_exc()
            what = f"{type(error).__name__}: {error}"
            return Failed(fault_note(ModelError(what, where=f"while it did {type(task).__name__.lower()}")))

    def close(self) -> None:
        if self._worker is not None:
            self._worker.close()

    def _do(self, task: Task) -> Event | None:
        if isinstance(task, Load):
            model = self._loading(task)
            identity = identity_of(model.replica.model, task.name, task.version, model.opened.digest)
            self._worker = Worker(model.replica, identity, task.device, self._board)
            resident = process_memory().get("rss_bytes") or 0
            return Loaded(identity, model.opened.framework, int(resident))
        if self._worker is None:
            raise RuntimeError("no model is loaded")
        if isinstance(task, MakePlan):
            return Planned(self._worker.plan(task.data, task.wish))
        if isinstance(task, Begin):
            self._worker.begin(task.job, task.root, task.batch_size)
            return None
        if isinstance(task, Score):
            return Scored(self._worker.run(task.shard, task.care))
        if isinstance(task, Join):
            self._worker.join(task.parts, Path(task.path))
            return Joined()
        raise TypeError(type(task).__name__)
