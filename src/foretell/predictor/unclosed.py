"""What becomes of a predictor that nobody closes: its engine ends with it."""

from __future__ import annotations

import contextlib
import os
import threading
import weakref
from typing import TYPE_CHECKING

from foretell.engine.engine import Engine

if TYPE_CHECKING:
    from foretell.predictor.facade import BasePredictor


def closed_with(predictor: BasePredictor, engine: Engine) -> None:
    """Closes `engine` when nobody has `predictor` any more: its threads and processes would keep it for ever."""
    weakref.finalize(predictor, _close_elsewhere, engine, os.getpid()).atexit = False


def _close_elsewhere(engine: Engine, owner: int) -> None:
    """In a thread of its own: this may be a garbage collection, anywhere and under any lock."""
    if os.getpid() != owner:  # a fork of it, where nothing of the engine may be touched
        return
    with contextlib.suppress(RuntimeError):  # the interpreter ends, and everything with it
        threading.Thread(target=engine.close, name="foretell-close", daemon=True).start()
