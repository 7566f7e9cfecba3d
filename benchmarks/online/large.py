"""Large bodies: what 602 KB cost beside the model, a CNN that eats them, and the memory that 100 MB take."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from benchmarks.online import recipes
from benchmarks.online.loads import Loads, add_loads, closed_loop, ready, times_of
from benchmarks.online.models import call_ms, mobilenet, pixels, predict, session, wide
from benchmarks.online.recipes import BARE, OURS
from benchmarks.process import needs
from benchmarks.report import Goal, Row
from benchmarks.run import Run, middle
from benchmarks.wire import OipBinary

_SHAPE = (3, 224, 224)
_CONNECTIONS = 8
_MOST_CPU_US = 150
_LEAST_OF_BARE = {1: 0.95, 2: 0.9}
_LARGE_FLOATS = 25_000_000
_MOST_COPIES = 2.1
"""The body itself, one more copy, and a little."""


def main(run: Run) -> None:
    run.report.title("online.large", f"602 KB of binary tensor, {_CONNECTIONS} connections; bare: no check at all")
    images = np.random.default_rng(5).normal(size=(4, *_SHAPE)).astype(np.float32)
    _bodies(run, images)
    network = mobilenet(run.folder)
    alone = 1e3 / call_ms(network, images[:1])
    run.report.note(f"MobileNetV2: ONNX Runtime alone, one thread, does {alone:.0f} images/s here")
    for workers in _LEAST_OF_BARE:
        with run.unless_unavailable(f"CNN with {workers} workers"):
            _cnn(run, network, images, workers)
    _one_tensor(run)


def _bodies(run: Run, images: np.ndarray) -> None:
    model = pixels(run.folder)
    pair = [recipes.ours(model, "--threads", "1", wire=OipBinary("model")), recipes.bare_binary(model)]
    loads = _measured(run, pair, images, predict(model, images))
    model_us = 1e3 * call_ms(model, images[:1])
    beside_us = {name: middle([one.cpu_us for one in each]) - model_us for name, each in loads.items()}
    goals = {OURS: [Goal.at_most(beside_us[OURS], _MOST_CPU_US, " us beside the model")]}
    add_loads(run, "602 KB, next to no model", loads, goals, {n: {"beside_us": us} for n, us in beside_us.items()})


def _cnn(run: Run, model: Path, images: np.ndarray, workers: int) -> None:
    more = ["--workers", str(workers)] if workers > 1 else []
    if more:
        needs("--workers")
    pair = [
        recipes.ours(model, "--threads", "1", *more, wire=OipBinary("model")), recipes.bare_binary(model, *more)
    ]  # fmt: skip
    loads = _measured(run, pair, images, predict(model, images))
    goals = {BARE: [Goal.at_least(times_of(loads, BARE), _LEAST_OF_BARE[workers], " of this")]}
    add_loads(run, f"MobileNetV2, workers: {workers}", loads, goals)


def _measured(run: Run, pair: Sequence[recipes.Recipe], images: np.ndarray, answers: np.ndarray) -> Loads:
    with ExitStack() as stack:
        servers = {each.name: stack.enter_context(ready(each, images, answers)) for each in pair}
        return closed_loop(run, servers, images[0], _CONNECTIONS)


def _one_tensor(run: Run) -> None:
    """Peak memory that one tensor of 100 MB adds."""
    model = wide(run.folder)
    session(model)  # it can be opened at all
    row = np.arange(_LARGE_FLOATS, dtype=np.float32)
    flags = ("--max-body-bytes", str(2 * row.nbytes), "--max-elements", str(_LARGE_FLOATS), "--threads", "1")
    with recipes.ours(model, *flags, wire=OipBinary("model")).start(row[:4]) as server:
        before = server.memory_bytes()
        if not np.array_equal(server.ask(row), row[:4]):
            raise RuntimeError("the answer to 100 MB differs")
        added = (server.peak_memory_bytes() - before) / row.nbytes
    run.report.add(Row("100 MB in one tensor: memory added", OURS, [added], "x the body",
                       goals=[Goal.at_most(added, _MOST_COPIES, " bodies")]))  # fmt: skip
