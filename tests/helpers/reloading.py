"""A model that is replaced again and again while clients ask it, and every answer is held against what may be."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from program import Server
from repositories import put, times
from wire import Wire, http, infer, values

WAIT_S = 60.0


class Reloading:
    """The model `m` of `server` multiplies by the number of its reload, and `file` is where it lies.

    An answer must be of one reload, of none before the last that had ended when the request was sent, and of none
    after the last that had begun when the answer was there.
    """

    def __init__(self, server: Server, file: Path, clients: int) -> None:
        self.server, self.file = server, file
        self.begun = self.ended = 1
        self.answers = 0
        self.problems: list[BaseException] = []
        self._stopping = False
        self._answered = threading.Semaphore(0)
        self._counting = threading.Lock()
        self._clients = [
            threading.Thread(target=self._client, args=(number,), daemon=True) for number in range(clients)
        ]

    def reload(self, answers: int) -> None:
        """Replaces the model, and returns when `answers` more have come."""
        self.begun += 1
        put(self.file, times(self.begun))
        with Wire(self.server.port) as wire:
            answer = wire.send(http("POST", "/v2/repository/models/m/load")).answer()
            assert answer.status == 200, answer
            self.ended = self.begun
            assert values(wire.send(infer("m", [1])).answer()) == [self.ended]
        with self._counting:
            self.answers += 1
        for _ in range(answers):
            if self.problems:
                raise self.problems[0]
            assert self._answered.acquire(timeout=WAIT_S)

    @contextmanager
    def traffic(self) -> Iterator[None]:
        for client in self._clients:
            client.start()
        try:
            yield
        finally:
            self._stopping = True
            for client in self._clients:
                client.join(WAIT_S)
        assert self.problems == []

    def _client(self, number: int) -> None:
        """Sends one to three rows at a time, of few values, so that a cache has something to mix up."""
        rows = [number % 3 + 1, 2, 4][: number % 3 + 1]
        request = infer("m", rows)
        try:
            with Wire(self.server.port) as wire:
                while not self._stopping:
                    least = self.ended
                    got = values(wire.send(request).answer())
                    most = self.begun
                    factor = got[0] / rows[0]
                    assert got == [row * factor for row in rows], (rows, got)
                    assert least <= factor <= most, (least, factor, most)
                    with self._counting:
                        self.answers += 1
                    self._answered.release()
        except BaseException as error:
            self.problems.append(error)
            self._answered.release()


class Process:
    """What a server holds of the machine."""

    def __init__(self, server: Server) -> None:
        self._server, self._process = server, psutil.Process(server.process.pid)

    def settled(self) -> tuple[int, int]:
        """Threads and file descriptors, when no version is being unloaded and no client is there any more."""
        with Wire(self._server.port) as wire:
            for _ in range(10_000):
                index = wire.send(http("POST", "/v2/repository/index")).answer().json
                metrics = wire.send(http("GET", "/metrics")).answer().body.decode()
                if {entry["state"] for entry in index} == {"READY"} and "\nforetell_http_connections 1.0\n" in metrics:
                    return self._process.num_threads(), self._process.num_fds()
        raise AssertionError(f"it never came to rest: {index}")

    @property
    def memory_bytes(self) -> int:
        return int(self._process.memory_info().rss)

    def metric(self, name: str) -> float:
        with Wire(self._server.port) as wire:
            lines = wire.send(http("GET", "/metrics")).answer().body.decode().splitlines()
        (value,) = [float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"foretell_{name}")]
        return value
