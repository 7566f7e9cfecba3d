"""A small HTTP client: one row a request, over one connection or over many at a time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson

from foretell.demo.task import Array
from foretell.errors import ModelError
from foretell.types import DataType, TensorSpec

_LIMIT_S = 120.0


@dataclass(frozen=True, slots=True)
class Replies:
    """What came back, in the order of the questions. `seconds`: from sending to the last byte, of each."""

    bodies: list[bytes]
    seconds: list[float]
    total_s: float


def request_body(tensor: TensorSpec, row: Any) -> bytes:
    """One row as a request of the Open Inference Protocol, in JSON."""
    values = np.asarray(row)
    datatype = tensor.datatype.value if tensor.datatype else "BYTES"
    data = values.reshape(-1).tolist()
    shape = [1, *values.shape]
    return orjson.dumps({"inputs": [{"name": tensor.name, "shape": shape, "datatype": datatype, "data": data}]})


def read_answer(body: bytes) -> dict[str, Array]:
    """The outputs of one row by name, each in its datatype and row shape."""
    outputs = {}
    for tensor in orjson.loads(body)["outputs"]:
        datatype = DataType(tensor["datatype"])
        dtype = np.dtype(object) if datatype is DataType.BYTES else datatype.numpy
        outputs[tensor["name"]] = np.array(tensor["data"], dtype).reshape(tensor["shape"])[0]
    return outputs


def ask(address: tuple[str, int], model: str, bodies: Sequence[bytes], connections: int) -> Replies:
    """Posts every body to `model`, `connections` of them at a time.

    Each connection has asked once before the clock starts. Raises `ModelError` for a reply that is no 200, or none.
    """
    return asyncio.run(_limited(address, model, bodies, connections))


async def _limited(address: tuple[str, int], model: str, bodies: Sequence[bytes], connections: int) -> Replies:
    try:
        return await asyncio.wait_for(_ask(address, model, bodies, connections), _LIMIT_S)
    except TimeoutError:
        raise ModelError("the server did not answer in time", where=f"model {model!r}") from None
    except OSError as error:
        raise ModelError(f"the server cannot be reached: {error}", where=f"model {model!r}") from error


async def _ask(address: tuple[str, int], model: str, bodies: Sequence[bytes], connections: int) -> Replies:
    host, port = address
    head = f"POST /v2/models/{model}/infer HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Type: application/json\r\n"
    requests = [f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body for body in bodies]
    replies, seconds = [b""] * len(requests), [0.0] * len(requests)
    waiting = iter(range(len(requests)))
    streams = [await asyncio.open_connection(host, port) for _ in range(min(connections, len(requests)))]

    async def work(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for index in waiting:
            sent = time.perf_counter()
            writer.write(requests[index])
            replies[index] = await _reply(reader, model)
            seconds[index] = time.perf_counter() - sent

    try:
        for reader, writer in streams:
            writer.write(requests[0])
            await _reply(reader, model)
        started = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for reader, writer in streams:
                group.create_task(work(reader, writer))
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from failed
    finally:
        for _, writer in streams:
            writer.close()
    return Replies(replies, seconds, time.perf_counter() - started)


async def _reply(reader: asyncio.StreamReader, model: str) -> bytes:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
        body = await reader.readexactly(length)
    except (OSError, ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
        raise ModelError(f"the server's reply broke off: {error}", where=f"model {model!r}") from error
    if b" 200 " not in head.partition(b"\r\n")[0]:
        raise ModelError(f"the server answered {body.decode('utf-8', 'replace')}", where=f"model {model!r}")
    return body
