"""Models in processes of their own behind HTTP: what callers see when one is killed, hangs or has no memory left."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from looking import figure, get, until
from program import WAIT_S, Server
from wire import Answer, Wire, http, infer, values

Serve = Callable[..., Server]

MODELS = '''
import os
import resource
import time
from pathlib import Path

import numpy as np


class Tells:
    """Answers the number of its process. 1: sleeps; 2: takes more memory than it may; 3: ends."""

    def load(self):
        resource.setrlimit(resource.RLIMIT_AS, (2**33, resource.RLIM_INFINITY))

    def predict(self, x: np.ndarray):
        if (x == 1).any():
            time.sleep(60)
        if (x == 2).any():
            np.ones(2**34)
        if (x == 3).any():
            os._exit(3)
        return {"pid": np.full(len(x), os.getpid())}


class OnDevice(Tells):
    """Knows of devices with a number, and answers which one it has."""

    def load(self, device):
        self.number = int(device.partition(":")[2])

    def predict(self, x: np.ndarray, ctx):
        return {"device": np.full(len(x), self.number), "told": np.full(len(x), int(ctx.device.partition(":")[2]))}


class LoadsTwice(Tells):
    """The second time it is loaded when somebody writes to the pipe `gate`."""

    def load(self):
        if Path("loaded").exists():
            Path("gate").read_bytes()
        Path("loaded").touch()


class Busy(Tells):
    """Holds the interpreter for ten milliseconds."""

    def load(self):
        """Without a limit of memory."""

    def predict(self, x: np.ndarray):
        until = time.perf_counter() + 0.01
        while time.perf_counter() < until:
            pass
        return super().predict(x)
'''


@pytest.fixture
def start(folder: Path, serve: Serve) -> Serve:
    """`start("Tells", ...)`: a server of that model, in processes."""
    (folder / "own.py").write_text(MODELS)
    return lambda name, *flags: serve(f"m=own.py:{name}", *flags)


def pid_of(answer: Answer) -> int:
    assert answer.status == 200, answer
    (pid,) = values(answer, "pid")
    return int(pid)


def ask(server: Server, value: float = 0) -> Answer:
    with Wire(server.port) as wire:
        return wire.send(infer("m", [value])).answer()


def wait_gone(pid: int) -> None:
    try:
        psutil.Process(pid).wait(WAIT_S)
    except psutil.NoSuchProcess:
        return


@contextmanager
def clients(server: Server, count: int) -> Iterator[list[Answer]]:
    """So many clients that ask one request after the other; every answer, as it comes."""
    answers: list[Answer] = []
    problems: list[BaseException] = []
    stop = threading.Event()

    def run() -> None:
        try:
            with Wire(server.port) as wire:
                while not stop.is_set():
                    answers.append(wire.send(infer("m", [0])).answer())
        except BaseException as error:
            problems.append(error)

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield answers
    finally:
        stop.set()
        for thread in threads:
            thread.join(WAIT_S)
    assert problems == []


def test_a_replica_that_is_killed_under_load(start: Serve) -> None:
    server = start("Tells", "--executor", "process", "--replicas", 2, "--max-batch-size", 2)
    ready: list[int] = []
    with clients(server, 8) as answers:
        until(lambda: len({pid_of(answer) for answer in list(answers)}) == 2)
        first, second = {pid_of(answer) for answer in list(answers)}
        os.kill(first, signal.SIGKILL)
        until(lambda: ready.append(get(server, "/v2/health/ready").status) or figure(server, "replicas_lost_total"))
        until(lambda: figure(server, "replicas") == 2)
        seen = len(answers)
        until(lambda: len({pid_of(answer) for answer in list(answers)[seen:]}) == 2)
    lost = [answer for answer in answers if answer.status != 200]
    assert len(lost) <= 2  # those whose batch was in it
    for answer in lost:
        assert answer.status == 503
        assert answer.header("retry-after") == "1"
        assert answer.error == "model 'm': its process ended with signal 9; try again"
    assert set(ready) == {200}  # the other one answers
    third = {pid_of(answer) for answer in answers if answer.status == 200} - {first, second}
    assert len(third) == 1
    server.wait_for("m version 1: a replica was lost (ended); it is replaced")
    replicas = get(server, "/v2/models/m/config").json["foretell"]["replicas"]
    assert (replicas["running"], replicas["lost"], replicas["last_loss"]) == (2, 1, "ended")
    server.stop()
    assert server.end() == 0
    for pid in (second, *third):
        wait_gone(pid)


def test_readiness_tells_of_a_replica_that_is_lost_and_of_the_next(start: Serve, folder: Path) -> None:
    os.mkfifo(folder / "gate")
    server = start("LoadsTwice", "--executor", "process")
    paths = ("/v2/health/ready", "/v2/models/m/ready")
    first = pid_of(ask(server))
    assert [get(server, path).status for path in paths] == [200, 200]
    os.kill(first, signal.SIGKILL)
    for path in paths:
        until(lambda path=path: get(server, path).status == 503)
    assert get(server, "/v2/health/live").status == 200
    with Wire(server.port) as waits:  # the next one is about to come
        waits.send(infer("m", [0]))
        with open(folder / "gate", "wb") as gate:  # opens when the model reads
            gate.write(b"go")
        assert pid_of(waits.answer()) != first
    assert [get(server, path).status for path in paths] == [200, 200]
    server.stop()
    assert server.end() == 0


@pytest.mark.parametrize(
    ("value", "said", "loss"),
    [
        (1, "its process took longer than 0.5 s for a call", "hung"),
        (2, "its process ran out of memory", "out_of_memory"),
        (3, "its process ended with exit code 3", "ended"),
    ],
)
def test_a_call_that_its_process_does_not_survive(start: Serve, value: int, said: str, loss: str) -> None:
    server = start("Tells", "--executor", "process", "--call-timeout-s", 0.5)
    first = pid_of(ask(server))
    answer = ask(server, value)
    assert (answer.status, answer.header("retry-after")) == (503, "1")
    assert answer.error == f"model 'm': {said}; try again"
    wait_gone(first)
    assert pid_of(ask(server)) != first
    replicas = get(server, "/v2/models/m/config").json["foretell"]["replicas"]
    assert (replicas["running"], replicas["lost"], replicas["last_loss"]) == (1, 1, loss)
    server.stop()
    assert server.end() == 0


def test_nothing_outlives_a_server_that_is_killed(start: Serve) -> None:
    server = start("Tells", "--executor", "process", "--replicas", 2)
    until(lambda: figure(server, "replicas") == 2)
    children = psutil.Process(server.process.pid).children(recursive=True)
    assert len(children) == 2
    shared = [line for child in children for line in Path(f"/proc/{child.pid}/maps").read_text().splitlines()
              if "/dev/shm/" in line]  # fmt: skip
    assert shared
    assert [line for line in shared if not line.endswith("(deleted)")] == []  # it has no name that could stay
    server.kill()
    for child in children:
        wait_gone(child.pid)


def test_python_code_that_holds_the_server_up_moves_to_a_process_without_a_lost_request(start: Serve) -> None:
    server = start("Busy")
    with clients(server, 4) as answers:
        until(lambda: {pid_of(answer) for answer in list(answers)} - {server.process.pid})
        assert get(server, "/v2/models/m/config").json["foretell"]["executor"] == "process"
        seen = len(answers)
        until(lambda: len(answers) > seen + 50)
    pids = [pid_of(answer) for answer in answers]
    assert pids[0] == server.process.pid
    assert len(set(pids)) == 2
    assert server.process.pid not in pids[seen:]
    assert get(server, "/v2/models/m").json["outputs"] == [{"name": "pid", "datatype": "INT64", "shape": [-1]}]
    server.stop()
    assert server.end() == 0
    wait_gone(pids[-1])


def test_a_model_in_a_process_never_comes_into_that_of_the_server(serve: Serve, folder: Path) -> None:
    (folder / "alone.py").write_text(
        "import os\nopen('imported', 'a').write(f'{os.getpid()} ')\nimport numpy as np\n"
        "def m(x: np.ndarray): return {'pid': np.full(len(x), os.getpid())}\n"
    )
    server = serve("alone.py:m", "--executor", "process")
    with Wire(server.port) as wire:
        pid = pid_of(wire.send(infer("m", [0])).answer())
    server.stop()
    assert server.end() == 0
    assert (folder / "imported").read_text().split() == [str(pid)]


def test_a_module_that_has_changed_is_imported_anew_by_the_next_process(serve: Serve, folder: Path) -> None:
    code = "import numpy as np\ndef m(x: np.ndarray): return {'y': x * FACTOR}\n"
    (folder / "changing.py").write_text(code.replace("FACTOR", "2"))
    server = serve("changing:m", "--executor", "process")
    (before,) = psutil.Process(server.process.pid).children()
    assert values(ask(server, 5)) == [10]
    (folder / "changing.py").write_text(code.replace("FACTOR", "300"))
    with Wire(server.port) as wire:
        assert wire.send(http("POST", "/v2/repository/models/m/load")).answer().status == 200
    assert values(ask(server, 5)) == [1500]
    wait_gone(before.pid)
    server.stop()
    assert server.end() == 0


def test_a_request_is_finished_though_all_processes_of_the_service_are_told_to_end(serve: Serve, folder: Path) -> None:
    pipe = folder / "pipe"
    os.mkfifo(pipe)
    server = serve("models.py:Waits", "--executor", "process", env={"PIPE": str(pipe)})
    with Wire(server.port) as wire:
        wire.send(infer("Waits", [[1, 2]], shape=[1, 2]))
        with open(pipe, "wb") as gate:  # opens when the model reads
            for child in psutil.Process(server.process.pid).children():
                child.terminate()
            server.stop()
            server.wait_for("stopping")
            gate.write(b"go")
        assert values(wire.answer()) == [1, 2]
    assert server.end() == 0


def test_replicas_on_several_devices(start: Serve) -> None:
    server = start("OnDevice", "--executor", "process", "--device", "gpu:0,gpu:3", "--max-batch-size", 1)
    until(lambda: figure(server, "replicas") == 2)
    with clients(server, 4) as answers:
        until(lambda: {values(answer, "device")[0] for answer in list(answers)} == {0, 3})
    assert all(values(answer, "told") == values(answer, "device") for answer in answers)
    replicas = get(server, "/v2/models/m/config").json["foretell"]["replicas"]
    assert replicas["by_device"] == {"gpu:0": 1, "gpu:3": 1}
    text = get(server, "/metrics").body.decode()
    for device in ("gpu:0", "gpu:3"):
        assert f'\nforetell_replicas_by_device{{model="m",version="1",device="{device}"}} 1\n' in text
    server.stop()
    assert server.end() == 0
