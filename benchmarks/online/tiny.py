"""What a request costs when the model costs nothing: 4 features, one row, one process, everything on as by default."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.load import wrk
from benchmarks.models import tiny
from benchmarks.online import recipes
from benchmarks.online.loads import add_loads, closed_loop, rates, ready, times_of, working
from benchmarks.online.models import predict
from benchmarks.online.recipes import BARE, OURS, Recipe
from benchmarks.process import Server
from benchmarks.report import Goal, Row
from benchmarks.run import Run, last_core, middle, ratios
from benchmarks.wire import OipBinary

MOSEC, MOSEC_BATCHING, TRITON, TRITON_BATCHING, MLSERVER = (
    "mosec", "mosec, batching", "Triton", "Triton, batching", "MLServer"
)  # fmt: skip
_TIMES_OF: Mapping[int, Mapping[str, float]] = {
    16: {BARE: 0.6, TRITON: 7, TRITON_BATCHING: 7},
    48: {MOSEC_BATCHING: 0},
    64: {BARE: 0.65, MOSEC: 3, MOSEC_BATCHING: 3, TRITON: 5, TRITON_BATCHING: 5, MLSERVER: 35},
}
"""How many times the rate of each ours is to be, by connections; 0: it only stands beside ours."""
_PINNED_TIMES_OF = {BARE: 0.7, MOSEC: 2}
_MOSEC_ROWS, _MOSEC_WAITS_MS = 64, (1, 3, 10)
_MOST_P99_MS, _MOST_START_S, _MOST_MEMORY_MB, _LEAST_UNIQUE_S, _AS_GOOD = 2, 0.5, 110, 65_000, 0.9
_LEAST_COUNTED = 0.9
_IDLE_S = 2.0


class Tiny:
    """The model, the rows it is asked for, and what it answers."""

    def __init__(self, folder: Path) -> None:
        self.model = tiny(folder)
        self.rows = np.random.default_rng(1).normal(size=(48, 4)).astype(np.float32)
        self.answers = predict(self.model, self.rows)

    def ready(self, recipe: Recipe, core: int | None = None) -> Server:
        return ready(recipe, self.rows, self.answers, core)


def main(run: Run) -> None:
    run.report.title("online.tiny", "4 features, one row of JSON in each server's own format, wrk -t1, keep-alive")
    case = Tiny(run.folder)
    known = [recipes.ours(case.model), recipes.bare(case.model), *_peers(run, case)]
    with ExitStack() as stack:
        servers = {recipe.name: stack.enter_context(case.ready(recipe)) for recipe in known}
        _start(run, case, known[:2], {recipe.name: servers[recipe.name] for recipe in known[2:]})
        _loads(run, case, servers)
        _memory(run, servers)
    with ExitStack() as stack:
        pair = {recipe.name: stack.enter_context(case.ready(recipe)) for recipe in known[:2]}
        _unique(run, case, pair)
        binary = recipes.ours(case.model, name="foretell, binary", wire=OipBinary("model"))
        _binary(run, case, {OURS: pair[OURS], binary.name: stack.enter_context(case.ready(binary))})
        uncounted = recipes.uncounted(case.model, name="foretell, no statistics")
        _metrics(run, case, {OURS: pair[OURS], uncounted.name: stack.enter_context(case.ready(uncounted))})
    with run.unless_unavailable("1 connection on one core"):
        _pinned(run, case, [recipe for recipe in known if recipe.name in {OURS, *_PINNED_TIMES_OF}])


def _peers(run: Run, case: Tiny) -> list[Recipe]:
    """Those that can be installed and answer rightly here."""
    if not run.peers:
        return []
    model = case.model
    builders: dict[str, Callable[[], Recipe]] = {
        MOSEC_BATCHING: lambda: _best_mosec(run, case),
        MOSEC: lambda: recipes.mosec(str(model), 1, 0, name=MOSEC),
        TRITON_BATCHING: lambda: recipes.triton(model, run.folder, batching=True, name=TRITON_BATCHING),
        TRITON: lambda: recipes.triton(model, run.folder, batching=False, name=TRITON),
        MLSERVER: lambda: recipes.mlserver(model, run.folder, name=MLSERVER),
    }
    found = []
    for name, build in builders.items():
        with run.unless_unavailable(name):
            found.append(working(build, case.rows, case.answers))
    return found


def _best_mosec(run: Run, case: Tiny) -> Recipe:
    """With the wait that gives it most at 64 connections."""
    rate = {}
    for wait_ms in _MOSEC_WAITS_MS[-1:] if run.quick else _MOSEC_WAITS_MS:
        recipe = recipes.mosec(str(case.model), _MOSEC_ROWS, wait_ms, name=MOSEC_BATCHING)
        with recipe.start(case.rows[0]) as server:
            rate[wait_ms] = wrk(server, server.wire.request(case.rows[0]), 64, 1).requests_s
    best = max(rate, key=rate.__getitem__)
    run.report.note(f"mosec batches up to {_MOSEC_ROWS} rows and waits {best} ms, the best of {list(rate)}")
    return recipes.mosec(str(case.model), _MOSEC_ROWS, best, name=MOSEC_BATCHING)


def _start(run: Run, case: Tiny, known: Sequence[Recipe], peers: Mapping[str, Server]) -> None:
    """Ours and the bare one several times, each with empty caches; a peer's start was looked at once."""

    def seconds(recipe: Recipe) -> float:
        with recipe.start(case.rows[0]) as server:
            return server.start_s

    times = run.in_turns({recipe.name: partial(seconds, recipe) for recipe in known})
    times |= {name: [server.start_s] for name, server in peers.items()}
    for name, raw in times.items():
        goals = [Goal.at_most(middle(raw), _MOST_START_S, " s")] if name == OURS else []
        shares = ratios([middle(times[OURS])] * len(raw), raw) if name != OURS else ()
        run.report.add(Row("start to first answer", name, raw, "s", ratios=shares, goals=goals))


