"""The limit of the online path: uvloop, httptools, one batch per tick of the loop, and not one check.

It answers the same request of the Open Inference Protocol as foretell, and nothing else: no routing, no limits, no
deadlines, no validation, no metrics. The garbage collector is tuned as foretell tunes it.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import httptools
import msgspec
import numpy as np
import onnxruntime
import orjson
import uvloop

_GC_THRESHOLD = 50_000


class _Tensor(msgspec.Struct):
    data: list[float]


class _Body(msgspec.Struct):
    inputs: list[_Tensor]


decode = msgspec.json.Decoder(_Body).decode


class Model:
    """One input of rows, one output of rows, both FP32."""

    def __init__(self, path: str) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(path, options)
        output = self._session.get_outputs()[0]
        self._input = self._session.get_inputs()[0].name
        self._head = (
            f'{{"model_name":"{Path(path).stem}","model_version":"1","outputs":[{{"name":"{output.name}",'
            f'"datatype":"FP32","shape":[1,{output.shape[1]}],"data":['
        ).encode()

    def run(self, rows: Sequence[Sequence[float]]) -> np.ndarray:
        return np.asarray(self._session.run(None, {self._input: np.array(rows, np.float32)})[0])

    def replies(self, answer: np.ndarray) -> list[bytes]:
        """One reply for each row."""
        pieces = orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY)[2:-2].split(b"],[")
        return [reply(self._head + piece + b"]}]}") for piece in pieces]


def reply(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


class Connection(asyncio.Protocol):
    """Hands the body of each request to `take`. A request without one asks how large the batches were."""

    transport: asyncio.Transport

    def __init__(self, take: Callable[[Connection, bytes], None], sizes: dict[int, int]) -> None:
        self._take, self._sizes = take, sizes
        self._parser = httptools.HttpRequestParser(self)
        self._body = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        self._body = body

    def on_message_complete(self) -> None:
        if self._body:
            self._take(self, self._body)
        else:
            self.transport.write(reply(json.dumps(self._sizes).encode()))


class Ticks:
    """What arrives in one tick of the loop is one batch, computed on the loop."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._waiting: list[tuple[Connection, list[float]]] = []
        self.sizes: dict[int, int] = {}

    def take(self, connection: Connection, body: bytes) -> None:
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._run)
        self._waiting.append((connection, decode(body).inputs[0].data))

    def _run(self) -> None:
        waiting, self._waiting = self._waiting, []
        self.sizes[len(waiting)] = self.sizes.get(len(waiting), 0) + 1
        replies = self._model.replies(self._model.run([data for _, data in waiting]))
        for (connection, _), text in zip(waiting, replies, strict=True):
            connection.transport.write(text)


async def serve(protocol: Callable[[], asyncio.BaseProtocol], port: int) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(protocol, "127.0.0.1", port, backlog=4096)
    gc.collect()
    gc.freeze()
    gc.set_threshold(_GC_THRESHOLD)
    await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("port", type=int)
    given = parser.parse_args()
    ticks = Ticks(Model(given.model))
    uvloop.run(serve(lambda: Connection(ticks.take, ticks.sizes), given.port))
