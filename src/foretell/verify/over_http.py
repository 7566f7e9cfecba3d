"""The second door: `foretell serve` as a process of its own, asked over HTTP."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import quote

import numpy as np

from foretell.columns import Array, Batch, Bytes, Dense, Index, Ragged
from foretell.demo.server import serving
from foretell.errors import InferenceError, InvalidInput, ModelError, RowError
from foretell.testing.tensors import decoded, encoded
from foretell.types import ModelSpec
from foretell.verify.asked import Asked
from foretell.verify.compare import Answered
from foretell.verify.ways import Way

_AT_A_TIME = 16
_TIMEOUT_S = 600.0


def over_http(asked: Asked, spec: ModelSpec, ways: Sequence[Way], *, singles: bool) -> Iterator[tuple[str, Answered]]:
    """The name of each way, and its answers.

    Calls whose rows have different lengths are asked row by row: a request has one shape. With `singles` the last
    way sends single rows, sixteen at a time, which share the model's batches.
    """
    with serving([asked.words, *asked.flags]) as (host, port):
        client = _Client(host, port, asked, spec)
        for way in ways:
            calls = [piece for call in way.calls for piece in _of_one_shape(asked.rows, call)]
            yield way.name, [each for call in calls for each in client.ask(call)]
        if not singles:
            return
        with ThreadPoolExecutor(_AT_A_TIME) as pool:
            answers = list(pool.map(client.ask, [np.array([row]) for row in range(asked.rows.rows)]))
        yield f"single rows, {_AT_A_TIME} at a time", [each for answer in answers for each in answer]


class _Client:
    def __init__(self, host: str, port: int, asked: Asked, spec: ModelSpec) -> None:
        self._host, self._port, self._rows, self._spec = host, port, asked.rows, spec
        self._path = f"/v2/models/{quote(asked.name)}/versions/{asked.version}/infer"

    def ask(self, rows: Index) -> list[tuple[Index, Batch]]:
        """The answer to a request of these rows; where it is refused for one of them, to each of them alone."""
        try:
            return [(rows, self._answer(self._request(self._rows.take(rows)), len(rows)))]
        except (InvalidInput, ModelError) as error:
            if len(rows) == 1:
                return [(rows, Batch({}, 1, {0: RowError.of(error)}))]
            return [each for at in range(len(rows)) for each in self.ask(rows[at : at + 1])]

    def _request(self, batch: Batch) -> tuple[bytes, int]:
        heads, blobs = [], []
        for name, column in batch.columns.items():
            value = _array(column)
            whole = value[0] if self._spec.batch is None else value
            head, blob = encoded(name, whole, self._spec.input(name))
            heads.append(head)
            blobs.append(blob)
        body = json.dumps({"inputs": heads, "parameters": {"binary_data_output": True}}).encode()
        return b"".join([body, *blobs]), len(body)

    def _answer(self, request: tuple[bytes, int], rows: int) -> Batch:
        connection = http.client.HTTPConnection(self._host, self._port, timeout=_TIMEOUT_S)
        headers = {"Inference-Header-Content-Length": str(request[1]), "Content-Type": "application/octet-stream"}
        try:
            connection.request("POST", self._path, request[0], headers)
            reply = connection.getresponse()
            body = reply.read()
        finally:
            connection.close()
        if reply.status != 200:
            text = body.decode("utf-8", "replace")[:300]
            kind: type[InferenceError] = InvalidInput if reply.status == 400 else ModelError
            raise kind(f"the server answered {reply.status}: {text}")
        found: dict[str, Any] = decoded(body, int(reply.headers["Inference-Header-Content-Length"]))
        columns = {name: _column(array[None] if self._spec.batch is None else array) for name, array in found.items()}
        return Batch(columns, rows)


def _of_one_shape(rows: Batch, call: Index) -> list[Index]:
    ragged = any(isinstance(column, Ragged) for column in rows.columns.values())
    return [call[at : at + 1] for at in range(len(call))] if ragged else [call]


def _array(column: Dense | Bytes | Ragged) -> Array:
    if isinstance(column, Ragged):
        return _array(column.values.slice(int(column.offsets[0]), int(column.offsets[-1])))[None]
    if isinstance(column, Dense):
        return column.data
    made = np.empty(len(column.items()), object)
    made[:] = column.items()
    return made.reshape((len(column), *column.row_shape))


def _column(array: Array) -> Dense | Bytes:
    if array.dtype == object:
        return Bytes.of(array.reshape(-1).tolist(), array.shape[1:])
    return Dense(array)
