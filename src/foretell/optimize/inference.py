"""The choice among a runtime's own passes and thread counts, by measurement."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from foretell.backends import open_model
from foretell.columns import Batch, Bytes, Column, Dense, Ragged
from foretell.config import ModelSettings, settings
from foretell.engine.engine import Engine
from foretell.errors import InferenceError
from foretell.forms import to_batch
from foretell.predictor import Predictor

_ROUNDS = 15
_BUDGET_S = 2.0
_BASE = "as it is"


@dataclass(frozen=True, slots=True)
class Candidate:
    """One way to run the model, as measured. `difference`: the largest absolute one from the model as it is."""

    name: str
    median_ms: float | None
    difference: float | None
    kept: bool
    reason: str


class OptimizedPredictor(Predictor):
    """A predictor whose options were chosen by measurement; `report` says what was tried."""

    report: tuple[Candidate, ...] = ()


def optimize_for_inference(
    model: object, example_input: object, *, tolerance: float = 1e-5, **options: Any
) -> OptimizedPredictor:
    """The fastest way to run `model` here on `example_input`, among those that answer the same.

    Tries the runtime's passes and thread counts against the model as it is, in turns, and keeps a candidate only if
    its median is lower and every output is within `tolerance` (absolute plus relative) of the original's. A model
    without passes comes back as it is. `options` as of `Predictor`. Raises what opening and predicting raise.
    """
    plain = {**options, "optimizations": ()}
    runs = [_Run(_BASE, model, plain)]
    batch = to_batch(example_input, runs[0].engine.spec).batch
    expected = runs[0].engine.run(batch)
    candidates: list[Candidate] = []
    for name, changes in _variants(model, options):
        try:
            run = _Run(name, model, {**options, **changes})
            difference = largest_difference(expected, run.engine.run(batch), tolerance)
        except InferenceError as error:
            candidates.append(Candidate(name, None, None, False, str(error)))
            continue
        if difference.within:
            run.difference = difference.largest
            runs.append(run)
        else:
            run.engine.close()
            candidates.append(Candidate(name, None, difference.largest, False, f"differs by {difference.largest:.3g}"))
    _measure(runs, batch)
    best = min(runs, key=lambda run: run.median_ms)
    for run in runs:
        reason = "fastest" if run is best else f"{run.median_ms / best.median_ms:.2f} times as long as the fastest"
        candidates.append(Candidate(run.name, run.median_ms, run.difference, run is best, reason))
        run.engine.close()
    predictor = OptimizedPredictor(model=model, **best.options)
    predictor.report = tuple(candidates)
    return predictor


@dataclass(frozen=True, slots=True)
class Difference:
    largest: float
    within: bool


def largest_difference(expected: Batch, got: Batch, tolerance: float) -> Difference:
    """How far two answers to the same rows are apart; strings and whole numbers must be equal."""
    if set(expected.columns) != set(got.columns):
        return Difference(float("inf"), False)
    found = [_column_difference(column, got.columns[name], tolerance) for name, column in expected.columns.items()]
    return Difference(max((d.largest for d in found), default=0.0), all(d.within for d in found))


def _column_difference(expected: Column, got: Column, tolerance: float) -> Difference:
    if isinstance(expected, Dense) and isinstance(got, Dense) and expected.data.shape == got.data.shape:
        first, second = expected.data, got.data
        if first.dtype.kind != "f":
            same = bool(np.array_equal(first, second))
            return Difference(0.0 if same else float("inf"), same)
        finite = np.isfinite(first) & np.isfinite(second)
        gap = np.abs(first[finite].astype(np.float64) - second[finite])
        within = bool(np.allclose(first, second, rtol=tolerance, atol=tolerance, equal_nan=True))
        return Difference(float(gap.max(initial=0.0)), within)
    if isinstance(expected, Bytes) and isinstance(got, Bytes):
        same = expected.items() == got.items()
        return Difference(0.0 if same else float("inf"), same)
    if isinstance(expected, Ragged) and isinstance(got, Ragged) and np.array_equal(expected.lengths, got.lengths):
        return _column_difference(expected.values, got.values, tolerance)
    return Difference(float("inf"), False)


class _Run:
    """A candidate that is open and being timed."""

    def __init__(self, name: str, model: object, options: Mapping[str, Any]) -> None:
        self.name, self.options = name, dict(options)
        self.difference = 0.0
        self.times_ms: list[float] = []
        known = {key: value for key, value in options.items() if key in ModelSettings.__dataclass_fields__}
        opened = open_model(model, settings(ModelSettings, **known), example=options.get("example"))
        self.engine = Engine(opened.model, settings(ModelSettings, **known), name=opened.name).load()

    @property
    def median_ms(self) -> float:
        return statistics.median(self.times_ms)


def _variants(model: object, options: Mapping[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """What to try, by name: each set of passes that the backend has, on one thread and on all."""
    passes = open_model(model, settings(ModelSettings)).passes
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    threads = [options["threads"]] if options.get("threads") else sorted({1, cores})
    found: list[tuple[str, dict[str, Any]]] = []
    for count in range(1, len(passes) + 1):
        for number in threads:
            chosen = passes[:count]
            label = f"{' + '.join(chosen)}, {number} thread{'s' if number > 1 else ''}"
            found.append((label, {"optimizations": chosen, "threads": number}))
    return found


def _measure(runs: Sequence[_Run], batch: Batch) -> None:
    """Times the candidates in turns, so that a machine that changes its speed treats them alike."""
    for run in runs:
        run.engine.run(batch)
    until = time.perf_counter() + _BUDGET_S * len(runs)
    for done in range(_ROUNDS):
        for run in runs:
            started = time.perf_counter()
            run.engine.run(batch)
            run.times_ms.append((time.perf_counter() - started) * 1e3)
        if done >= 2 and time.perf_counter() > until:
            return
