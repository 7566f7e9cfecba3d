"""The limit for large bodies: bytes are read where the model will read them, and a thread calls the runtime.

It understands the binary tensors of the Open Inference Protocol, one row a request, and nothing else. `--workers N`: so
many threads, each with a session of its own, take from one queue: no connection is tied to a busy one.
"""

from __future__ import annotations

import argparse
import asyncio
import queue
import re
import threading
from pathlib import Path
from typing import TypeAlias

import numpy as np
import onnxruntime
import uvloop

from benchmarks.online.bare import serve

_HEAD_BYTES = 1 << 16
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_JSON_LENGTH = re.compile(rb"\r\ninference-header-content-length: *(\d+)", re.IGNORECASE)

Waiting: TypeAlias = "queue.SimpleQueue[tuple[asyncio.Transport, np.ndarray]]"


class Worker(threading.Thread):
    """Calls the model for one request after the other."""

    def __init__(self, path: str, threads: int, loop: asyncio.AbstractEventLoop, waiting: Waiting) -> None:
        super().__init__(daemon=True)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = onnxruntime.InferenceSession(path, options)
        self._input = self._session.get_inputs()[0].name
        self.row: list[int] = self._session.get_inputs()[0].shape[1:]
        output = self._session.get_outputs()[0]
        size = 4 * output.shape[1]
        self._json = (
            f'{{"model_name":"{Path(path).stem}","model_version":"1","outputs":[{{"name":"{output.name}","datatype":'
            f'"FP32","shape":[1,{output.shape[1]}],"parameters":{{"binary_data_size":{size}}}}}]}}'
        ).encode()
        self._head = (
            b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nInference-Header-Content-Length: %d\r\n"
            b"Content-Length: %d\r\n\r\n" % (len(self._json), len(self._json) + size)
        )
        self._loop, self.waiting = loop, waiting

    def run(self) -> None:
        while True:
            transport, row = self.waiting.get()
            answer = self._session.run(None, {self._input: row})[0]
            self._loop.call_soon_threadsafe(transport.write, self._head + self._json + answer.tobytes())


class Connection(asyncio.BufferedProtocol):
    """Reads a head into a small buffer and a body into a fresh array, which becomes the model's input as it is."""

    _transport: asyncio.Transport

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._head, self._filled = bytearray(_HEAD_BYTES), 0
        self._body: np.ndarray | None = None
        self._at = self._start = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    def get_buffer(self, sizehint: int) -> memoryview:
        if self._body is None:
            return memoryview(self._head)[self._filled :]
        return self._body[self._at :].data

    def buffer_updated(self, nbytes: int) -> None:
        if self._body is None:
            self._filled += nbytes
            self._read_head()
        else:
            self._at += nbytes
        if self._body is not None and self._at == len(self._body):
            tensor = self._body[self._start :].view("<f4")
            self._worker.waiting.put((self._transport, tensor.reshape(1, *self._worker.row)))
            self._body, self._filled = None, 0

    def _read_head(self) -> None:
        end = self._head.find(b"\r\n\r\n", 0, self._filled)
        if end < 0:
            return
        length, json_length = _LENGTH.search(self._head, 0, end), _JSON_LENGTH.search(self._head, 0, end)
        if length is None or json_length is None:
            self._transport.close()
            return
        # Room before the JSON lets the tensor behind it start where the model may read it.
        room = -int(json_length[1]) % 64
        self._start = room + int(json_length[1])
        self._body = np.empty(room + int(length[1]), np.uint8)
        early = self._filled - end - 4
        self._body[room : room + early] = np.frombuffer(self._head, np.uint8, early, end + 4)
        self._at = room + early


async def main(model: str, port: int, threads: int, workers: int) -> None:
    loop, waiting = asyncio.get_running_loop(), queue.SimpleQueue[tuple[asyncio.Transport, np.ndarray]]()
    all_workers = [Worker(model, threads, loop, waiting) for _ in range(workers)]
    for worker in all_workers:
        worker.start()
    await serve(lambda: Connection(all_workers[0]), port)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("port", type=int)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--workers", type=int, default=1)
    given = parser.parse_args()
    uvloop.run(main(given.model, given.port, given.threads, given.workers))
