"""One request and its answer, as the prediction log takes them: references, and what they hold."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from foretell.columns import Batch, Bytes, Column, Ragged, copied
from foretell.engine.work import Group, Part
from foretell.errors import InferenceError
from foretell.serve.exchange import Exchange
from foretell.serve.trace import Trace
from foretell.types import DataType, ModelSpec

_LONGEST_MESSAGE = 1024
_OVERHEAD_BYTES = 2048
_LIST_ELEMENT_BYTES = 32
_LEAST_TEXT = 2
"""Bytes that an element takes as JSON at least, with what parts it from the next."""


@dataclass(slots=True, eq=False)
class Answered:
    """One end of a request. `at`: seconds since the epoch. `parts` None: the inputs were not understood, or are left
    out. `outputs` None: there are none, or they are left out."""

    at: float
    model: str
    version: str
    spec: ModelSpec
    request_id: bytes
    trace: Trace | None
    status: int = 200
    error: tuple[str, str] | None = None
    """Its code, and what was said."""
    total_s: float | None = None
    queue_s: float | None = None
    model_s: float | None = None
    group: Group | None = None
    rows: int = 1
    parts: Sequence[Part] | None = None
    outputs: Batch | None = None
    left_out: str | None = None
    """Why values are left out."""
    more: dict[str, Any] | None = None
    """What else is told of it."""

    def failed(self, error: Exception, status: int) -> None:
        """Says what was said instead of an answer."""
        code = error.code if isinstance(error, InferenceError) else "internal"
        self.status, self.error = status, (code, str(error)[:_LONGEST_MESSAGE])

    def hold(self, group: Group, rows: int, parts: Sequence[Part], most_bytes: int) -> None:
        """Keeps the inputs, unless their text is longer than `most_bytes` for sure."""
        self.group, self.rows = group, rows
        if sum(map(_least_text, parts)) > most_bytes:
            self.left_out = "too large"
        else:
            self.parts = parts

    def hold_outputs(self, batch: Batch, start: int, most_bytes: int) -> None:
        """Keeps rows of an answer, in memory of their own: others stand beside them there, and a model may use its own
        again."""
        if self.left_out is not None:
            return
        answer = batch.slice(start, start + self.rows)
        if sum(map(_least_text, answer.columns.values())) > most_bytes:
            self.left_out, self.parts = "too large", None
        else:
            self.outputs = copied(answer)

    @property
    def size(self) -> int:
        """About how many bytes of memory it keeps."""
        outputs = self.outputs.columns.values() if self.outputs is not None else ()
        return _OVERHEAD_BYTES + sum(map(_held, (*(self.parts or ()), *outputs)))


def begun(exchange: Exchange, model: str, version: str, spec: ModelSpec) -> Answered:
    """Of a request that has its answer now; what came of it has still to be said."""
    return Answered(time.time(), model, version, spec, exchange.request_id, exchange.trace)


def _held(part: Part) -> int:
    if isinstance(part, list):
        texts = sum(map(len, part)) if part and isinstance(part[0], str) else 0
        return _LIST_ELEMENT_BYTES * len(part) + texts
    return len(part) if isinstance(part, bytes) else _bytes_of(part)


def _bytes_of(column: Column) -> int:
    if isinstance(column, Ragged):
        return _bytes_of(column.values) + int(column.offsets.nbytes)
    offsets = int(column.offsets.nbytes) if isinstance(column, Bytes) else 0
    return int(column.data.nbytes) + offsets


def _least_text(part: Part) -> int:
    if isinstance(part, list):
        return _LEAST_TEXT * len(part) + (sum(map(len, part)) if part and isinstance(part[0], str) else 0)
    if isinstance(part, bytes):
        return len(part) * _LEAST_TEXT // _WIDEST
    if isinstance(part, Ragged):
        return _least_text(part.values)
    return int(part.data.nbytes) if isinstance(part, Bytes) else _LEAST_TEXT * int(part.data.size)


_WIDEST = max(datatype.numpy.itemsize for datatype in DataType if datatype is not DataType.BYTES)
"""Bytes of an element at most."""
