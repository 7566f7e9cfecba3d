"""Small models that show what a server does with requests: each proves one thing and nothing else."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from foretell.columns import Batch, Bytes, Dense
from foretell.model import Context, Model
from foretell.types import DataType, ModelSpec, TensorSpec

WAIT_S = 20.0
"""No test waits this long unless something hangs."""


class Echo(Model):
    """Answers `y` = `x`, of any type and any row shape. `batches`: the rows of each call it had."""

    def __init__(
        self, datatype: DataType | None = DataType.FP32, shape: tuple[int | None, ...] | None = (None,), **spec: Any
    ) -> None:
        self.spec = ModelSpec(
            inputs=(TensorSpec("x", datatype, shape),), outputs=(TensorSpec("y", datatype, shape),), **spec
        )
        self.batches: list[int] = []

    def predict(self, batch: Batch, ctx: Context) -> Batch:
        self.batches.append(batch.rows)
        return Batch({"y": batch.columns["x"]}, batch.rows)


class InlineEcho(Echo):
    """The same on the event loop, as native models of small cost run."""

    native = True


class Untold(Model):
    """Knows nothing of its inputs and outputs before the first call; answers each input under its own name."""

    def predict(self, batch: Batch, ctx: Context) -> Batch:
        return Batch(batch.columns, batch.rows)


class Pair(Model):
    """Two inputs and two outputs of different types: `sum` [2] of `a` + `b`, and `text` = `t` upper case."""

    spec = ModelSpec(
        inputs=(TensorSpec("a", DataType.FP32, (2,)), TensorSpec("t", DataType.BYTES, ())),
        outputs=(TensorSpec("double", DataType.FP32, (2,)), TensorSpec("text", DataType.BYTES, ())),
    )

    def predict(self, batch: Batch, ctx: Context) -> Batch:
        words = batch.columns["t"]
        assert isinstance(words, Bytes)
        upper = Bytes.of([word.decode().upper() for word in words.items()])
        return Batch({"double": Dense(batch.dense("a") * np.float32(2)), "text": upper}, batch.rows)


class Params(Model):
    """Answers, per row, the request's parameters as the model got them, in JSON."""

    spec = ModelSpec(
        inputs=(TensorSpec("x", DataType.FP32, (1,)),), outputs=(TensorSpec("params", DataType.BYTES, ()),)
    )

    def predict(self, batch: Batch, ctx: Context) -> Batch:
        text = json.dumps(dict(ctx.params), sort_keys=True)
        return Batch({"params": Bytes.of([text] * batch.rows)}, batch.rows)


class Scores(Model):
    """Scores of three classes with names, the input itself."""

    spec = ModelSpec(
        inputs=(TensorSpec("x", DataType.FP32, (3,)),),
        outputs=(TensorSpec("scores", DataType.FP32, (3,)), TensorSpec("plain", DataType.INT64, (3,))),
        labels={"scores": ("cat", "dog", "owl")},
    )

    def predict(self, batch: Batch, ctx: Context) -> Batch:
        scores = batch.dense("x")
        plain = np.clip(np.nan_to_num(scores), -1e9, 1e9).astype(np.int64)
        return Batch({"scores": Dense(scores), "plain": Dense(plain)}, batch.rows)


class Poison(Model):
    """Raises for the whole batch when a row holds 666; else answers the row. NaN is refused row by row."""

    spec = ModelSpec(
        inputs=(TensorSpec("x", DataType.FP32, (1,), allow_nan=False),),
        outputs=(TensorSpec("y", DataType.FP32, (1,)),),
    )
    SECRET: ClassVar[str] = "poisoned"

    def __init__(self, error: type[BaseException] = ValueError) -> None:
        self._error = error

    def predict(self, batch: Batch, ctx: Context) -> Batch:
        x = batch.dense("x")
        if (x == 666).any():
            raise self._error(self.SECRET)
        return Batch({"y": Dense(x)}, batch.rows)


class Constant(Model):
    """Answers the same values for every row, whatever comes in."""

    def __init__(self, outputs: Mapping[str, tuple[TensorSpec, Dense | Bytes]]) -> None:
        self._columns = {name: column for name, (_, column) in outputs.items()}
        self.spec = ModelSpec(
            inputs=(TensorSpec("x", DataType.FP32, (1,)),), outputs=tuple(spec for spec, _ in outputs.values())
        )

    def predict(self, batch: Batch, ctx: Context) -> Batch:
        rows = np.zeros(batch.rows, np.int64)
        return Batch({name: column.take(rows) for name, column in self._columns.items()}, batch.rows)


class Gate(Model):
    """Holds every call until `open_gate`, so that tests decide what waits; then answers as `inner` does.

    `seen`: the first value of each row that came in; `batches`: the rows of each call.
    """

    def __init__(self, inner: Model | None = None) -> None:
        self._inner = inner or Echo(DataType.FP32, (1,))
        self.spec = self._inner.spec
        self._open = threading.Event()
        self._entered = threading.Semaphore(0)
        self.seen: list[float] = []
        self.batches: list[int] = []

    def predict(self, batch: Batch, ctx: Context) -> Batch:
        self.seen += batch.dense("x").reshape(batch.rows, -1)[:, 0].tolist()
        self.batches.append(batch.rows)
        self._entered.release()
        if not self._open.wait(WAIT_S):
            raise RuntimeError("nobody opened the gate")
        return self._inner.predict(batch, ctx)

    def wait_entered(self) -> None:
        """Returns when one more call is inside."""
        if not self._entered.acquire(timeout=WAIT_S):
            raise RuntimeError("no call came")

    def open_gate(self) -> None:
        self._open.set()

    def close_gate(self) -> None:
        self._open.clear()
