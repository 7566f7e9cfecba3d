"""`foretell serve --workers`: several processes that people, clients and metrics see as one server."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil
import pytest
from certificates import Certificates
from program import WAIT_S, Server, command, environment, run
from wire import Wire, http, infer, values

Serve = Callable[..., Server]

_WHO_PY = '''
import os

import numpy as np


class Who:
    """Which process answers."""

    def predict(self, x: np.ndarray) -> np.ndarray:
        return x * 0 + os.getpid()
'''
EACH_HAS_SOME = ("--max-connections", 12)
"""Of eight clients, that is: each worker takes six of them at most, however busy the machine."""
BODY = json.dumps({"inputs": [{"name": "x", "shape": [1, 1], "datatype": "FP64", "data": [1.0]}]}).encode()
ASK = http("POST", "/v2/models/Who/infer", BODY)


@pytest.fixture
def who(folder: Path, serve: Serve) -> Callable[..., Server]:
    """`who(*arguments)`: two workers with a model that answers with its process."""
    (folder / "who.py").write_text(_WHO_PY)
    return lambda *arguments, **options: serve("who.py:Who", "--workers", 2, *arguments, **options)


def get(server: Server, path: str) -> Any:
    with Wire(server.port) as wire:
        return wire.send(http("GET", path)).answer()


def metric(server: Server, name: str) -> float:
    """The sum of the samples of that name."""
    text = get(server, "/metrics").body.decode()
    return sum(float(number) for number in re.findall(rf"^{name}(?:{{.*}})? (\S+)$", text, re.MULTILINE))


def until(condition: Callable[[], bool]) -> None:
    """Asks again until it holds. Each question is a request, which takes its time."""
    end = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < end


def answered_by(wire: Wire) -> int:
    (pid,) = values(wire.send(ASK).answer(), "output")
    return int(pid)


def at_work(server: Server, clients: int = 8) -> set[int]:
    """The processes that answer so many clients who are there at a time."""
    with ExitStack() as stack:
        return {answered_by(stack.enter_context(Wire(server.port))) for _ in range(clients)}


class Load:
    """Clients that ask one after the other until they are told that it was the last; `counts` by process. All are there
    before the first asks, and each gets an answer."""

    def __init__(self, server: Server, clients: int) -> None:
        self.counts: dict[int, int] = {}
        self.lost = 0
        self.problems: list[BaseException] = []
        self._lock, self._answered = threading.Lock(), threading.Semaphore(0)
        self._server, self._over = server, threading.Event()
        self._there = threading.Barrier(clients)
        self._threads = [threading.Thread(target=self._client) for _ in range(clients)]
        for thread in self._threads:
            thread.start()

    def wait_for(self, answers: int) -> None:
        for _ in range(answers):
            assert self._answered.acquire(timeout=WAIT_S)

    def end(self) -> int:
        """The number of all answers."""
        self._over.set()
        return self.join()

    def join(self) -> int:
        for thread in self._threads:
            thread.join(WAIT_S)
        assert not self.problems, self.problems
        return sum(self.counts.values())

    def _client(self) -> None:
        first = True
        try:
            while first or not self._over.is_set():
                try:
                    self._connection(first)
                    return
                except (ConnectionError, AssertionError) as error:
                    if isinstance(error, AssertionError) and "no reply" not in str(error):
                        raise
                    self.lost += 1  # its process has died
                    first = False
        except BaseException as error:
            self.problems.append(error)

    def _connection(self, first: bool) -> None:
        with Wire(self._server.port) as wire:
            if first:
                self._there.wait(WAIT_S)
            while True:
                answer = wire.send(ASK).answer()
                (pid,) = values(answer, "output")
                with self._lock:
                    self.counts[int(pid)] = self.counts.get(int(pid), 0) + 1
                self._answered.release()
                if self._over.is_set() or answer.header("connection") == "close":
                    return


def test_all_answer_on_one_port_and_count_as_one(who: Serve) -> None:
    server = who(*EACH_HAS_SOME)
    assert [line for line in server.said if "serving on" in line] == [server.said[-1]]
    assert "with 2 workers" in server.said[-1]
    assert len(server.said) == 2
    load = Load(server, 8)
    load.wait_for(400)
    total = load.end()
    assert len(load.counts) == 2
    assert set(load.counts) == {child.pid for child in server.children}
    with ExitStack() as stack:  # whichever is asked
        wires = [stack.enter_context(Wire(server.port)) for _ in range(4)]
        for wire in wires:
            text = wire.send(http("GET", "/metrics")).answer().body.decode()
            for name in (r'foretell_requests_total{.*outcome="ok"}', "foretell_rows_total{.*}",
                         "foretell_request_duration_seconds_count{.*}",
                         r'foretell_request_duration_seconds_bucket{.*le="\+Inf"}'):  # fmt: skip
                assert re.findall(rf"^{name} (\S+)$", text, re.MULTILINE) == [str(total)], name
    memory = re.findall(r'^foretell_process_resident_memory_bytes\{worker="(\d)"} (\S+)$', text, re.MULTILINE)
    assert [worker for worker, _ in memory] == ["0", "1"]
    assert all(2**20 < float(size) < 2**40 for _, size in memory)
    assert metric(server, "foretell_workers") == 2
    assert metric(server, "foretell_workers_missing") == 0
    server.stop()
    assert server.end() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_end_under_load_loses_no_request(who: Serve, number: int) -> None:
    server = who()
    load = Load(server, 16)
    load.wait_for(300)
    server.stop(number)
    load.join()
    assert load.lost == 0
    assert server.end() == 0
    assert len([line for line in server.said if "stopping" in line]) == 1
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", server.port), 5)


@pytest.mark.parametrize("workers", [1, 2])
def test_the_door_stays_open_until_proxies_have_seen_the_end(folder: Path, serve: Serve, workers: int) -> None:
    (folder / "who.py").write_text(_WHO_PY)
    server = serve("who.py:Who", "--workers", workers, "--drain-delay-s", 600)
    with Wire(server.port) as kept:
        answered_by(kept)
        server.stop()
        server.wait_for("not ready from now on; stopping in 600 s")
        until(lambda: bool(get(server, "/v2/health/ready").status == 503))
        assert get(server, "/v2/models/Who/ready").status >= 400
        assert get(server, "/v2/health/live").json == {"live": True, "ready": False}
        for wire in (kept, Wire(server.port)):  # who comes only now is served, too
            with wire:
                answer = wire.send(ASK).answer()
                assert (answer.status, answer.header("connection")) == (200, None)
    server.stop()
    server.wait_for("stopping: answering")
    assert server.end() == 0
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", server.port), 5)


def test_a_request_that_a_worker_has_accepted_is_finished_before_the_end(folder: Path, serve: Serve) -> None:
    pipe = folder / "pipe"
    os.mkfifo(pipe)
    server = serve("models.py:Waits", "--workers", 2, env={"PIPE": str(pipe)})
    with Wire(server.port) as wire:
        wire.send(infer("Waits", [[1, 2]], shape=[1, 2]))
        with open(pipe, "wb") as gate:  # opens when the model reads
            server.stop()
            server.wait_for("stopping")
            gate.write(b"go")
        answer = wire.answer()
        assert values(answer) == [1, 2]
    assert server.end() == 0


def test_a_worker_that_dies_comes_back_while_the_others_answer(who: Serve) -> None:
    server = who()
    first, second = (child.pid for child in server.children)
    load = Load(server, 8)
    load.wait_for(200)
    os.kill(first, signal.SIGKILL)
    assert "was ended by SIGKILL" in server.wait_for(f"process {first}")
    load.wait_for(200)
    until(lambda: metric(server, "foretell_workers_missing") == 0)
    server.children = psutil.Process(server.process.pid).children()
    working: set[int] = set()
    until(lambda: working.update(at_work(server)) or len(working) == 2)
    load.end()
    assert second in working
    assert first not in working
    assert load.lost <= 8  # those that it had, and no other
    assert metric(server, "foretell_worker_deaths_total") == 1
    assert get(server, "/v2/health/ready").status == 200
    server.stop()
    assert server.end() == 0


def test_what_a_dead_worker_had_told_stays_counted(who: Serve) -> None:
    server = who()
    load = Load(server, 8)
    load.wait_for(200)
    total = load.end()
    name = 'foretell_requests_total{.*outcome="ok"'
    told = re.compile(rf"^{name}.*}} (\d+)$", re.MULTILINE)
    assert told.findall(get(server, "/metrics").body.decode()) == [str(total)]
    os.kill(server.children[0].pid, signal.SIGKILL)
    server.wait_for("was ended by SIGKILL")
    assert told.findall(get(server, "/metrics").body.decode()) == [str(total)]
    server.children = psutil.Process(server.process.pid).children()
    server.stop()
    assert server.end() == 0


def test_a_worker_that_hangs_holds_up_nobody_else(who: Serve) -> None:
    server = who()
    hangs, works = (child.pid for child in server.children)
    os.kill(hangs, signal.SIGSTOP)
    try:
        with ExitStack() as stack:
            wires = [stack.enter_context(Wire(server.port)) for _ in range(4)]
            assert {answered_by(wire) for wire in wires} == {works}
            assert wires[0].send(http("GET", "/v2/health/ready")).answer().status == 200
            text = wires[0].send(http("GET", "/metrics")).answer().body.decode()
            assert "\nforetell_workers_missing 1\n" in text
            assert 'outcome="ok"} 4\n' in text
    finally:
        os.kill(hangs, signal.SIGCONT)
    server.stop()
    assert server.end() == 0


def test_the_end_while_they_load(folder: Path, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    (folder / "slow.py").write_text(
        f"from pathlib import Path\n\n\ndef model(x):\n    return x\n\n\nPath({str(pipe)!r}).read_bytes()\n"
    )
    process = subprocess.Popen(
        command("serve", "slow.py:model", "--workers", 2, "--http-port", 0), cwd=folder, env=environment(),
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    with process, open(pipe, "wb"):  # opens when a worker reads
        workers = psutil.Process(process.pid).children()
        process.send_signal(signal.SIGTERM)
        assert process.wait(WAIT_S) == 0
        assert process.stderr is not None
        assert process.stderr.read() == "stopping: answering what was accepted\n"
    assert not psutil.wait_procs(workers, timeout=WAIT_S)[1]


def test_workers_do_not_outlive_their_supervisor(who: Serve) -> None:
    server = who()
    server.process.kill()
    _, alive = psutil.wait_procs(server.children, timeout=WAIT_S)
    assert not alive
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", server.port), 5)


def test_a_unix_socket_can_be_shared(folder: Path, tmp_path: Path) -> None:
    (folder / "who.py").write_text(_WHO_PY)
    path = tmp_path / "door"
    server = Server("who.py:Who", "--workers", 2, *EACH_HAS_SOME, "--unix-socket", path, cwd=folder, port=None)
    try:
        with ExitStack() as stack:
            wires = [stack.enter_context(Wire(0, path=str(path))) for _ in range(8)]
            assert {answered_by(wire) for wire in wires} == {child.pid for child in server.children}
        os.kill(server.children[0].pid, signal.SIGTERM)  # whoever ends one of them leaves the others their door
        server.wait_for("worker")
        with Wire(0, path=str(path)) as wire:
            answered_by(wire)
        server.children = psutil.Process(server.process.pid).children()
        server.stop()
        assert server.end() == 0
        assert not path.exists()
    finally:
        server.kill()


def test_tls_is_shared(folder: Path, tmp_path: Path) -> None:
    (folder / "who.py").write_text(_WHO_PY)
    made = Certificates(tmp_path)
    flags = ("--tls-cert", made.cert, "--tls-key", made.key)
    server = Server("who.py:Who", "--workers", 2, *EACH_HAS_SOME, *flags, cwd=folder)
    try:
        with ExitStack() as stack:
            wires = [stack.enter_context(Wire(server.port, tls=made.client())) for _ in range(8)]
            assert {answered_by(wire) for wire in wires} == {child.pid for child in server.children}
        server.stop()
        assert server.end() == 0
    finally:
        server.kill()


def test_models_are_loaded_and_unloaded_in_all(who: Serve) -> None:
    server = who()
    for what, status in (("unload", 404), ("load", 200)):
        with Wire(server.port) as wire:
            assert wire.send(http("POST", f"/v2/repository/models/Who/{what}")).answer().status == 200
        with ExitStack() as stack:
            wires = [stack.enter_context(Wire(server.port)) for _ in range(8)]
            assert [wire.send(ASK).answer().status for wire in wires] == [status] * 8
    with Wire(server.port) as wire:
        wire.send(http("POST", "/v2/repository/models/Who/unload")).answer()
    os.kill(server.children[0].pid, signal.SIGKILL)  # who comes later comes to the same
    server.wait_for("was ended by SIGKILL")
    until(lambda: metric(server, "foretell_workers_missing") == 0)
    with ExitStack() as stack:
        wires = [stack.enter_context(Wire(server.port)) for _ in range(8)]
        assert [wire.send(ASK).answer().status for wire in wires] == [404] * 8
    server.children = psutil.Process(server.process.pid).children()
    server.stop()
    assert server.end() == 0


def test_a_signal_to_look_again_reaches_all(folder: Path, serve: Serve) -> None:
    place = folder / "repo" / "flowers" / "1"
    place.mkdir(parents=True)
    (place / "model.onnx").write_bytes((folder / "iris.onnx").read_bytes())
    server = serve("repo", "--workers", 2)
    second = place.parent / "2"
    second.mkdir()
    (second / "model.onnx").write_bytes((folder / "iris.onnx").read_bytes())
    server.stop(signal.SIGHUP)
    for worker in range(2):
        assert any(f"worker {worker}: " in line for line in server.said) or server.wait_for(f"worker {worker}: ")
    with ExitStack() as stack:
        for _ in range(8):
            wire = stack.enter_context(Wire(server.port))
            assert wire.send(http("GET", "/v2/models/flowers/versions/2/ready")).answer().status == 200
    server.stop()
    assert server.end() == 0


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("missing.onnx",), 1, "missing.onnx"),
        (("models.py:Breaks",), 1, "no weights"),
        (("iris.onnx", "--threads", "-1"), 2, "threads"),
        (("models.py:Double", "--threads", "2"), 2, "threads"),
        ((), 2, "nothing to serve"),
        (("iris.onnx", "--tls-cert", "missing.pem"), 2, "missing.pem"),
        (("iris.onnx", "--access-log", "json", "--access-log-file", "missing/log"), 2, "missing/log"),
    ],
)
def test_what_cannot_be_served_is_said_once(folder: Path, arguments: tuple[str, ...], code: int, words: str) -> None:
    done = run("serve", *arguments, "--workers", 2, "--http-port", 0, cwd=folder)
    assert done.returncode == code, done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith("foretell: ")
    assert words in line
    assert done.stderr == run("serve", *arguments, "--http-port", 0, cwd=folder).stderr


def test_a_port_that_is_taken(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run("serve", "models.py:Double", "--workers", 2, "--http-port", port, cwd=folder)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"foretell: cannot listen on 127.0.0.1:{port}: ")


def test_one_worker_is_the_process_itself(folder: Path, serve: Serve) -> None:
    server = serve("iris.onnx", "--workers", 1)
    assert server.children == []
    assert "worker" not in get(server, "/metrics").body.decode()
    assert metric(server, "foretell_process_resident_memory_bytes") > 2**20
    server.stop()
    assert server.end() == 0
