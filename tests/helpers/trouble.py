"""Clients that do everything wrong at once, against a server that has to go on as if nothing had been."""

from __future__ import annotations

import contextlib
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import psutil
from looking import until
from program import Server
from reloading import Process
from stream_client import ask_stream
from wire import Wire, chunked, http, infer, infer_body, values

WAIT_S = 60.0
SHAKY = '''
import time

import numpy as np

from foretell.types import DataType, TensorSpec


class Shaky:
    """Doubles; raises for the whole batch where a number is negative, and takes its time for a seven."""

    inputs = (TensorSpec("x", DataType.FP32, (1,)),)

    def predict(self, x: np.ndarray) -> dict[str, np.ndarray]:
        if (x < 0).any():
            raise ValueError("a negative number")
        time.sleep(0.04 if (x == 7).any() else 0.002)
        return {"y": x * 2}


def talks(count: int):
    """Counts; raises after three items of a negative number, and takes its time where it is a large one."""
    for number in range(abs(count)):
        if count < 0 and number == 3:
            raise ValueError("a negative number")
        time.sleep(0.02 if count > 100 else 0.001)
        yield number
'''
MODELS = ("shaky", "talks")
_ENDS = {200, 408, 429, 500, 503, 504}
"""What a well-formed request may come to, when replicas are killed under it."""


_CODES = {"deadline_exceeded", "model_error", "not_ready", "replica_lost"}
"""What an item of a stream may be missing for, then."""


