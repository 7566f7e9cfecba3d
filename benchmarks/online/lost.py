"""A replica that is killed while requests come: how soon readiness says so, and how soon there is another."""

from __future__ import annotations

import http.client
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from benchmarks.load import wrk
from benchmarks.online import recipes
from benchmarks.online.recipes import OURS
from benchmarks.process import Server, needs
from benchmarks.report import Goal, Row
from benchmarks.run import Run, middle
from benchmarks.wire import Oip

_CONNECTIONS, _LOADED_S, _BEFORE_S, _WAIT_S, _LOOK_S = 16, 3, 0.5, 10.0, 0.001
_WITHIN_S = 1


def main(run: Run) -> None:
    run.report.title("online.lost", f"the only replica, a process, killed with {_CONNECTIONS} connections at work")
    needs("--executor process")
    row = np.zeros(4, np.float32)
    flags = ("--executor", "process", "--replicas", "1")
    told, again, failed = [], [], []
    for _ in range(run.rounds):
        with recipes.ours_python("Pid", *flags, name=OURS, wire=Oip("model")).start(row) as server:
            with ThreadPoolExecutor(1) as pool:
                load = pool.submit(wrk, server, server.wire.request(row), _CONNECTIONS, _LOADED_S)
                time.sleep(_BEFORE_S)
                replica = int(server.ask(row).item())
                killed = time.perf_counter()
                os.kill(replica, signal.SIGKILL)
                told.append(_until(server, ready=False) - killed)
                again.append(_until(server, ready=True) - killed)
            failed.append(load.result().errors)
    more = {"refused": middle(failed)}
    for measure, seconds in (("killed until not ready", told), ("killed until ready again", again)):
        goal = Goal.at_most(max(seconds), _WITHIN_S, " s, each time")
        run.report.add(Row(measure, OURS, seconds, "s", goals=[goal], more=more))


def _until(server: Server, *, ready: bool) -> float:
    """When readiness of the model says so. Raises RuntimeError where it never does."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=_WAIT_S)
    end = time.perf_counter() + _WAIT_S
    try:
        while time.perf_counter() < end:
            connection.request("GET", "/v2/models/model/ready")
            answer = connection.getresponse()
            answer.read()
            if (answer.status == 200) == ready:
                return time.perf_counter()
            time.sleep(_LOOK_S)
    finally:
        connection.close()
    raise RuntimeError(f"the server never said that the model is {'' if ready else 'not '}ready")
