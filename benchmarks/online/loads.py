"""Closed loops: `wrk` against several servers in turns, and the lines that come of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np

from benchmarks.load import Measured, wrk
from benchmarks.online.recipes import OURS, Recipe
from benchmarks.process import Server, Unavailable
from benchmarks.report import Goal, Row
from benchmarks.run import Run, middle, ratios

Loads = Mapping[str, Sequence[Measured]]
_WARM_UP_CONNECTIONS, _WARM_UP_S = 16, 1


def ready(recipe: Recipe, rows: np.ndarray, expected: np.ndarray, core: int | None = None) -> Server:
    """The server, started, its answers found right, and warm. The caller stops it."""
    server = recipe.start(rows[0], core)
    try:
        server.check(rows, expected)
        wrk(server, server.wire.request(rows[0]), _WARM_UP_CONNECTIONS, _WARM_UP_S, core=core)
    except BaseException:
        server.stop()
        raise
    return server


def working(build: Callable[[], Recipe], rows: np.ndarray, expected: np.ndarray) -> Recipe:
    """What `build` gives. Raises `Unavailable` where it does not start or answers wrongly: a peer stops nobody."""
    try:
        recipe = build()
        with recipe.start(rows[0]) as server:
            server.check(rows, expected)
    except Unavailable:
        raise
    except RuntimeError as error:
        raise Unavailable(" ".join(str(error).split())[-400:]) from error
    return recipe


def closed_loop(
    run: Run,
    servers: Mapping[str, Server],
    row: np.ndarray,
    connections: int,
    *,
    unique: bool = False,
    core: int | None = None,
    seconds: int | None = None,
) -> Loads:
    """Each server in turns, for `seconds` or what the run says.

    Raises RuntimeError where one of ours fails a request; of a peer, that is a note.
    """

    def measure(server: Server) -> Measured:
        request = server.wire.request(row)
        return wrk(server, request, connections, seconds or run.seconds, unique=unique, core=core)

    measured = run.in_turns({name: partial(measure, server) for name, server in servers.items()})
    for name, each in measured.items():
        errors = sum(one.errors for one in each)
        if errors and name.startswith(OURS):
            raise RuntimeError(f"{errors} requests to {name} failed at {connections} connections")
        if errors:
            run.report.note(f"{errors} requests to {name} failed at {connections} connections")
    return measured


def rates(loads: Loads, name: str) -> list[float]:
    return [each.requests_s for each in loads[name]]


def times_of(loads: Loads, name: str) -> float:
    """How many times the rate of `name` ours was, in the middle of the rounds."""
    return middle(ratios(rates(loads, OURS), rates(loads, name)))


def add_loads(
    run: Run,
    measure: str,
    loads: Loads,
    goals: Mapping[str, Sequence[Goal]] | None = None,
    more: Mapping[str, Mapping[str, float]] | None = None,
) -> None:
    """A line for each server, with its `goals` and whatever `more` there is to say of it."""
    for name, each in loads.items():
        row = Row(
            measure, name, rates(loads, name), "requests/s",
            p50_ms=middle([one.p50_ms for one in each]),
            p99_ms=middle([one.p99_ms for one in each]),
            cpu_cores=middle([one.server_cores for one in each]),
            ratios=ratios(rates(loads, OURS), rates(loads, name)) if OURS in loads and name != OURS else (),
            goals=(goals or {}).get(name, ()),
            more={
                "cpu_us": middle([one.cpu_us for one in each]), "wrk_cpu": middle([one.client_cores for one in each]),
                **(more or {}).get(name, {}),
            },
        )  # fmt: skip
        run.report.add(row)
