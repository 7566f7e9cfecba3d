"""Python models that hold the GIL, in processes of their own: beside mosec, and what the way there costs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack

import numpy as np

from benchmarks.online import recipes
from benchmarks.online.busy import HOLD_S
from benchmarks.online.loads import add_loads, closed_loop, rates, ready, times_of, working
from benchmarks.online.python_models import HOP_FLOATS
from benchmarks.online.recipes import OURS, Recipe
from benchmarks.process import needs
from benchmarks.report import Goal, Row
from benchmarks.run import Run, middle, ratios
from benchmarks.wire import Oip, OipBinary

_ROWS, _CONNECTIONS = 16, 64
_HOW = "clock"
_ONE = f"{OURS}, 1 replica"
_WAITS_MS = (1, 3)
_TIMES_OF_MOSEC, _TIMES_OF_ONE, _MOST_HOP_US = 1.3, 1.8, 150
_ENVIRON: Mapping[str, str] = {"BUSY": _HOW}


def main(run: Run) -> None:
    run.report.title(
        "online.processes", f"Python that holds the GIL for {1e3 * HOLD_S:g} ms a batch of up to {_ROWS}, 2 replicas"
    )
    needs("--executor process")
    _held(run)
    _hop(run)


def _held(run: Run) -> None:
    rows = np.random.default_rng(6).normal(size=(48, 4)).astype(np.float32)
    answers = rows.sum(axis=1, keepdims=True)
    known = [_ours(OURS, 2), _ours(_ONE, 1)]
    for wait_ms in (_WAITS_MS[: 1 if run.quick else None]) if run.peers else ():
        with run.unless_unavailable(f"mosec, waiting {wait_ms} ms"):
            known.append(working(_mosec(wait_ms), rows, answers))
    with ExitStack() as stack:
        servers = {each.name: stack.enter_context(ready(each, rows, answers)) for each in known}
        loads = closed_loop(run, servers, rows[0], _CONNECTIONS)
    mosecs = [name for name in loads if name.startswith("mosec")]
    goals = {_ONE: [Goal.at_least(times_of(loads, _ONE), _TIMES_OF_ONE, " of this")]}
    if mosecs:
        best = max(mosecs, key=lambda name: middle(rates(loads, name)))
        goals[best] = [Goal.at_least(times_of(loads, best), _TIMES_OF_MOSEC, " of this")]
    add_loads(run, f"holds the GIL, {_CONNECTIONS} connections", loads, goals)


def _ours(name: str, replicas: int) -> Recipe:
    flags = ("--executor", "process", "--replicas", str(replicas), "--max-batch-size", str(_ROWS))
    return recipes.ours_python("Held", *flags, name=name, wire=Oip("model"), environ=_ENVIRON)


def _mosec(wait_ms: int) -> Callable[[], Recipe]:
    return lambda: recipes.mosec(f"busy:{_HOW}", _ROWS, wait_ms, 2, name=f"mosec, waiting {wait_ms} ms")


def _hop(run: Run) -> None:
    """What an answer of 1 KB to 1 KB takes longer in a process than in a thread, at one connection."""
    rows = np.random.default_rng(7).normal(size=(16, HOP_FLOATS)).astype(np.float32)
    with ExitStack() as stack:
        servers = {
            each.name: stack.enter_context(ready(each, rows, rows))
            for each in (
                recipes.ours_python("Echo", "--executor", executor, name=f"{OURS}, {executor}",
                                    wire=OipBinary("model"), environ=_ENVIRON)
                for executor in ("process", "inline")
            )
        }  # fmt: skip
        loads = closed_loop(run, servers, rows[0], 1)
    add_loads(run, "1 KB there and back, 1 connection", loads)
    process, inline = ([1e3 * one.p50_ms for one in each] for each in loads.values())
    added = [a - b for a, b in zip(process, inline, strict=True)]
    run.report.add(Row("the hop: process less inline, p50", OURS, added, "us", ratios=ratios(inline, process),
                       goals=[Goal.at_most(middle(added), _MOST_HOP_US, " us")]))  # fmt: skip
