"""Models that end their process in every call, or before it is ready: who asks is told at once, the server tries ever
more rarely to open them again, and nobody else notices."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import psutil
import pytest
from looking import figure, get, until
from program import WAIT_S, Server, run
from wire import Answer, Wire, http, infer, values

from foretell.engine.policy import restart_delay_s

Serve = Callable[..., Server]

MODELS = '''
import ctypes
import os
import resource
import time
from pathlib import Path

import numpy as np


class Loops:
    """Doubles, unless there is a file that says in which stage its process ends. `NAME.loads`: when it was loaded."""

    def load(self):
        self.ends("load")
        with open(f"{type(self).__name__}.loads", "a") as loads:
            loads.write(f"{time.monotonic()}\\n")
        Path(f"{type(self).__name__}.pid").write_text(str(os.getpid()))

    def predict(self, x: np.ndarray):
        self.ends("predict")
        return {"y": x * 2}

    def ends(self, stage):
        told = Path("ends")
        if told.exists() and told.read_text() == stage:
            with open(f"{type(self).__name__}.{stage}", "a") as ends:
                ends.write(f"{time.monotonic()}\\n")
            self.end()


class Faults(Loops):
    def end(self):
        ctypes.string_at(0)


class Starves(Loops):
    def end(self):
        resource.setrlimit(resource.RLIMIT_AS, (2**33, resource.RLIM_INFINITY))
        np.ones(2**40)


class Well:
    def predict(self, x: np.ndarray):
        return {"y": x * 2}
'''
ENDINGS = {
    "Faults": "ended with signal 11",
    "Starves": "ran out of memory",
}
FEW = 7
"""Losses in a row after which a model waits so long that who asks is not kept waiting for it."""


@pytest.fixture
def start(folder: Path, serve: Serve) -> Callable[[], Server]:
    """A server of `ENDINGS` and of a model that is well, each in a process of its own."""
    (folder / "loops.py").write_text(MODELS)
    models = [f"{name}=loops.py:{name}" for name in (*ENDINGS, "Well")]
    return lambda: serve(*models, "--executor", "process")


def ask(server: Server, model: str) -> Answer:
    with Wire(server.port) as wire:
        return wire.send(infer(model, [3])).answer()


def readiness(server: Server, model: str) -> int:
    return get(server, f"/v2/models/{model}/ready").status


def times(folder: Path, model: str, what: str) -> list[float]:
    file = folder / f"{model}.{what}"
    return [float(line) for line in file.read_text().split()] if file.exists() else []


@contextmanager
def asked_meanwhile(server: Server, model: str) -> Iterator[list[Answer]]:
    """Somebody asks `model` all the time. Every answer, at the end."""
    answers: list[Answer] = []
    over = threading.Event()

    def run() -> None:
        with Wire(server.port) as wire:
            while not over.is_set():
                answers.append(wire.send(infer(model, [3])).answer())
                over.wait(0.001)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield answers
    finally:
        over.set()
        thread.join(WAIT_S)
    assert not thread.is_alive()


def crash(server: Server, model: str) -> list[str]:
    """Asks again and again until nobody is kept waiting for the next process. What was told each time."""
    told: list[str] = []
    while not told or "no replica" not in told[-1]:
        answer = ask(server, model)
        assert answer.status == 503, answer
        told.append(answer.error)
        if "no replica" in told[-1]:  # the pause is longer than two seconds, and is told
            assert 1 <= int(answer.header("retry-after") or 0) <= restart_delay_s(len(told), 0.0) + 1
        else:
            assert answer.header("retry-after") == "1"
        assert len(told) < 2 * FEW, told
    return told


def all_at_once(call: Callable[[str], object]) -> None:
    """`call` of each, in a thread of its own."""
    problems: list[BaseException] = []

    def run(model: str) -> None:
        try:
            call(model)
        except BaseException as error:
            problems.append(error)

    threads = [threading.Thread(target=run, args=(model,)) for model in ENDINGS]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT_S)
    assert problems == []


def assert_pauses_grow(ends: list[float], starts: list[float]) -> None:
    """Each start but the first came as long after the end before it as it had to, or later."""
    assert len(starts) >= len(ends)
    for failures, (end, start) in enumerate(zip(ends, starts, strict=False), 1):
        assert start - end >= restart_delay_s(failures, 0.0), (failures, ends, starts)


def assert_well(server: Server, folder: Path) -> None:
    """Everything works again, and nothing is left of the trouble."""
    for model in (*ENDINGS, "Well"):
        until(lambda model=model: readiness(server, model) == 200)
        assert values(ask(server, model)) == [6]
        assert figure(server, "queue_rows", model) == 0
        assert figure(server, "replicas", model) == 1
    assert get(server, "/v2/health/ready").status == 200
    assert len(psutil.Process(server.process.pid).children()) == len(ENDINGS) + 1
    server.stop()
    assert server.end() == 0


def test_processes_that_end_in_every_call(start: Callable[[], Server], folder: Path) -> None:
    server = start()
    (folder / "ends").write_text("predict")
    told: dict[str, list[str]] = {}
    with asked_meanwhile(server, "Well") as answers:
        all_at_once(lambda model: told.update({model: crash(server, model)}))
        for model, ending in ENDINGS.items():
            *lost, refused = told[model]
            assert set(lost) == {f"model '{model}': its process {ending}; try again"}
            assert refused == f"model '{model}': no replica of the model runs now; try again later"
            assert figure(server, "replicas_lost_total", model) == len(lost) >= FEW
            assert figure(server, "queue_rows", model) == 0
        assert get(server, "/v2/health/live").status == 200
        assert readiness(server, "Well") == 200
        (folder / "ends").unlink()
        for model in ENDINGS:
            until(lambda model=model: readiness(server, model) == 200)
    assert len(answers) > FEW
    assert {answer.status for answer in answers} == {200}
    for model in ENDINGS:
        ends, starts = times(folder, model, "predict"), times(folder, model, "loads")
        assert len(ends) == len(told[model]) - 1
        assert len(starts) == len(ends) + 1  # none but the first one and one for each that was lost
        assert_pauses_grow(ends, starts[1:])
    assert_well(server, folder)


def test_processes_that_end_before_they_are_ready(start: Callable[[], Server], folder: Path) -> None:
    server = start()
    (folder / "ends").write_text("load")
    with asked_meanwhile(server, "Well") as answers:
        for model in ENDINGS:
            os.kill(int((folder / f"{model}.pid").read_text()), signal.SIGKILL)
        for model in ENDINGS:
            until(lambda model=model: readiness(server, model) == 503)
        seen: list[int] = []

        def refused(model: str) -> None:
            answer = ask(server, model)  # waits while the next attempt is near
            assert (answer.status, 1 <= int(answer.header("retry-after") or 0) <= 30) == (503, True), answer
            assert answer.error == f"model '{model}': no replica of the model runs now; try again later"
            seen.append(readiness(server, model))

        all_at_once(refused)
        assert seen == [503] * len(ENDINGS)
        assert get(server, "/v2/health/ready").status == 503
        for model in ENDINGS:
            assert figure(server, "replicas_lost_total", model) == 1
            replicas = get(server, f"/v2/models/{model}/config").json["foretell"]["replicas"]
            assert (replicas["running"], replicas["last_failed_start"]) == (0, "replica_lost")
        (folder / "ends").unlink()
        for model in ENDINGS:
            until(lambda model=model: readiness(server, model) == 200)
    assert len(answers) > FEW
    assert {answer.status for answer in answers} == {200}
    for model, ending in ENDINGS.items():
        ends, starts = times(folder, model, "load"), times(folder, model, "loads")
        assert len(starts) == 2
        assert len(ends) >= FEW - 1
        for failures, (before, after) in enumerate(pairwise([*ends, starts[1]]), 2):
            assert after - before >= restart_delay_s(failures, 0.0), (failures, ends)
        said = f"{model} version 1: a replica could not be opened: model '{model}': its process {ending}"
        assert [line for line in server.said if said in line] != []
    assert_well(server, folder)


def test_a_model_whose_process_ends_at_the_first_load(folder: Path) -> None:
    (folder / "loops.py").write_text(MODELS)
    (folder / "ends").write_text("load")
    done = run("serve", "loops.py:Faults", "--executor", "process", "--http-port", 0, cwd=folder)
    assert done.returncode == 1
    said = "foretell: model 'Faults': its process ended with signal 11 while it loaded the model"
    assert [line for line in done.stderr.splitlines() if "foretell" in line] == [said]


def test_a_new_version_whose_process_ends_leaves_the_old_one(start: Callable[[], Server], folder: Path) -> None:
    server = start()
    (folder / "ends").write_text("load")
    with Wire(server.port) as wire:
        answer = wire.send(http("POST", "/v2/repository/models/Faults/load")).answer()
    assert answer.status == 503
    assert "its process ended with signal 11 while it loaded the model" in answer.error
    (folder / "ends").unlink()
    assert_well(server, folder)
