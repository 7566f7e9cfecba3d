"""Open Inference Protocol, replies: a batch is encoded once, and each request of it gets its slice.

Source: Open Inference Protocol v2 (REST) and Triton's "binary tensor data" and "classification" extensions.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson

from foretell.columns import Array, Batch, Bytes, Column, Dense, Ragged
from foretell.engine.work import Completed
from foretell.errors import InvalidInput, ModelError, nearest
from foretell.forms import to_numpy
from foretell.serve.codecs.oip_message import RequestedOutput, shown
from foretell.serve.codecs.oip_parameters import flag
from foretell.serve.codecs.oip_values import to_binary, without_form
from foretell.serve.messages import Reply, binary_reply
from foretell.types import DataType, ModelSpec

_MOST_HEADS = 4096
_SHOWN = 80


@dataclass(frozen=True, slots=True)
class Wanted:
    """One output of a reply: as JSON or binary, whole or as its `top` classes."""

    name: str
    binary: bool
    top: int = 0


def wanted_outputs(
    requested: list[RequestedOutput] | None, binary: bool, spec: ModelSpec, where: str
) -> tuple[Wanted, ...] | None:
    """What the reply must hold; None: every output, as JSON. Raises `InvalidInput` for an output that is not there."""
    if not requested:
        if not binary:
            return None
        return tuple(Wanted(tensor.name, True) for tensor in spec.outputs) if spec.outputs else (Wanted("", True),)
    names = [tensor.name for tensor in spec.outputs] if spec.outputs is not None else None
    wanted: dict[str, Wanted] = {}
    for output in requested:
        if names is not None and output.name not in names:
            hint = nearest(output.name[:_SHOWN], names)
            raise InvalidInput(f"unknown output {shown(output.name)}", where=where, fix=hint)
        if output.name in wanted:
            raise InvalidInput(f"output {shown(output.name)} is requested twice", where=where)
        params = dict(output.parameters or {})
        if "shared_memory_region" in params:
            raise InvalidInput("shared memory is not supported", where=f"output {output.name!r}")
        top = params.get("classification", 0)
        if type(top) is not int or top < 0:
            raise InvalidInput("wrong parameter 'classification'", expected="a number of classes", got=shown(top))
        wanted[output.name] = Wanted(output.name, flag(params, "binary_data", binary), top)
    return tuple(wanted.values())


class ReplyEncoder:
    """Encodes the replies of one model version. Remembers the fixed bytes of replies."""

    def __init__(self, name: str, version: str, spec: Callable[[], ModelSpec]) -> None:
        """`spec`: what the model says of itself now; its first answer may tell more."""
        model = orjson.dumps({"model_name": name, "model_version": version})[1:-1]
        self._model = b"{" + model + b',"outputs":['
        self._heads: dict[Any, bytes] = {}
        self._spec, self._last_spec = spec, spec()
        self._fixed: dict[tuple[str, int, tuple[int, ...]], tuple[DataType, bytes]] = {}

    def json(self, completed: Completed, start: int, rows: int, request_id: str | None) -> bytes:
        """The reply to a request of rows [start, start + rows) that wants every output as JSON.

        Raises `InferenceError` for an output that has no JSON form.
        """
        frame: _Frame | None = completed.scratch.get(rows)
        if frame is None:
            frame = completed.scratch[rows] = self._frame(completed, rows)
        lead, outputs, end, texts = frame
        if request_id is not None:
            lead = b'{"id":' + orjson.dumps(request_id) + b"," + lead[1:]
        if texts is not None:
            return lead + texts[start] + end
        if len(outputs) == 1:
            return lead + outputs[0][1].slice(start, start + rows) + end
        pieces = [lead]
        for head, values in outputs:
            pieces += (head, values.slice(start, start + rows))
        pieces.append(end)
        return b"".join(pieces)

    def _frame(self, completed: Completed, rows: int) -> _Frame:
        """What all replies of `rows` rows of a batch share, and its values, encoded once."""
        spec = self._spec()
        known: dict[str, JsonRows] = completed.scratch.setdefault("json", {})
        outputs: list[tuple[bytes, JsonRows]] = []
        for name, column in completed.batch.columns.items():
            row_shape = column.data.shape[1:] if type(column) is Dense else _row_shape(name, column)
            key = (name, rows, row_shape)
            fixed = self._fixed.get(key) if spec is self._last_spec else None
            if fixed is None:
                fixed = self._fix(key, datatype_of(name, column, spec), spec)
            datatype, head = fixed
            if name not in known:
                known[name] = JsonRows(name, column, datatype, completed.batch.rows)
            outputs.append((b"]}," + head if outputs else head, known[name]))
        if len(outputs) == 1:
            head, values = outputs[0]
            return self._model + head, outputs, b"]}]}", values.texts if rows == 1 else None
        return self._model, outputs, b"]}]}" if outputs else b"]}", None

    def _fix(
        self, key: tuple[str, int, tuple[int, ...]], datatype: DataType, spec: ModelSpec
    ) -> tuple[DataType, bytes]:
        """Datatype and head of an output; remembered while the model's spec stays, where the spec tells the type."""
        name, rows, row_shape = key
        if spec is not self._last_spec or len(self._fixed) >= _MOST_HEADS:
            self._fixed.clear()
            self._last_spec = spec
        fixed = datatype, self._head(name, datatype, _shape(rows, row_shape, spec))
        known = spec.output(name)
        if known is not None and known.datatype is not None:
            self._fixed[key] = fixed
        return fixed

    def _head(self, name: str, datatype: DataType, shape: tuple[int, ...]) -> bytes:
        key = (name, datatype, shape)
        head = self._heads.get(key)
        if head is None:
            tensor = {"name": name, "datatype": datatype.value, "shape": shape}
            head = orjson.dumps(tensor)[:-1] + b',"data":['
            if len(self._heads) >= _MOST_HEADS:
                self._heads.clear()
            self._heads[key] = head
        return head

    def mixed(self, batch: Batch, request_id: str | None, wanted: tuple[Wanted, ...]) -> Reply:
        """The reply to a request that chose its outputs, or wants some of them binary; `batch`: its rows alone."""
        rows, spec = batch.rows, self._spec()
        if wanted == (Wanted("", True),):  # outputs that only the first answer told
            wanted = tuple(Wanted(name, True) for name in batch.columns)
        tensors, blobs = [], []
        for output in wanted:
            if output.name not in batch.columns:
                hint = nearest(output.name[:_SHOWN], batch.columns)
                raise InvalidInput(f"unknown output {shown(output.name)}", fix=hint)
            column = batch.columns[output.name]
            datatype = datatype_of(output.name, column, spec)
            if output.top:
                column, datatype = classes(column, datatype, output, spec), DataType.BYTES
            head = self._head(output.name, datatype, _shape(rows, _row_shape(output.name, column), spec))
            if output.binary:
                blob = to_binary(column, output.name)
                blobs.append(blob)
                tensors.append(_before_bytes(head, len(blob)))
            else:
                values = JsonRows(output.name, column, datatype, rows)
                tensors.append(head + values.slice(0, rows) + b"]}")
        text = self._lead(request_id) + b",".join(tensors) + b"]}"
        if not blobs:
            return Reply(text)
        return binary_reply(b"".join([text, *blobs]), len(text))

    def only_bytes(
        self, completed: Completed, rows: int, request_id: str | None, wanted: tuple[Wanted, ...]
    ) -> tuple[bytes, bytes, int] | None:
        """Of requests of `rows` rows that want one output of numbers, as bytes: the text, the bytes of the whole batch,
        and how many of them are one row's. None: they want something else."""
        column = completed.batch.columns.get(wanted[0].name)
        if len(wanted) > 1 or not wanted[0].binary or wanted[0].top or not isinstance(column, Dense):
            return None
        if column.valid is not None:  # rows that have no value are their callers' affair
            return None
        spec, name, values = self._spec(), wanted[0].name, to_binary(column, wanted[0].name)
        row_bytes = len(values) // max(1, completed.batch.rows)
        head = self._head(name, datatype_of(name, column, spec), _shape(rows, column.row_shape, spec))
        return self._lead(request_id) + _before_bytes(head, rows * row_bytes) + b"]}", values, row_bytes

    def _lead(self, request_id: str | None) -> bytes:
        return self._model if request_id is None else b'{"id":' + orjson.dumps(request_id) + b"," + self._model[1:]