class Trouble:
    """`rounds` of each kind of trouble, `kills` of a replica among them. `ends`: what became of the requests."""

    def __init__(self, server: Server, rounds: int, kills: int, seed: int) -> None:
        self.server, self.rounds, self.kills, self.seed = server, rounds, kills, seed
        self.ends: Counter[str] = Counter()
        self.problems: list[BaseException] = []
        self._counting = threading.Lock()

    def run(self) -> None:
        """Returns when all of it has ended. Raises what the first client found wrong."""
        kinds = [self._good, self._good, self._good, self._gone, self._raising, self._impatient, self._slow]
        kinds += [self._listening, self._listening, self._leaving, self._failing, self._hurrying]
        threads = [
            threading.Thread(target=self._client, args=(kind, random.Random(self.seed + n)), daemon=True)
            for n, kind in enumerate([*kinds, self._tiny_chunks, self._killer])
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if self.problems:
            raise self.problems[0]

    def _client(self, kind: Callable[[random.Random], None], rng: random.Random) -> None:
        few = {"_tiny_chunks": self.rounds // 40, "_killer": self.kills}
        name = getattr(kind, "__name__", "")
        try:
            for _ in range(few.get(name, self.rounds)):
                kind(rng)
        except BaseException as error:
            self.problems.append(error)

    def _end(self, kind: str, status: int) -> None:
        assert status in _ENDS, (kind, status)
        with self._counting:
            self.ends[f"{kind} {status}"] += 1

    def _good(self, rng: random.Random) -> None:
        """Answers are never mixed up, whatever the neighbours do."""
        rows = [float(rng.randint(10, 10_000)) for _ in range(rng.randint(1, 4))]
        with Wire(self.server.port) as wire:
            answer = wire.send(infer("shaky", rows)).answer()
        self._end("good", answer.status)
        if answer.status == 200:
            assert values(answer) == [2 * row for row in rows]

    def _gone(self, rng: random.Random) -> None:
        """Leaves in the middle of the request, or without waiting for the answer."""
        request = infer("shaky", [7.0])
        with Wire(self.server.port) as wire:
            wire.send(request[: rng.randint(1, len(request))])

    def _raising(self, rng: random.Random) -> None:
        with Wire(self.server.port) as wire:
            answer = wire.send(infer("shaky", [-1.0])).answer()
        self._end("raising", answer.status)
        assert answer.status != 200

    def _impatient(self, rng: random.Random) -> None:
        """Allows a time that is sometimes too short."""
        body = infer_body([7.0])[:-1] + b',"parameters":{"timeout":%d}}' % rng.choice([1, 20_000, 500_000])
        with Wire(self.server.port) as wire:
            self._end("impatient", wire.send(http("POST", "/v2/models/shaky/infer", body)).answer().status)

    def _slow(self, rng: random.Random) -> None:
        """A head that never ends, byte by byte, until it is tired of it."""
        with Wire(self.server.port) as wire:
            head = b"POST /v2/models/shaky/infer HTTP/1.1\r\nHost: localhost"
            wire.trickle([b"%c" % byte for byte in head[: rng.randint(1, len(head))]])

    def _listening(self, rng: random.Random) -> None:
        """Of a stream, all comes in order, up to an error or to the end."""
        count = rng.randint(1, 20)
        items, code = self._heard("listening", {"count": count})
        assert items == list(range(count)) if code == "200" else items == list(range(len(items))), (items, code)

    def _leaving(self, rng: random.Random) -> None:
        """Leaves while it is still asked, before the first item, or between two."""
        request = ask_stream("talks", {"count": 120})
        with Wire(self.server.port) as wire:
            wire.send(request[: rng.randint(1, len(request))] if rng.random() < 0.3 else request)
            if rng.random() < 0.3:
                return
            wire.socket.settimeout(rng.uniform(0.001, 0.1))
            with contextlib.suppress(TimeoutError, ConnectionError):
                wire.socket.recv(65536)

    def _failing(self, rng: random.Random) -> None:
        items, code = self._heard("failing", {"count": -9})
        assert code != "200"
        assert items == [0, 1, 2][: len(items)]

    def _hurrying(self, rng: random.Random) -> None:
        self._heard("hurrying", {"count": 110, "timeout": rng.choice([1, 20_000, 500_000])})

    def _heard(self, kind: str, given: dict[str, int]) -> tuple[list[int], str]:
        """The items of a stream, and how it ended: 200, another status, or the code of an error."""
        with Wire(self.server.port) as wire:
            head, _, body = wire.send(ask_stream("talks", given, version="1.0")).rest().partition(b"\r\n\r\n")
        status = int(head.split(b" ", 2)[1])
        assert status in _ENDS, (kind, status)
        events = [json.loads(part[6:]) for part in body.split(b"\n\n") if part[:6] == b"data: "]
        code = events.pop()["code"] if events and "error" in events[-1] else str(status)
        assert code in _CODES or code.isdecimal(), (kind, code)
        with self._counting:
            self.ends[f"{kind} {code}"] += 1
        return [event["output"] for event in events], code

    def _tiny_chunks(self, rng: random.Random) -> None:
        """3 MB of body, a byte in each chunk. It is no request, and has to be refused as what it is."""
        body = b"[" + b" " * (3 * 2**20)
        with Wire(self.server.port) as wire:
            wire.send(chunked("/v2/models/shaky/infer", [b"%c" % byte for byte in body]))
            answer = wire.answer()
            assert answer.status == 400, answer

    def _killer(self, rng: random.Random) -> None:
        """The next replica dies when the last one is back."""
        wait_for_replicas(self.server)
        rng.choice(psutil.Process(self.server.process.pid).children()).kill()


def shaky_server(folder: Path) -> Server:
    """Two replicas of each of `MODELS`, in processes of their own."""
    (folder / "shaky.py").write_text(SHAKY, "utf-8")
    models = ("shaky=shaky.py:Shaky", "talks=shaky.py:talks")
    server = Server(*models, "--executor", "process", "--replicas", 2, cwd=folder)
    try:
        wait_for_replicas(server)
    except BaseException:
        server.kill()
        raise
    return server


def wait_for_replicas(server: Server) -> None:
    """Returns when all replicas run in processes and a request is answered again."""
    until, told = time.monotonic() + WAIT_S, []
    with Wire(server.port) as wire:
        while time.monotonic() < until:
            answered = wire.send(infer("shaky", [1.0])).answer().status == 200
            answered = answered and wire.send(ask_stream("talks", {"count": 1}, "generate")).answer().status == 200
            told = [wire.send(http("GET", f"/v2/models/{name}/config")).answer().json["foretell"] for name in MODELS]
            if answered and [(each["executor"], each["replicas"]["running"]) for each in told] == [("process", 2)] * 2:
                return
    raise AssertionError(f"the replicas never came back: {told}")


def assert_idle(process: Process) -> None:
    """Nothing waits, and nothing runs on: a stream whose client has gone ends with the step it is in."""
    for name in MODELS:
        assert process.metric(f'queue_rows{{model="{name}"') == 0
        until(lambda name=name: process.metric(f'streams_running{{model="{name}"') == 0)
