"""The limit of the online path: uvloop, httptools, one batch per tick of the loop, and not one check.

It answers the same request of the Open Inference Protocol as foretell, and nothing else.
"""

from __future__ import annotations

import asyncio
import sys

import httptools
import msgspec
import numpy as np
import onnxruntime
import orjson
import uvloop


class _Tensor(msgspec.Struct):
    data: list[float]


class _Body(msgspec.Struct):
    inputs: list[_Tensor]


_HEAD = (
    b'{"model_name":"tiny","model_version":"1",'
    b'"outputs":[{"name":"probabilities","datatype":"FP32","shape":[1,3],"data":['
)


class Batch:
    """What has arrived in this tick."""

    def __init__(self, model: str) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(model, options)
        self._decode = msgspec.json.Decoder(_Body).decode
        self._waiting: list[tuple[Connection, list[float]]] = []

    def add(self, connection: Connection, body: bytes) -> None:
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._run)
        self._waiting.append((connection, self._decode(body).inputs[0].data))

    def _run(self) -> None:
        waiting, self._waiting = self._waiting, []
        rows = np.array([data for _, data in waiting], np.float32)
        answer = self._session.run(None, {"input": rows})[0]
        pieces = orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY)[2:-2].split(b"],[")
        for (connection, _), piece in zip(waiting, pieces, strict=True):
            body = _HEAD + piece + b"]}]}"
            connection.transport.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
            )


class Connection(asyncio.Protocol):
    transport: asyncio.Transport

    def __init__(self, batch: Batch) -> None:
        self._batch = batch
        self._parser = httptools.HttpRequestParser(self)
        self._body = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        self._body = body

    def on_message_complete(self) -> None:
        self._batch.add(self, self._body)


async def main(model: str) -> None:
    batch = Batch(model)
    server = await asyncio.get_running_loop().create_server(lambda: Connection(batch), "127.0.0.1", 0, backlog=4096)
    port = server.sockets[0].getsockname()[1]
    print(f"serving on http://127.0.0.1:{port}", file=sys.stderr, flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1]))
