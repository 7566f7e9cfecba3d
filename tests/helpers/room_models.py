"""Models that come into memory and go, opened from files as a server does it, and somebody who sees all of them."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from foretell.columns import Batch, Dense
from foretell.model import Context, Model
from foretell.types import DataType, ModelSpec, TensorSpec

WAIT_S = 20.0


class Probe:
    """`alive`: the models in memory, from the beginning of their load to the end of their closing; `peak`: the most of
    them at a time. `loads`: how often each was loaded. A load or a call waits where `hold` has said so, until `let`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.alive: Counter[str] = Counter()
        self.loads: Counter[str] = Counter()
        self.peak = 0
        self.broken: set[str] = set()
        self._gates: dict[tuple[str, str], threading.Event] = {}
        self._entered: dict[tuple[str, str], threading.Semaphore] = {}

    def hold(self, name: str, what: str) -> None:
        self._entered[name, what] = threading.Semaphore(0)
        self._gates[name, what] = threading.Event()

    def wait(self, name: str, what: str) -> None:
        """Returns when one more is held."""
        assert self._entered[name, what].acquire(timeout=WAIT_S), f"no {what} of {name} came"

    def let(self, name: str, what: str) -> None:
        self._gates.pop((name, what)).set()

    def passes(self, name: str, what: str) -> None:
        gate = self._gates.get((name, what))
        if gate is not None:
            self._entered[name, what].release()
            assert gate.wait(WAIT_S), "nobody opened the gate"

    def came(self, name: str) -> None:
        with self._lock:
            self.loads[name] += 1
            self.alive[name] += 1
            self.peak = max(self.peak, self.alive.total())

    def went(self, name: str) -> None:
        with self._lock:
            self.alive[name] -= 1

    def end(self) -> None:
        """Nobody is left waiting."""
        for gate in list(self._gates.values()):
            gate.set()


class Seen(Model):
    """y = x * factor. Its subclasses have `name`, `factor` and `probe`."""

    spec = ModelSpec(inputs=(TensorSpec("x", DataType.FP32, (1,)),), outputs=(TensorSpec("y", DataType.FP32, (1,)),))
    name: str
    factor: float
    probe: Probe
    _here = False

    def load(self, device: str) -> None:
        self.probe.came(self.name)
        self._here = True
        self.probe.passes(self.name, "load")
        if self.name in self.probe.broken:
            raise ValueError("it is broken")

    def predict(self, batch: Batch, ctx: Context) -> Batch:
        self.probe.passes(self.name, "call")
        return Batch({"y": Dense(batch.dense("x") * np.float32(self.factor))}, batch.rows)

    def close(self) -> None:
        if self._here:
            self._here = False
            self.probe.went(self.name)


class SeenStream(Seen):
    """Streams 0, 1, ... up to x; each but the first waits where its call is held."""

    spec = Seen.spec.with_changes(streams=True)

    def stream(self, batch: Batch, ctx: Context) -> Iterator[Batch]:
        for value in range(int(batch.dense("x")[0, 0])):
            if value:
                self.probe.passes(self.name, "call")
            yield Batch({"y": Dense(np.array([[value]], np.float32))}, 1)


PROBES: dict[str, Probe] = {}
"""By the folder of the models, so that a test has its own."""

_FILE = """
from pathlib import Path

from room_models import PROBES, {base}


class Model({base}):
    name, factor, probe = {name!r}, {factor!r}, PROBES[str(Path(__file__).parent)]
"""


def word(folder: Path, name: str, factor: float, base: str = "Seen") -> str:
    """Writes the file of a model, and gives what a command line has to say for it."""
    PROBES.setdefault(str(folder), Probe())
    file = folder / f"{name}.py"
    file.write_text(_FILE.format(base=base, name=name, factor=factor))
    return f"{name}={file}:Model"
