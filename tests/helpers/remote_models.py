"""Models that a process of its own opens by name: "remote_models:NAME"."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from engine_models import Does, Doubler, Gated
from served_models import Pair, Params, Poison, Scores, Untold

from foretell.columns import Batch, Bytes, Dense, Ragged
from foretell.errors import Cancelled, InvalidInput, RowError, TransientError
from foretell.model import Context, Model
from foretell.types import DataType, ModelSpec, TensorSpec

__all__ = ["Doubler", "Pair", "Params", "Poison", "Scores", "Untold"]

WAIT_S = 20.0


class Busy(Exception):
    """Worth another try, says `flaky`."""


class OddError(InvalidInput):
    """An error of a model's own."""

    code = "odd"
    retryable = True

    def __str__(self) -> str:
        return f"odd: {self.args[0]}"


def raising(error: BaseException) -> Does:
    def fails(call: int, batch: Batch) -> NoReturn:
        raise error

    return Does(fails)


def answering(answer: Any) -> Does:
    return Does(lambda call, batch: answer(batch))


opened_gate = Gated()
opened_gate.gate.set()
flaky = raising(Busy("later"))
flaky.transient = (Busy,)
own_error = raising(OddError("it is odd"))
refusing = raising(InvalidInput("no", where="input 'x'", expected=1, got=2, fix="say yes"))
transient = raising(TransientError("busy"))
exiting = raising(SystemExit(3))
unicode_error = raising(ValueError("naïve 日本 \0 \u2028"))
interrupting = raising(KeyboardInterrupt())
no_text_error = raising(ValueError("caf\udce9"))
deep = raising(RecursionError("too deep"))
no_batch = answering(lambda batch: 3)
short = answering(lambda batch: batch.slice(0, 1))
a_list = answering(lambda batch: Batch({"y": Dense([1.0, 2.0])}, batch.rows))  # type: ignore[arg-type]
objects = answering(lambda batch: Batch({"y": Dense(np.array([None] * batch.rows))}, batch.rows))
every_row_failed = answering(
    lambda batch: Batch({}, batch.rows, dict.fromkeys(range(batch.rows), RowError("model_error", "no", 3)))
)
wrong_errors = answering(lambda batch: batch.with_errors({99: RowError("c", "m")}))
no_columns = answering(lambda batch: Batch({}, batch.rows))
broken_bytes = answering(lambda batch: Batch({"y": Bytes(np.array([0, 9]), np.zeros(1, np.uint8))}, batch.rows))
concurrent = Doubler(concurrent=True)
whole_batch = Doubler(row_wise=False)
fixed = Doubler(batch=2)
one_row = Doubler(batch=None)
full_spec = Doubler(
    shape=(None,), pad={"x": 0}, labels={"y": (np.str_("a"), "b")}, features={"x": ("f",)}, deterministic=False,
    stateful=True,
)  # fmt: skip
wrong_spec = Doubler(labels={"y": (1, 2)})
some_object = object()


class Stages(Model):
    """Fails rows in each stage by their value: 1 before, 2 inside, 3 after the model. Counts calls in `y`."""

    spec = ModelSpec(inputs=(TensorSpec("x", DataType.FP64, ()),), outputs=(TensorSpec("y", DataType.FP64, ()),))

    def preprocess(self, batch: Batch, ctx: Context) -> Batch:
        return self._failing(batch, 1, "before")

    def predict(self, batch: Batch, ctx: Context) -> Batch:
        return self._failing(batch, 2, "inside")

    def postprocess(self, batch: Batch, ctx: Context) -> Batch:
        return self._failing(Batch({"y": batch.columns["x"]}, batch.rows, batch.errors), 3, "after")

    def _failing(self, batch: Batch, value: float, stage: str) -> Batch:
        (column,) = batch.columns.values()
        assert isinstance(column, Dense)
        bad = np.flatnonzero(column.data == value).tolist()
        return batch.with_errors({row: RowError("model_error", f"{stage} {row}") for row in bad})


class Everything(Model):
    """Answers what it was given, and what its context was."""

    spec = ModelSpec()

    def predict(self, batch: Batch, ctx: Context) -> Batch:
        left = None if ctx.deadline is None else ctx.deadline - time.monotonic()
        said = repr((dict(ctx.params), ctx.sequence, ctx.device, None if left is None else left > 0, ctx.cancelled()))
        return Batch({**batch.columns, "context": Bytes.of([said] * batch.rows)}, batch.rows)


class Meddler(Model):
    """Writes into what it is given, keeps it, and answers what it was given before."""

    def __init__(self) -> None:
        self.kept: list[Batch] = []

    def predict(self, batch: Batch, ctx: Context) -> Batch:
        before = self.kept[-1] if self.kept else batch
        self.kept.append(batch)
        data = batch.dense("x")
        data *= 2
        return Batch({"before": Dense(before.dense("x")[: batch.rows])}, batch.rows)


def lengths(texts: list[str]) -> list[int]:
    return [len(text) for text in texts]


def learned(x: Any) -> Any:
    """Outputs that nobody knows before the first call."""
    return {"sum": x.sum(axis=1), "all": x}