class JsonRows:
    """A column as JSON, cut by rows. Numbers are encoded for the whole batch at once."""

    __slots__ = ("_column", "_name", "texts")

    def __init__(self, name: str, column: Column, datatype: DataType, rows: int) -> None:
        if datatype in (DataType.FP16, DataType.BF16):
            raise InvalidInput(
                f"{datatype} has no JSON form", where=f"output {name!r}", fix="ask for it as binary data"
            )
        self._name, self._column = name, column
        self.texts: list[bytes] | None = None
        """Of each row, where they are numbers."""
        if isinstance(column, Dense) and column.valid is None:
            flat = column.data
            if flat.ndim != 2:
                flat = flat.reshape(rows, -1) if rows else flat.reshape(0, 1)
            if rows and flat.shape[1]:
                text = _numbers(flat)
                self.texts = text[2:-2].split(b"],[")
                if b"n" in text:
                    self.texts = [
                        piece if b"n" not in piece else _with_tokens(piece, row)
                        for piece, row in zip(self.texts, flat, strict=True)
                    ]

    def slice(self, start: int, stop: int) -> bytes:
        pieces = self.texts
        if pieces is None:
            return self._other(start, stop)
        return pieces[start] if stop - start == 1 else b",".join(pieces[start:stop])

    def _other(self, start: int, stop: int) -> bytes:
        column = self._column.slice(start, stop)
        if isinstance(column, Ragged):
            raise without_form(self._name)
        if isinstance(column, Bytes):
            try:
                values: list[Any] = [item.decode() for item in column.items()]
            except UnicodeDecodeError:
                raise InvalidInput(
                    "the answer is not UTF-8 text", where=f"output {self._name!r}", fix="ask for it as binary data"
                ) from None
        else:
            values = column.data.reshape(-1).tolist()
        if column.valid is not None and not column.valid.all():
            per_row = len(values) // max(1, len(column))
            for row in np.flatnonzero(~column.valid).tolist():
                values[row * per_row : (row + 1) * per_row] = [None] * per_row
        return json.dumps(values, separators=(",", ":")).encode()[1:-1]