def _loads(run: Run, case: Tiny, servers: Mapping[str, Server]) -> None:
    middles = {}
    for connections, wanted in _TIMES_OF.items():
        beside = {name: server for name, server in servers.items() if name in {OURS, *wanted}}
        loads = closed_loop(run, beside, case.rows[0], connections)
        middles[connections] = middle(rates(loads, OURS))
        goals = _goals(wanted, {name: times_of(loads, name) for name in loads})
        if connections == 64:
            p99_ms = middle([each.p99_ms for each in loads[OURS]])
            goals[OURS] = [Goal.at_most(p99_ms, _MOST_P99_MS, " ms p99")]
        add_loads(run, f"{connections} connections", loads, goals)
    share = middles[48] / middles[64]
    run.report.add(Row("48 connections / 64 connections", OURS, [share], "", goals=[Goal.at_least(share, _AS_GOOD)]))


def _memory(run: Run, servers: Mapping[str, Server]) -> None:
    """After all loads; and what each server does with the processor when nobody asks it anything."""
    before = {name: server.used() for name, server in servers.items()}
    time.sleep(_IDLE_S)
    for name, server in servers.items():
        after = server.used()
        idle = (after.cpu_s - before[name].cpu_s) / (after.at - before[name].at)
        now_mb, peak_mb = server.memory_bytes() / 1e6, server.peak_memory_bytes() / 1e6
        goals = [Goal.at_most(peak_mb, _MOST_MEMORY_MB, " MB")] if name == OURS else []
        more = {"processes": server.processes(), "idle_cpu": idle}
        run.report.add(Row("memory at the peak", name, [peak_mb], "MB", rss_mb=now_mb, goals=goals, more=more))


def _unique(run: Run, case: Tiny, servers: Mapping[str, Server]) -> None:
    loads = closed_loop(run, servers, case.rows[0], 64, unique=True)
    goal = Goal.at_least(middle(rates(loads, OURS)), _LEAST_UNIQUE_S, "/s")
    add_loads(run, "64 connections, unique header values", loads, {OURS: [goal]})


def _binary(run: Run, case: Tiny, servers: Mapping[str, Server]) -> None:
    loads = closed_loop(run, servers, case.rows[0], 64)
    binary = next(name for name in servers if name != OURS)
    share = 1 / times_of(loads, binary)
    add_loads(run, "64 connections, JSON beside binary", loads, {binary: [Goal.at_least(share, _AS_GOOD, " of JSON")]})


def _metrics(run: Run, case: Tiny, servers: Mapping[str, Server]) -> None:
    loads = closed_loop(run, servers, case.rows[0], 64)
    share = times_of(loads, next(name for name in servers if name != OURS))
    goal = Goal.at_least(share, _LEAST_COUNTED, " of uncounted")
    add_loads(run, "64 connections, with and without statistics", loads, {OURS: [goal]})


def _pinned(run: Run, case: Tiny, known: Sequence[Recipe]) -> None:
    """Nobody has to wake another core, which decides the figure of one connection otherwise."""
    core = last_core()
    with ExitStack() as stack:
        servers = {recipe.name: stack.enter_context(case.ready(recipe, core)) for recipe in known}
        loads = closed_loop(run, servers, case.rows[0], 1, core=core)
    goals = _goals(_PINNED_TIMES_OF, {name: times_of(loads, name) for name in loads})
    add_loads(run, "1 connection, all on one core", loads, goals)


def _goals(wanted: Mapping[str, float], times: Mapping[str, float]) -> dict[str, list[Goal]]:
    return {
        name: [Goal.at_least(times[name], floor, " of this")]
        for name, floor in wanted.items()
        if floor and name in times
    }
