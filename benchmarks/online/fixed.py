"""The bare server with a worker thread and fixed settings: what adaptive batching has to beat.

The worker takes a batch when `max_batch` rows wait, or when the oldest has waited `delay_ms`, whichever is first, as
the dynamic batchers of other servers do. Like the bare server it checks nothing, so each request costs it less than a
real one: it is a stricter opponent than fixed batching in foretell's own door would be.
"""

from __future__ import annotations

import argparse
import asyncio
import threading
import time

import numpy as np
import uvloop

from benchmarks.online.bare import Connection, Model, decode, serve

Waiting = tuple[Connection, list[float]]


class Worker:
    def __init__(self, model: Model, max_batch: int, delay_s: float) -> None:
        self._model, self._max_batch, self._delay_s = model, max_batch, delay_s
        self._waiting: list[Waiting] = []
        self._oldest = 0.0
        self._changed = threading.Condition()
        self._loop: asyncio.AbstractEventLoop | None = None
        self.sizes: dict[int, int] = {}

    def start(self) -> None:
        """Call it on the loop that the answers are to leave from."""
        self._loop = asyncio.get_running_loop()
        threading.Thread(target=self._work, daemon=True).start()

    def take(self, connection: Connection, body: bytes) -> None:
        row = decode(body).inputs[0].data
        with self._changed:
            self._waiting.append((connection, row))
            if len(self._waiting) == 1:
                self._oldest = time.perf_counter()
            if len(self._waiting) in (1, self._max_batch):
                self._changed.notify()

    def _work(self) -> None:
        loop = self._loop
        while loop is not None:
            batch = self._next()
            self.sizes[len(batch)] = self.sizes.get(len(batch), 0) + 1
            answer = self._model.run([row for _, row in batch])
            loop.call_soon_threadsafe(self._deliver, batch, answer)

    def _next(self) -> list[Waiting]:
        with self._changed:
            while len(self._waiting) < self._max_batch:
                left = self._oldest + self._delay_s - time.perf_counter() if self._waiting else None
                if left is not None and left <= 0:
                    break
                self._changed.wait(left)
            batch, self._waiting = self._waiting[: self._max_batch], self._waiting[self._max_batch :]
            self._oldest = time.perf_counter()
            return batch

    def _deliver(self, batch: list[Waiting], answer: np.ndarray) -> None:
        for (connection, _), text in zip(batch, self._model.replies(answer), strict=True):
            connection.transport.write(text)


async def main(model: str, port: int, max_batch: int, delay_ms: float) -> None:
    worker = Worker(Model(model), max_batch, delay_ms / 1e3)
    worker.start()
    await serve(lambda: Connection(worker.take, worker.sizes), port)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("port", type=int)
    parser.add_argument("max_batch", type=int)
    parser.add_argument("delay_ms", type=float)
    given = parser.parse_args()
    uvloop.run(main(given.model, given.port, given.max_batch, given.delay_ms))
