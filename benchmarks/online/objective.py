"""`slo_ms` against open-loop arrivals below and far above what the model can do, beside the best fixed queue."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from itertools import count

import numpy as np

from benchmarks.load import wrk
from benchmarks.online import recipes
from benchmarks.online.models import call_ms, predict, work
from benchmarks.online.open_loop import Arrivals, open_loop
from benchmarks.online.recipes import OURS, Recipe
from benchmarks.process import Server
from benchmarks.report import Goal, Row
from benchmarks.run import Run, middle, ratios

COST_MS, ROWS, SLO_MS = 5.0, 8, 30.0
"""A batch of 8: at 500% of what that gives, one core for the generator and one for the server are still enough."""
_LOADS = (0.5, 0.8, 1.2, 5.0)
_FIXED = ((4, 8), (4, 16), (ROWS, 4), (ROWS, 8), (ROWS, 16), (ROWS, 24))
"""Most rows of a batch, and of the queue."""
_COLD_S, _QUICK_COLD_S = 35, 8
_LEAST_SETTLED, _LEAST_GOODPUT, _MOST_REFUSAL_MS, _MOST_SETTLE_S, _MOST_GROWTH_MB = 0.8, 0.9, 5, 30, 10
_FLAGS = ("--executor", "thread", "--threads", "1", "--max-batch-size")

_SEEDS = count()


def main(run: Run) -> None:
    run.report.title(
        "online.objective", f"Poisson arrivals, {COST_MS:g} ms a batch of up to {ROWS}; latency from when each was due"
    )
    model = work(run.folder, "constant", COST_MS)
    rows = np.random.default_rng(3).normal(size=(16, 4)).astype(np.float32)
    run.report.note(f"{model.stem}: a call takes {call_ms(model, rows[:ROWS]):.2f} ms with {ROWS} rows")
    adaptive = recipes.ours(model, *_FLAGS, str(ROWS), "--slo-ms", f"{SLO_MS:g}")
    fixed = [
        recipes.ours(
            model, *_FLAGS, str(most), "--max-queue-size", str(queue),
            name=f"no objective, batches of {most}, queue of {queue}",
        )
        for most, queue in _FIXED
    ]  # fmt: skip
    capacity = _capacity(fixed[-1], rows[0])
    run.report.note(f"capacity: {capacity:,.0f} requests/s, what wrk gets with {2 * ROWS} connections")
    with ExitStack() as stack:
        server = stack.enter_context(adaptive.start(rows[0]))
        _cold(run, server, rows[0], capacity)
        beside = [stack.enter_context(recipe.start(rows[0])) for recipe in fixed]
        beside[-1].check(rows, predict(model, rows))  # with an objective it may refuse, and be right
        before_mb = server.memory_bytes() / 1e6
        for load in _LOADS:
            servers = {OURS: server}
            if load > 1:  # below, any queue takes everything
                best = _best(beside, rows[0], load * capacity)
                servers[best.name] = best
            _compare(run, servers, rows[0], load, capacity)
        added = server.memory_bytes() / 1e6 - before_mb
        run.report.add(Row("memory added by all of these", OURS, [added], "MB",
                           goals=[Goal.at_most(added, _MOST_GROWTH_MB, " MB")]))  # fmt: skip


def _capacity(recipe: Recipe, row: np.ndarray) -> float:
    with recipe.start(row) as server:
        return max(wrk(server, server.wire.request(row), 2 * ROWS, 1).requests_s for _ in range(2))


def _cold(run: Run, server: Server, row: np.ndarray, capacity: float) -> None:
    """Until when answers came too late, or too few, from the first request on: it learns how fast the model is."""
    seconds = _QUICK_COLD_S if run.quick else _COLD_S
    came = open_loop(server, server.wire.request(row), 1.2 * capacity, seconds)
    settled = came.settled_s(SLO_MS, _LEAST_SETTLED * capacity)
    run.report.add(Row("120%, from a cold profile: last late or too few at", OURS, [settled], "s",
                       goals=[Goal.at_most(settled, _MOST_SETTLE_S, " s")],
                       more={"watched_s": seconds}))  # fmt: skip


def _best(servers: Sequence[Server], row: np.ndarray, rate: float) -> Server:
    """One second each."""
    return max(servers, key=lambda each: open_loop(each, each.wire.request(row), rate, 1).goodput(SLO_MS))


def _compare(run: Run, servers: Mapping[str, Server], row: np.ndarray, load: float, capacity: float) -> None:
    def measure(server: Server) -> Arrivals:
        return open_loop(server, server.wire.request(row), load * capacity, run.seconds, next(_SEEDS))

    found = run.in_turns({name: partial(measure, server) for name, server in servers.items()})
    offered = [load * capacity] * run.rounds
    goodput = {name: [each.goodput(SLO_MS) for each in came] for name, came in found.items()}
    for name, came in found.items():
        shares = ratios(goodput[OURS], goodput[name])
        p99_ms = middle([each.took(99) for each in came])
        refusal_ms = middle([each.took(99, 429) for each in came])
        if name == OURS:
            goals = [Goal.at_most(p99_ms, SLO_MS, " ms p99")]
            if load > 1:
                goals += [Goal.at_most(refusal_ms, _MOST_REFUSAL_MS, " ms refusal p99")]
            else:
                goals += [Goal.at_least(middle(ratios(goodput[name], offered)), _LEAST_GOODPUT, " of the offered")]
        else:
            goals = [Goal.at_least(middle(shares), _LEAST_GOODPUT, " of this")] if shares else []
        run.report.add(Row(
            f"{load:.0%} of capacity, goodput", name, goodput[name], "requests/s",
            p50_ms=middle([each.took(50) for each in came]), p99_ms=p99_ms,
            ratios=shares if name != OURS else (), goals=goals,
            more={
                "refused": middle([each.share(429) for each in came]), "refusal_p99_ms": refusal_ms,
                "failed": sum(each.failed for each in came), "left_late_ms": middle([e.left_late_ms for e in came]),
            },
        ))  # fmt: skip
    if not all(each.generator_kept_up for came in found.values() for each in came):
        run.report.note(f"{load:.0%}: the generator could not keep up, and its own delay counts in the latencies")
