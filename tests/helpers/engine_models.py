"""Models that show what an engine does with calls, and small ways to ask it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from foretell.clock import ManualClock
from foretell.columns import Batch, Dense
from foretell.config import ModelSettings
from foretell.model import Context, Model
from foretell.types import DataType, ModelSpec, TensorSpec

if TYPE_CHECKING:
    from foretell.engine.engine import Engine

WAIT_S = 20.0
"""No test waits this long unless something hangs."""

NEGATIVE = "there is a negative number"


class Doubler(Model):
    """y = 2x, any shape of row, FP64. Raises for the whole call where x is negative. Counts what it is given."""

    def __init__(self, shape: tuple[int | None, ...] | None = (), **spec: Any) -> None:
        tensors = {
            "inputs": (TensorSpec("x", DataType.FP64, shape),),
            "outputs": (TensorSpec("y", DataType.FP64, shape),),
        }
        self.spec = ModelSpec(**{**tensors, **spec})
        self.calls: list[int] = []
        self.seen: list[float] = []
        self.closed = 0
        self.now = self.most_at_once = 0
        self._count = threading.Lock()

    def predict(self, batch: Batch, ctx: Context) -> Batch:
        with self._count:
            self.now += 1
            self.most_at_once = max(self.most_at_once, self.now)
            self.calls.append(batch.rows)
        try:
            return self.answer(batch, ctx)
        finally:
            with self._count:
                self.now -= 1

    def answer(self, batch: Batch, ctx: Context) -> Batch:
        x = batch.dense("x")
        self.seen += x.reshape(-1).tolist()
        if (x < 0).any():
            raise ValueError(NEGATIVE)
        return Batch({"y": Dense(x * 2)}, batch.rows)

    def close(self) -> None:
        self.closed += 1


class InlineDoubler(Doubler):
    """The same, as native code that may run on the event loop."""

    native = True


class Gated(Doubler):
    """Waits at each call until the test opens the gate. `started`: set when it is in a call."""

    def __init__(self, **spec: Any) -> None:
        super().__init__(**spec)
        self.gate, self.started = threading.Event(), threading.Event()

    def answer(self, batch: Batch, ctx: Context) -> Batch:
        self.started.set()
        if not self.gate.wait(WAIT_S):
            raise TimeoutError("nobody opened the gate")
        return super().answer(batch, ctx)


class Does(Doubler):
    """Does what the test says, with the number of the call."""

    def __init__(self, what: Callable[[int, Batch], Any], **spec: Any) -> None:
        super().__init__(**spec)
        self._what = what

    def answer(self, batch: Batch, ctx: Context) -> Batch:
        made = self._what(len(self.calls) - 1, batch)
        return super().answer(batch, ctx) if made is None else made


class InlineDoes(Does):
    native = True


class Timed(InlineDoubler):
    """Takes `call_s` of the test's clock."""

    def __init__(self, clock: ManualClock, call_s: float) -> None:
        super().__init__()
        self.clock, self.call_s = clock, call_s
        self.threads: list[int] = []

    def answer(self, batch: Batch, ctx: Context) -> Batch:
        self.threads.append(threading.get_ident())
        self.clock.advance(self.call_s)
        return super().answer(batch, ctx)


def engine_of(model: Model, clock: Any = None, recorder: Any = None, **settings: Any) -> Engine:
    from foretell.engine.engine import Engine  # a process of a model imports the models, and needs none

    return Engine(model, ModelSettings(**settings), clock=clock, recorder=recorder).load()


def rows(*values: float) -> Batch:
    return Batch.of(x=np.array(values, np.float64))


def answers(batch: Batch) -> list[float]:
    values: list[float] = batch.dense("y").tolist()
    return values
