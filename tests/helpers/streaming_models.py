"""Models that answer in pieces, and tell what became of them."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator

import numpy as np

from foretell.columns import Batch, Bytes, Dense
from foretell.model import Context, Model
from foretell.types import DataType, ModelSpec, TensorSpec

WAIT_S = 20.0

SPEC = ModelSpec(
    inputs=(TensorSpec("x", DataType.FP32, (1,)),), outputs=(TensorSpec("y", DataType.FP32, (1,)),), streams=True
)


class Streaming(Model):
    """Streams what `pieces` gives for x. `begun`, `running`, `peak` and `given` count; `closed` counts the ends."""

    only_streams = True

    def __init__(self, **spec: bool) -> None:
        self.spec = SPEC.with_changes(**spec)
        self.begun = self.running = self.peak = self.given = self.closed = 0
        self.inside = 0
        self.overlapped = False
        self.lock = threading.Lock()

    def predict(self, batch: Batch, ctx: Context) -> Batch:
        raise AssertionError("it only streams")

    def pieces(self, x: float, ctx: Context) -> Iterator[float]:
        """Counts from 0 to `x`, which is not among them."""
        yield from map(float, range(int(x)))

    def stream(self, batch: Batch, ctx: Context) -> Iterator[Batch]:
        with self.lock:
            self.begun += 1
            self.running += 1
            self.peak = max(self.peak, self.running)
        try:
            for value in self.pieces(float(batch.dense("x")[0, 0]), ctx):
                self.given += 1
                yield Batch({"y": Dense(np.array([[value]], np.float32))}, 1)
        finally:
            with self.lock:
                self.running -= 1
                self.closed += 1


class Gated(Streaming):
    """Gives 0; then, for each `release` of `gate`, the next number; ends after `x` of them. `ended`: it was closed."""

    def __init__(self, **spec: bool) -> None:
        super().__init__(**spec)
        self.gate = threading.Semaphore(0)
        self.waits = threading.Event()
        self.ended = threading.Event()

    def pieces(self, x: float, ctx: Context) -> Iterator[float]:
        try:
            for number in range(int(x)):
                if number:
                    self.waits.set()
                    assert self.gate.acquire(timeout=WAIT_S)
                yield float(number)
        finally:
            self.ended.set()


class Endless(Streaming):
    """Never ends by itself, or after `most` pieces; each is 16 KiB of text. `ended`: it was closed."""

    def __init__(self, most: int | None = None) -> None:
        super().__init__()
        self.most = most
        self.spec = SPEC.with_changes(outputs=(TensorSpec("y", DataType.BYTES, ()),))
        self.ended = threading.Event()

    def stream(self, batch: Batch, ctx: Context) -> Iterator[Batch]:
        self.begun += 1
        try:
            for _ in itertools.count() if self.most is None else range(self.most):
                self.given += 1
                yield Batch({"y": Bytes.of(["a" * 16384])}, 1)
        finally:
            self.closed += 1
            self.ended.set()


class Failing(Streaming):
    """Counts to `x` and raises."""

    def pieces(self, x: float, ctx: Context) -> Iterator[float]:
        yield from map(float, range(int(x)))
        raise ValueError("out of luck")
