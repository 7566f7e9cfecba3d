"""The slowest answers of a server whose model is replaced now and then, beside those of one left alone, in turns.

"Swap versions every 30 s under load" is how the need is told, so each measurement with a swap lasts as long as that.
"""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from benchmarks.load import wrk
from benchmarks.models import tiny
from benchmarks.online.open_loop import open_loop
from benchmarks.process import Server, foretell
from benchmarks.report import Goal, Row
from benchmarks.run import Run, middle, ratios
from benchmarks.wire import Oip, Request

_EVERY_S, _QUICK_EVERY_S = 30, 10
_BEFORE_S = 1.0
"""Until the first swap: the load has to be there."""
_ALONE_S, _ROUNDS = 10, 2
_MOST_TIMES = 1.2
_TABLE_ROWS = 6_000_000
_CONNECTIONS = 16
_ARRIVALS_S = 2000.0


@dataclass(frozen=True)
class Latencies:
    p50_ms: float
    p99_ms: float
    p999_ms: float
    """0 where it is not known."""
    failed: int
    requests_s: float


def main(run: Run) -> None:
    every_s = _QUICK_EVERY_S if run.quick else _EVERY_S
    run.report.title("reload", f"a model is replaced every {every_s} s; p99 beside that without it, in turns")
    models = {"TINY": tiny(run.folder), "96 MB": _table(run.folder)}
    row = np.ones(4, np.float32)
    for name, model in models.items():
        with Server(name, foretell(f"model={model}"), Oip("model"), row) as server:
            request = server.wire.request(row)
            _closed(server, request, 1)
            ask = partial(_closed, server, request)
            _compare(run, f"p99, {name}, {_CONNECTIONS} connections", server, every_s, ask)
            ask = partial(_open, run, server, request)
            _compare(run, f"p99, {name}, {_ARRIVALS_S:,.0f} arrivals/s", server, every_s, ask)


def _closed(server: Server, request: Request, seconds: int) -> Latencies:
    load = wrk(server, request, _CONNECTIONS, seconds)
    return Latencies(load.p50_ms, load.p99_ms, 0.0, load.errors, load.requests_s)


def _open(run: Run, server: Server, request: Request, seconds: int) -> Latencies:
    came = open_loop(server, request, _ARRIVALS_S, seconds)
    if not came.generator_kept_up:
        run.report.note(f"the generator was {came.left_late_ms:.1f} ms late at its 99th percentile")
    refused = int((came.status == 429).sum())
    return Latencies(came.took(50), came.took(99), came.took(99.9), came.failed + refused, _ARRIVALS_S)


def _compare(run: Run, measure: str, server: Server, every_s: int, ask: Callable[[int], Latencies]) -> None:
    took: list[float] = []

    def reloading() -> Latencies:
        with _reloads(server.port, every_s, took):
            return ask(every_s)

    alone: Callable[[], Latencies] = partial(ask, _ALONE_S)
    loads = run.in_turns({"left alone": alone, "reloading": reloading}, 1 if run.quick else _ROUNDS)
    failed = sum(one.failed for each in loads.values() for one in each)
    if failed:
        raise RuntimeError(f"{failed} requests failed")
    p99 = {name: [one.p99_ms for one in each] for name, each in loads.items()}
    times = ratios(p99["reloading"], p99["left alone"])
    for name, each in loads.items():
        more = {"requests_s": middle([one.requests_s for one in each])}
        if p999_ms := middle([one.p999_ms for one in each]):
            more["p999_ms"] = p999_ms
        goals = []
        if name == "reloading":
            more |= {"times": middle(times), "reloads": float(len(took)), "reload_s": middle(took)}
            goals = [Goal.at_most(middle(times), _MOST_TIMES, " of alone")]
        p50_ms = middle([one.p50_ms for one in each])
        run.report.add(Row(measure, name, p99[name], "ms", p50_ms=p50_ms, goals=goals, more=more))


@contextmanager
def _reloads(port: int, every_s: float, took: list[float]) -> Iterator[None]:
    """One every `every_s`, each waited for; `took`: the seconds of each."""
    over, problems = threading.Event(), list[BaseException]()

    def reload() -> None:
        try:
            over.wait(_BEFORE_S)
            while not over.is_set():
                started = time.perf_counter()
                _load(port)
                took.append(time.perf_counter() - started)
                over.wait(max(0.0, every_s - took[-1]))
        except BaseException as error:
            problems.append(error)

    thread = threading.Thread(target=reload)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
    if problems:
        raise problems[0]


def _load(port: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("POST", "/v2/repository/models/model/load")
        reply = connection.getresponse()
        said = reply.read()
        if reply.status != 200:
            raise RuntimeError(f"a reload failed: {said!r}")
    finally:
        connection.close()


def _table(folder: Path) -> Path:
    """A model that takes long to load and answers at once: it looks a row up in a table of 96 MB."""
    nodes = [
        helper.make_node("ReduceMean", ["input"], ["mean"], axes=[1], keepdims=0),
        helper.make_node("Cast", ["mean"], ["index"], to=TensorProto.INT64),
        helper.make_node("Gather", ["table", "index"], ["probabilities"], axis=0),
    ]
    graph = helper.make_graph(
        nodes,
        "table",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["N", 4])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", 4])],
        [numpy_helper.from_array(np.ones((_TABLE_ROWS, 4), np.float32), "table")],
    )
    path = folder / "table.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path
