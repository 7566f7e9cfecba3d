"""What a predictor is in a process that was forked from its own.

No thread comes along in a fork, and locks stay as they were. Runtimes with threads of their own then wait for ever, and
what speaks to a process of its own would answer two. So no engine is used in another process than the one it was made
in: a model that can be loaded again is, when it is first asked, and any other is refused.
"""

from __future__ import annotations

import os
import threading
import weakref
from typing import TYPE_CHECKING, Any

from foretell.engine.engine import Engine
from foretell.errors import InvalidModel, NotReady
from foretell.types import Identity

if TYPE_CHECKING:
    from foretell.predictor.facade import BasePredictor

_OPEN: weakref.WeakSet[BasePredictor] = weakref.WeakSet()
_BEHIND: list[Engine] = []
"""Engines of the process before. Nothing of them may be closed or freed here: runtimes would wait for their threads."""


class Behind:
    """Stands for the engine of a predictor that was made before the fork, until somebody asks for it."""

    def __init__(self, predictor: BasePredictor, engine: Engine) -> None:
        self._predictor, self._engine, self._lock = predictor, engine, threading.Lock()
        self._closed = False

    def close(self) -> None:
        """Closes nothing: it is the other process's. Harmless when repeated."""
        self._closed = True

    def __getattr__(self, name: str) -> Any:
        """Of an engine of this process. Raises `NotReady`, and what opening the model raises."""
        with self._lock:
            present: object = self._predictor.engine
            if present is self:
                self._open()
        return getattr(self._predictor.engine, name)

    def _open(self) -> None:
        engine, where = self._engine, f"model {self._engine.name!r}"
        if self._closed:
            raise NotReady("the model is closed", where=where)
        if not engine.model.forks:
            what = "the process was forked after this predictor was made, and threads of its runtime did not come along"
            fix = "make the predictor in each process, after the fork, or give executor = 'process'"
            raise NotReady(what, where=where, fix=fix)
        self._predictor.engine = same(self._predictor.opened_engine(), engine.identity)


def same(engine: Engine, identity: Identity) -> Engine:
    """The engine. Raises `InvalidModel`, and closes it, where its answers are not those of `identity`."""
    if engine.identity != identity:
        engine.close()
        what, fix = "the file is not the one that the predictor was made from", "make the predictor anew"
        raise InvalidModel(what, where=f"model {engine.name!r}", fix=fix)
    return engine


def watch_forks(predictor: BasePredictor) -> None:
    """From now on, a child of this process does not use the engine of `predictor`."""
    _OPEN.add(predictor)


def _leave_engines_behind() -> None:
    for predictor in list(_OPEN):
        engine: Any = predictor.engine
        if not isinstance(engine, Behind) and not engine.pool.closed:
            _BEHIND.append(engine)
            predictor.engine = Behind(predictor, engine)  # type: ignore[assignment]


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_engines_behind)
