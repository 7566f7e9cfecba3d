"""The second door: `foretell serve` as a process of its own, asked over HTTP."""

from __future__ import annotations

import http.client
import json
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import quote

import numpy as np

from foretell.columns import Array, Batch, Bytes, Dense, Index, Ragged
from foretell.compare import Answered
from foretell.demo.server import serving
from foretell.errors import InferenceError, InvalidInput, ModelError, RowError
from foretell.forms.values import to_numpy
from foretell.testing.tensors import decoded, encoded
from foretell.types import ModelSpec
from foretell.verify.asked import Asked
from foretell.verify.ways import Way

_AT_A_TIME = 16
_TIMEOUT_S = 600.0
_DIVIDED = ", in smaller ones where these were refused"


def over_http(
    asked: Asked, spec: ModelSpec, ways: Sequence[Way], failing: Collection[int], *, singles: bool
) -> Iterator[tuple[str, Answered]]:
    """The name of each way, and its answers.

    Rows that have no answer by themselves (`failing`) are asked alone: no call could show anything with them. Where a
    request has one row by its form (rows of different lengths, a model without an axis of rows), so are all, in one
    way. With `singles` the last way sends single rows, sixteen at a time, which share the model's batches.
    """
    with serving([asked.words, *asked.flags]) as (host, port):
        client = _Client(host, port, asked, spec)
        for way in ways:
            client.divided = False
            answers = [each for call in way.calls for piece in _pieces(call, failing) for each in client.ask(piece)]
            yield f"{way.name}{_DIVIDED if client.divided else ''}", answers
        if not singles:
            return
        with ThreadPoolExecutor(_AT_A_TIME) as pool:
            replies = list(pool.map(client.ask, [np.array([row]) for row in range(asked.rows.rows)]))
        yield f"single rows, {_AT_A_TIME} at a time", [each for reply in replies for each in reply]


class _Client:
    def __init__(self, host: str, port: int, asked: Asked, spec: ModelSpec) -> None:
        self._host, self._port, self._rows, self._spec = host, port, asked.rows, spec
        self.divided = False
        """Whether a request of several rows was refused since this was set to False."""
        self._path = f"/v2/models/{quote(asked.name)}/versions/{asked.version}/infer"

    def ask(self, rows: Index) -> list[tuple[Index, Batch]]:
        """The answer to a request of these rows; where it is refused, to each half of them, and in the end to each."""
        if len(rows) == 1 and int(rows[0]) in self._rows.errors:
            return [(rows, Batch({}, 1, {0: self._rows.errors[int(rows[0])]}))]
        try:
            return [(rows, self._answer(self._request(self._rows.take(rows)), len(rows)))]
        except (InvalidInput, ModelError) as error:
            if len(rows) == 1:
                return [(rows, Batch({}, 1, {0: RowError.of(error)}))]
            self.divided = True
            return [each for half in np.array_split(rows, 2) for each in self.ask(half)]

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


def is_single(rows: Batch, spec: ModelSpec) -> bool:
    """Whether a request has one row by its form."""
    return spec.batch is None or any(isinstance(column, Ragged) for column in rows.columns.values())


def _pieces(call: Index, failing: Collection[int]) -> list[Index]:
    alone = [row for row in call.tolist() if row in failing]
    good = np.array([row for row in call.tolist() if row not in failing], np.int64)
    return [*([good] if len(good) else []), *(np.array([row]) for row in alone)]


def _array(column: Dense | Bytes | Ragged) -> Array:
    if column.valid is not None:
        return to_numpy(column)  # with None, which has no tensor form, so that its row is refused as by a client
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
