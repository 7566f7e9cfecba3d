"""Clients that do everything wrong at once, against a server that has to go on as if nothing had been."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from pathlib import Path

import psutil
from program import Server
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
'''
_ENDS = {200, 408, 429, 500, 503, 504}
"""What a well-formed request may come to, when replicas are killed under it."""


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

    def _client(self, kind: object, rng: random.Random) -> None:
        few = {"_tiny_chunks": self.rounds // 40, "_killer": self.kills}
        name = getattr(kind, "__name__", "")
        try:
            for _ in range(few.get(name, self.rounds)):
                kind(rng)  # type: ignore[operator]
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

    def _tiny_chunks(self, rng: random.Random) -> None:
        """3 MB of body, a byte in each chunk. It is no request, and has to be refused as what it is."""
        body = b"[" + b" " * (3 * 2**20)
        with Wire(self.server.port) as wire:
            wire.send(chunked("/v2/models/shaky/infer", [b"%c" % byte for byte in body]))
            assert wire.answer().status == 400

    def _killer(self, rng: random.Random) -> None:
        """The next replica dies when the last one is back."""
        wait_for_replicas(self.server)
        for child in psutil.Process(self.server.process.pid).children():
            child.kill()
            return


def shaky_server(folder: Path) -> Server:
    """Two replicas of `Shaky`, in processes of their own by now."""
    (folder / "shaky.py").write_text(SHAKY, "utf-8")
    server = Server("shaky=shaky.py:Shaky", "--executor", "process", "--replicas", 2, cwd=folder)
    try:
        wait_for_replicas(server)
    except BaseException:
        server.kill()
        raise
    return server


def wait_for_replicas(server: Server) -> None:
    """Returns when both replicas run in processes and a request is answered again."""
    until = time.monotonic() + WAIT_S
    with Wire(server.port) as wire:
        while time.monotonic() < until:
            answered = wire.send(infer("shaky", [1.0])).answer().status == 200
            told = wire.send(http("GET", "/v2/models/shaky/config")).answer().json["foretell"]
            if answered and told["executor"] == "process" and told["replicas"]["running"] == 2:
                return
    raise AssertionError(f"the replicas never came back: {told}")
