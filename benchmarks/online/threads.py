"""Adaptive batching in a thread against the best of all fixed settings, for models of known cost."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from contextlib import ExitStack

import numpy as np

from benchmarks.load import wrk
from benchmarks.online import recipes
from benchmarks.online.loads import add_loads, closed_loop, ready, times_of
from benchmarks.online.models import call_ms, predict, work
from benchmarks.online.recipes import OURS, Recipe
from benchmarks.process import Server
from benchmarks.report import Goal
from benchmarks.run import Run

_COSTS_MS, _QUICK_COSTS_MS = (0.3, 1.0, 5.0), (1.0,)
_CONNECTIONS, _QUICK_CONNECTIONS = (16, 64), (64,)
_SECONDS = 1
"""Of each measurement: there are many."""
_FIXED = ((0.5, 0.0), (0.5, 1.0), (1.0, 0.0), (1.0, 0.1), (1.0, 1.0))
"""The largest batch as a share of the connections, and the delay as a share of the model's time."""
_LEAST_OF_BEST, _MOST_HALVES = 0.9, 0.1
_BUCKET = re.compile(r'^foretell_batch_size_rows_bucket\{[^}]*le="([^"]+)"\} (\d+)', re.MULTILINE)
_SUM = re.compile(r"^foretell_batch_size_rows_sum\{[^}]*\} ([\d.e+]+)", re.MULTILINE)

Sizes = tuple[int, float, int]
"""Batches so far, rows in them, and batches of at most half the connections."""


def main(run: Run) -> None:
    run.report.title(
        "online.thread", "models of known time, on one core without the GIL; fixed: bare server, best of a grid"
    )
    for cost in ("constant", "linear"):
        for milliseconds in _QUICK_COSTS_MS if run.quick else _COSTS_MS:
            model = work(run.folder, cost, milliseconds)
            run.report.note(
                f"{model.stem}: a call takes {call_ms(model, np.zeros((16, 4), np.float32)):.2f} ms with 16 rows"
            )
            rows = np.random.default_rng(2).normal(size=(48, 4)).astype(np.float32)
            answers = predict(model, rows)
            ours = recipes.ours(model, "--executor", "thread", "--threads", "1")
            for connections in _QUICK_CONNECTIONS if run.quick else _CONNECTIONS:
                best = _best(connections, [
                    recipes.fixed(model, max(1, round(share * connections)), delay * milliseconds)
                    for share, delay in _FIXED
                ], rows[0])  # fmt: skip
                with ExitStack() as stack:
                    servers = {each.name: stack.enter_context(ready(each, rows, answers)) for each in (ours, best)}
                    _compare(
                        run, f"{cost}, {milliseconds:g} ms, {connections} connections", servers, rows[0], connections
                    )


def _best(connections: int, settings: list[Recipe], row: np.ndarray) -> Recipe:
    """One second each."""
    rate = {}
    for recipe in settings:
        with recipe.start(row) as server:
            rate[recipe.name] = wrk(server, server.wire.request(row), connections, 1).requests_s
    return max(settings, key=lambda recipe: rate[recipe.name])


def _compare(run: Run, measure: str, servers: Mapping[str, Server], row: np.ndarray, connections: int) -> None:
    before = {name: _sizes(server, connections) for name, server in servers.items()}
    loads = closed_loop(run, servers, row, connections, seconds=_SECONDS)
    batches = {name: _between(before[name], _sizes(server, connections)) for name, server in servers.items()}
    best = next(name for name in servers if name != OURS)
    goals = {best: [Goal.at_least(times_of(loads, best), _LEAST_OF_BEST, " of this")]}
    if measure.startswith("constant"):
        # Two groups of callers that take turns are a fault where one would answer more: the best setting knows.
        most = max(_MOST_HALVES, batches[best]["half"])
        goals[OURS] = [Goal.at_most(batches[OURS]["half"], most, " half batches")]
    add_loads(run, measure, loads, goals, batches)


def _sizes(server: Server, connections: int) -> Sizes:
    text, half = server.get("/metrics").decode(), connections // 2
    if server.name != OURS:
        sizes = {int(rows): count for rows, count in json.loads(text).items()}
        return (
            sum(sizes.values()),
            float(sum(rows * count for rows, count in sizes.items())),
            sum(count for rows, count in sizes.items() if rows <= half),
        )
    buckets = {edge: int(count) for edge, count in _BUCKET.findall(text)}
    return buckets["+Inf"], float(_SUM.findall(text)[0]), buckets[str(half)]


def _between(before: Sizes, after: Sizes) -> dict[str, float]:
    batches, rows, halves = (b - a for a, b in zip(before, after, strict=True))
    return {"rows_per_batch": rows / batches, "half": halves / batches}