def _before_bytes(head: bytes, size: int) -> bytes:
    """What the text says of an output whose `size` bytes follow it. `head`: of the output with its data in the text."""
    return head.removesuffix(b'"data":[') + b'"parameters":{"binary_data_size":%d}}' % size


def _numbers(rows: Array) -> bytes:
    try:
        return orjson.dumps(rows, option=orjson.OPT_SERIALIZE_NUMPY)
    except TypeError:  # they do not lie one behind the other, which is seldom: asking first would cost more
        return orjson.dumps(np.ascontiguousarray(rows), option=orjson.OPT_SERIALIZE_NUMPY)


def _with_tokens(piece: bytes, row: Array) -> bytes:
    """A row with the tokens that clients know, where orjson wrote null for NaN and the infinities.

    The numbers beside them stay as they are: a row reads the same whatever shares its batch.
    """
    texts = zip(piece.split(b","), row.tolist(), strict=True)
    return b",".join([_token(value) if text == b"null" else text for text, value in texts])


def _token(value: float) -> bytes:
    if math.isnan(value):
        return b"NaN"
    return b"Infinity" if value > 0 else b"-Infinity"


def classes(column: Column, datatype: DataType, wanted: Wanted, spec: ModelSpec) -> Bytes:
    """The classification extension: per row the best `value:index[:label]`, best first.

    Values are printed as C++'s std::to_string prints them.
    """
    if not isinstance(column, Dense) or not (column.valid is None or column.valid.all()):
        got = datatype if isinstance(column, Bytes) else "a row without a value"
        raise InvalidInput("classification needs numbers", where=f"output {wanted.name!r}", got=got)
    scores = to_numpy(column, datatype).reshape(len(column), math.prod(column.row_shape))
    top = min(wanted.top, scores.shape[1])
    order = np.argsort(-scores.astype(np.float64), axis=1, kind="stable")[:, :top]
    labels = (spec.labels or {}).get(wanted.name, ())
    items = []
    for row, best in enumerate(order.tolist()):
        for index in best:
            value = scores[row, index]
            text = str(int(value)) if scores.dtype.kind in "iub" else f"{float(value):.6f}"
            items.append(f"{text}:{index}:{labels[index]}" if index < len(labels) else f"{text}:{index}")
    return Bytes.of(items, (top,))


_Frame = tuple[bytes, list[tuple[bytes, JsonRows]], bytes, list[bytes] | None]
"""Bytes before the first value, (bytes before its values, values) of each output, bytes after the last value; and the
values of each row, where that is all that is between the two."""


def _row_shape(name: str, column: Column) -> tuple[int, ...]:
    if isinstance(column, Ragged):
        raise without_form(name)
    return column.row_shape


def _shape(rows: int, row_shape: tuple[int, ...], spec: ModelSpec) -> tuple[int, ...]:
    return row_shape if spec.batch is None else (rows, *row_shape)


def datatype_of(name: str, column: Column, spec: ModelSpec) -> DataType:
    """What the column is; what its model calls it only where that is true, since bytes must not be misread."""
    if not isinstance(column, Dense):
        return DataType.BYTES
    known = spec.output(name)
    if known is not None and known.datatype is DataType.BF16 and column.data.dtype == DataType.BF16.numpy:
        return DataType.BF16
    datatype = DataType.of(column.data.dtype)
    if datatype is None or datatype is DataType.BYTES:
        raise ModelError("the answer has no tensor form", where=f"output {name!r}", got=column.data.dtype)
    return datatype
