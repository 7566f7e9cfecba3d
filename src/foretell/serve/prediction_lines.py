"""A record of the prediction log as lines of JSON: one for each row, so that they can be scored again."""

from __future__ import annotations

import base64
from collections.abc import Callable, Collection, Iterable
from datetime import UTC, datetime
from typing import Any

import numpy as np
import orjson

from foretell.columns import Array, Batch, Bytes, Column, Dense, Ragged
from foretell.engine.work import Work, assemble
from foretell.errors import InferenceError
from foretell.serve.codecs.oip_reply import datatype_of
from foretell.serve.prediction_record import Answered
from foretell.types import DataType

Line = dict[str, Any]


def lines_of(record: Answered, excluded: Collection[str], most_bytes: int) -> tuple[bytes, bool]:
    """The lines of a request, each with its end, and whether values are left out since all would have more than
    `most_bytes`. Values of tensors that are `excluded` are never in."""
    common = _common(record)
    try:
        tensors = _tensors(record)
    except (InferenceError, ValueError, TypeError):  # a request that was refused for its values
        tensors, common["left_out"] = {}, "not understood"
    common["tensors"] = {name: _described(record, column, type_) for name, (column, type_) in tensors.items()}
    shown = {name: each for name, each in tensors.items() if name.partition(".")[2] not in excluded}
    if len(shown) < len(tensors):
        common["excluded"] = sorted(set(tensors) - set(shown))
    data = _rows(common, shown, record.rows) if shown else _alone(common)
    if len(data) <= most_bytes or not shown:
        return data, record.left_out is not None
    return _alone({**common, "left_out": "too large"}), True


def _common(record: Answered) -> Line:
    """What stands in each line of a request."""
    line: Line = {
        "time": datetime.fromtimestamp(record.at, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
        "model": record.model,
        "version": record.version,
        "request_id": record.request_id.decode(),
        "rows": record.rows,
        "status": record.status,
    }
    if record.trace is not None:
        line["trace_id"], line["parent_id"] = record.trace.trace_id.decode(), record.trace.parent_id.decode()
    if record.error is not None:
        line["error"], line["message"] = record.error
    for name, seconds in (("total_ms", record.total_s), ("queue_ms", record.queue_s), ("model_ms", record.model_s)):
        if seconds is not None:
            line[name] = round(seconds * 1e3, 3)
    if record.group is not None and record.group.context.params:
        line["parameters"] = dict(record.group.context.params)
    if record.left_out is not None:
        line["left_out"] = record.left_out
    return line | (record.more or {})


def _tensors(record: Answered) -> dict[str, tuple[Column, DataType]]:
    """By the names that the columns of the log have. Raises `InferenceError`, `ValueError`, `TypeError`."""
    found: dict[str, tuple[Column, DataType]] = {}
    if record.group is not None and record.parts is not None:
        inputs = assemble([Work(record.parts, record.rows, record.group)])
        for field in record.group.fields:
            found[f"inputs.{field.name}"] = inputs.columns[field.name], field.datatype
    for name, column in (record.outputs or Batch({}, 0)).columns.items():
        inner = column.values if isinstance(column, Ragged) else column
        found[f"outputs.{name}"] = column, datatype_of(name, inner, record.spec)
    return found


def _described(record: Answered, column: Column, datatype: DataType) -> Line:
    row_shape = [None, *column.values.row_shape] if isinstance(column, Ragged) else list(column.row_shape)
    return {"datatype": datatype.value, "shape": [record.rows, *row_shape]}


def _alone(line: Line) -> bytes:
    """Of a request without values."""
    return orjson.dumps({**line, "row": 0}, default=str) + b"\n"


def _rows(common: Line, tensors: dict[str, tuple[Column, DataType]], rows: int) -> bytes:
    cells = {name: _cells(column, datatype) for name, (column, datatype) in tensors.items()}
    unsure = [name for name, (column, _) in tensors.items() if not _is_finite(column)]
    pieces = []
    for row in range(rows):
        line = {**common, "row": row}
        special: Line = {}
        for name, of_row in cells.items():
            line[name] = of_row(row)
        for name in unsure:
            if line[name] is not None and (places := _not_finite(np.asarray(line[name]))):
                special[name] = places
        if special:
            line["not_finite"] = special
        pieces.append(orjson.dumps(line, option=orjson.OPT_SERIALIZE_NUMPY, default=str))
    return b"\n".join([*pieces, b""])


def _is_finite(column: Column) -> bool:
    """Whether JSON has a number for each of its values. BF16 is not looked into here."""
    values = column.values if isinstance(column, Ragged) else column
    if isinstance(values, Bytes):
        return True
    kind = values.data.dtype
    return bool(np.isfinite(values.data).all()) if kind.kind == "f" else kind != DataType.BF16.numpy


def _cells(column: Column, datatype: DataType) -> Callable[[int], Any]:
    """What stands in the cell of each row; None for a null."""
    valid = column.valid
    if isinstance(column, Dense):
        dense = _as_numbers(column.data, datatype)
        return lambda row: dense[row] if valid is None or valid[row] else None
    if isinstance(column, Bytes):
        texts = _texts(column)
        return lambda row: texts[row] if valid is None or valid[row] else None
    inner = _texts(column.values) if isinstance(column.values, Bytes) else _as_numbers(column.values.data, datatype)
    starts = column.offsets.tolist()
    return lambda row: inner[starts[row] : starts[row + 1]]


def _as_numbers(data: Array, datatype: DataType) -> Array:
    """Such as JSON can be made from."""
    if datatype is DataType.BF16:
        return (data.astype(np.uint32) << 16).view(np.float32)
    return np.ascontiguousarray(data, data.dtype.newbyteorder("=")).reshape(data.shape)


def _texts(column: Bytes) -> list[Any]:
    """One cell for each row: texts as they are, other bytes as `{"base64": ...}`."""
    items = [_text(item) for item in column.items()]
    if not column.row_shape:
        return items
    cells = np.empty(len(items), object)
    cells[:] = items
    return list(cells.reshape((len(column), *column.row_shape)).tolist())


def _text(item: bytes) -> Any:
    try:
        return item.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(item).decode()}


def _not_finite(values: Array) -> dict[str, str]:
    """The places, counted flat, of what JSON has no number for: there stands null."""
    flat = values.reshape(-1)
    if flat.dtype.kind != "f":
        return {}
    places: Iterable[int] = np.flatnonzero(~np.isfinite(flat)).tolist()
    return {str(at): "NaN" if np.isnan(flat[at]) else "Infinity" if flat[at] > 0 else "-Infinity" for at in places}
