"""The choice among a runtime's own passes and thread counts, by measurement."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from foretell.backends import Opened, open_model
from foretell.backends.cpu import cpu_precisions
from foretell.backends.differences import largest_difference
from foretell.backends.turns import medians_ms
from foretell.columns import Batch
from foretell.config import ModelSettings
from foretell.cores import usable_cores
from foretell.engine.engine import Engine
from foretell.errors import InferenceError, InvalidSetting, rows_failed
from foretell.forms import to_batch
from foretell.predictor import Predictor
from foretell.predictor.options import Options, read_options

_ROUNDS = 15
_BUDGET_S = 2.0
_BASE = "as it is"
_LOOSE = 1e-3


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
    its median is lower and every output is within `tolerance` (absolute plus relative) of the original's. From a
    `tolerance` of 1e-3 on, other precisions that this machine has are tried, too: bf16 and int8. A model without
    passes comes back as it is. `options` (and `config`) as of `Predictor`, but for what is chosen here. Raises
    what opening and predicting raise.
    """
    if not tolerance >= 0:
        raise InvalidSetting("tolerance is out of range", expected="0 or more", got=tolerance)
    config = options.pop("config", None)
    asked = read_options(config, options)
    if asked.optimize is not None or asked.model.optimizations is not None:
        fix = "leave it out, or give it to a Predictor"
        raise InvalidSetting("optimize and optimizations are what is chosen here", fix=fix)
    opened = open_model(model, asked.model, example=asked.example)
    if not opened.passes:
        return _as_it_is(OptimizedPredictor(model=model, config=config, **options), example_input)
    with contextlib.ExitStack() as stack:
        best, report = _chosen(model, asked, _variants(opened, asked.model, tolerance), example_input, tolerance, stack)
    predictor = OptimizedPredictor(model=model, config=config, **{**options, **best.changes})
    predictor.report = report
    return predictor


def _as_it_is(predictor: OptimizedPredictor, example_input: object) -> OptimizedPredictor:
    try:
        _answered(predictor.engine, predictor.intake(example_input).batch)
    except InferenceError:
        predictor.close()
        raise
    predictor.report = (Candidate(_BASE, None, 0.0, True, "there is nothing to choose from"),)
    return predictor


def _chosen(
    model: object,
    asked: Options,
    variants: Sequence[tuple[str, dict[str, Any]]],
    example_input: object,
    tolerance: float,
    stack: contextlib.ExitStack,
) -> tuple[_Run, tuple[Candidate, ...]]:
    """The fastest of those that answer the same, and what was seen of all. `stack` closes what is opened."""
    runs = [_Run(_BASE, model, asked, {"optimizations": ()}, stack)]
    batch = to_batch(example_input, runs[0].engine.spec).batch
    expected = _answered(runs[0].engine, batch)
    out: list[Candidate] = []
    for name, changes in variants:
        try:
            run = _Run(name, model, asked, changes, stack)
            difference = largest_difference(expected, run.engine.run(batch), tolerance)
        except InferenceError as error:
            out.append(Candidate(name, None, None, False, str(error)))
            continue
        if difference.within:
            run.difference = difference.largest
            runs.append(run)
        else:
            out.append(Candidate(name, None, difference.largest, False, f"differs by {difference.largest:.3g}"))
    _measure(runs, batch)
    best = min(runs, key=lambda run: run.median_ms)
    return best, (*out, *(run.candidate(best) for run in runs))


def _answered(engine: Engine, batch: Batch) -> Batch:
    answer = engine.run(batch)
    if answer.errors:
        raise rows_failed(answer.errors)
    return answer


class _Run:
    """A candidate that is open and being timed, without a cache that would answer in its place."""

    def __init__(
        self, name: str, model: object, asked: Options, changes: dict[str, Any], stack: contextlib.ExitStack
    ) -> None:
        self.name, self.changes = name, changes
        self.difference = 0.0
        self.median_ms = 0.0
        settings = replace(asked.model, **changes, cache_size=0, timeout_s=None)
        opened = open_model(model, settings, example=asked.example)
        self.engine = Engine(opened.model, settings, name=opened.name).load()
        stack.callback(self.engine.close)

    def candidate(self, best: _Run) -> Candidate:
        times = self.median_ms / best.median_ms
        reason = "fastest" if self is best else f"{times:.2f} times as long as the fastest"
        return Candidate(self.name, self.median_ms, self.difference, self is best, reason)


def _variants(opened: Opened, settings: ModelSettings, tolerance: float) -> list[tuple[str, dict[str, Any]]]:
    """What to try, by name: each set of passes that the backend has, on one thread and on all; and other precisions,
    where the tolerance leaves them a chance."""
    cores, threads = usable_cores(), settings.threads
    found: list[tuple[str, dict[str, Any]]] = []
    for count in range(1, len(opened.passes) + 1):
        for number in [threads] if threads else sorted({1, cores}):
            chosen = opened.passes[:count]
            label = f"{' + '.join(chosen)}, {number} thread{'s' if number > 1 else ''}"
            found.append((label, {"optimizations": chosen, "threads": number}))
    as_it_is = settings.precision is None and settings.runtime is None and settings.device == "cpu"
    if opened.framework == "onnx" and as_it_is and tolerance >= _LOOSE:
        here = sorted(cpu_precisions() & {"bf16", "int8"})
        found += [(f"precision {each}", {"precision": each, "threads": threads or cores}) for each in here]
    return found


def _measure(runs: Sequence[_Run], batch: Batch) -> None:
    ways = {run.name: partial(run.engine.run, batch) for run in runs}
    medians = medians_ms(ways, rounds=_ROUNDS, budget_s=_BUDGET_S * len(runs))
    for run in runs:
        run.median_ms = medians[run.name]