def bare(x: Any) -> Any:
    return x * 2


def where(x: Any) -> Any:
    """The number of its process."""
    time.sleep(0.005)
    return np.full(len(x), os.getpid())


def sums(values: list[list[float]]) -> list[float]:
    return [sum(row) for row in values]


def words(x: Any) -> Any:
    return Batch({"w": Ragged(Bytes.of(["日本", "", "a"]), np.array([0, 2, 3]))}, 2)


class Transients:
    transient = Busy

    def predict(self, x: Any) -> Any:
        raise Busy("soon")


class Refuses:
    """A class of a user that raises an error of ours."""

    def predict(self, x: Any) -> NoReturn:
        raise TransientError("busy") if len(x) == 1 else InvalidInput("no", where="input 'x'")


class NeverLoads:
    def load(self) -> None:
        raise ValueError("there is no file")


class ModelThatNeverLoads(Doubler):
    def load(self, device: str) -> None:
        raise ValueError("there is no file")


class ExitsAtLoad(Doubler):
    def load(self, device: str) -> None:
        raise SystemExit(4)


class NeedsArguments(Doubler):
    def __init__(self, path: str) -> None:
        super().__init__()


class KnowsDevices(Doubler):
    def load(self, device: str) -> None:
        self.device = device

    def answer(self, batch: Batch, ctx: Context) -> Batch:
        raise ValueError(f"{self.device} {ctx.device}")


class FailsToClose(Doubler):
    def close(self) -> None:
        raise InvalidInput("it does not close")


class ExceptionAtClose(Doubler):
    def close(self) -> None:
        raise ValueError("it does not close")


class Grows(Doubler):
    """Answers rows of the first value, as wide as the last one says."""

    def answer(self, batch: Batch, ctx: Context) -> Batch:
        x = batch.dense("x")
        return Batch.of(y=np.full((batch.rows, int(x[-1])), x[0]))


class Waits(Doubler):
    """Waits in a call until it is cancelled; answers whether it was. `path`: a file that shows that it has begun."""

    def answer(self, batch: Batch, ctx: Context) -> Batch:
        if "path" in ctx.params:
            Path(ctx.params["path"]).touch()
        until = time.monotonic() + WAIT_S
        while not ctx.cancelled() and time.monotonic() < until:
            time.sleep(0.001)
        return Batch.of(y=np.full(batch.rows, float(ctx.cancelled())))


class GivesUp(Waits):
    """Raises once it is cancelled."""

    def answer(self, batch: Batch, ctx: Context) -> Batch:
        super().answer(batch, ctx)
        raise Cancelled("nobody waits")


class Sleeps(Doubler):
    """Sleeps as long as the first value says, without listening to anybody."""

    def answer(self, batch: Batch, ctx: Context) -> Batch:
        if batch.rows:
            time.sleep(float(batch.dense("x")[0]))
        return super().answer(batch, ctx)


class Shows(Model):
    """Writes the number of its process and of one that it has started where a parameter says, then sleeps."""

    def predict(self, batch: Batch, ctx: Context) -> Batch:
        import subprocess

        helper = subprocess.Popen(["sleep", str(WAIT_S)])
        path = Path(str(ctx.params["path"]))
        path.with_suffix(".part").write_text(f"{os.getpid()} {helper.pid}")
        path.with_suffix(".part").rename(path)
        if ctx.params.get("stay"):
            time.sleep(WAIT_S)
        return batch


class Prints(Doubler):
    def answer(self, batch: Batch, ctx: Context) -> Batch:
        print("printed by the model")
        os.write(1, b"written by the model\n")
        return super().answer(batch, ctx)


class Signalled(Doubler):
    """Gets the signals that are for its parent to follow. Answers how two processes end that it starts and ends."""

    def answer(self, batch: Batch, ctx: Context) -> Batch:
        import subprocess

        for number in (signal.SIGINT, signal.SIGTERM):
            os.kill(os.getpid(), number)
        helper = subprocess.Popen(["sleep", str(WAIT_S)])
        helper.terminate()
        ready, told = os.pipe()
        copy = os.fork()
        if not copy:
            os.write(told, b"!")
            time.sleep(WAIT_S)
            os._exit(0)
        os.read(ready, 1)
        os.kill(copy, signal.SIGTERM)
        ends = [-helper.wait(WAIT_S), os.waitpid(copy, 0)[1]]
        return Batch.of(y=np.array(ends, np.float64)[: batch.rows])


class Told(Model):
    """Answers where it is: folder, modules, threads, open files."""

    def predict(self, batch: Batch, ctx: Context) -> Batch:
        import gc
        import sys

        said = {
            "folder": os.getcwd(),
            "search": "|".join(sys.path),
            "serve": ",".join(n for n in sys.modules if n.startswith(("foretell.serve", "foretell.cli"))),
            "frozen": gc.get_freeze_count() > 0,
            "main": threading.current_thread() is threading.main_thread(),
        }
        return Batch({name: Bytes.of([str(value)] * batch.rows) for name, value in said.items()}, batch.rows)
