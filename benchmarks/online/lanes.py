"""Interactive requests in an open loop, with and without a bulk lane that always has more to do."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from benchmarks.load import wrk
from benchmarks.online import recipes
from benchmarks.online.models import predict, work
from benchmarks.online.open_loop import Arrivals, open_loop
from benchmarks.process import Server
from benchmarks.report import Goal, Row
from benchmarks.run import Run, middle, ratios
from benchmarks.wire import Oip

_COST_MS, _ROWS, _LOAD = 5.0, 8, 0.5
_BULK_CONNECTIONS, _BULK_PRIORITY, _AHEAD_S = 32, 2, 1
_MOST_MOVED, _LEAST_BULK = 1.1, 0.02
_WITHOUT, _WITH = "interactive alone", "beside saturated bulk"


@dataclass(frozen=True)
class _Found:
    interactive: Arrivals
    bulk_share: float = 0.0
    """Of the executor's time, as the server says."""
    bulk_requests_s: float = 0.0


def main(run: Run) -> None:
    run.report.title(
        "online.lanes", f"{_COST_MS:g} ms a batch of up to {_ROWS}; interactive at {_LOAD:.0%} of capacity"
    )
    rows = np.random.default_rng(4).normal(size=(16, 4)).astype(np.float32)
    for cost in ("constant",) if run.quick else ("constant", "linear"):
        model = work(run.folder, cost, _COST_MS)
        recipe = recipes.ours(model, "--executor", "thread", "--threads", "1", "--max-batch-size", str(_ROWS))
        with recipe.start(rows[0]) as server:
            server.check(rows, predict(model, rows))
            capacity = max(wrk(server, server.wire.request(rows[0]), 2 * _ROWS, 1).requests_s for _ in range(2))
            _compare(run, cost, server, rows[0], capacity)


def _compare(run: Run, cost: str, server: Server, row: np.ndarray, capacity: float) -> None:
    request = server.wire.request(row)
    bulk = Oip("model", priority=_BULK_PRIORITY).request(row)
    seconds, seeds = run.seconds, iter(range(2 * run.rounds))

    def without() -> _Found:
        return _Found(open_loop(server, request, _LOAD * capacity, seconds, next(seeds) // 2))

    def beside() -> _Found:
        with ThreadPoolExecutor(1) as pool:
            load = pool.submit(wrk, server, bulk, _BULK_CONNECTIONS, seconds + 2 * _AHEAD_S)
            time.sleep(_AHEAD_S)
            came = open_loop(server, request, _LOAD * capacity, seconds, next(seeds) // 2)
            share = json.loads(server.get("/v2/models/model/config"))["foretell"]["bulk_share"]
            return _Found(came, share, load.result().requests_s)

    found = run.in_turns({_WITHOUT: without, _WITH: beside})
    p99 = {name: [each.interactive.took(99) for each in came] for name, came in found.items()}
    moved = _of_all(found[_WITH]) / _of_all(found[_WITHOUT])
    bulk_share = middle([each.bulk_share for each in found[_WITH]])
    goals = [Goal.at_most(moved, _MOST_MOVED, " of alone"), Goal.at_least(bulk_share, _LEAST_BULK, " bulk")]
    for name, came in found.items():
        run.report.add(Row(
            f"{cost}, p99 of interactive", name, p99[name], "ms",
            p50_ms=middle([each.interactive.took(50) for each in came]), p99_ms=_of_all(came),
            ratios=ratios(p99[_WITH], p99[name]) if name == _WITHOUT else (),
            goals=goals if name == _WITH else (),
            more={
                "interactive_s": _LOAD * capacity, "bulk_s": middle([each.bulk_requests_s for each in came]),
                "bulk_share": middle([each.bulk_share for each in came]),
                "failed": sum(each.interactive.failed for each in came),
                "left_late_ms": middle([each.interactive.left_late_ms for each in came]),
            },
        ))  # fmt: skip


def _of_all(came: Sequence[_Found]) -> float:
    """The 99th percentile of all rounds together: one round is short for it."""
    return float(np.percentile(np.concatenate([each.interactive.took_ms for each in came]), 99))
