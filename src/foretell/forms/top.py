"""Outputs of class scores as the best classes and their scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from foretell.columns import Array, Batch, Bytes, Column, Dense
from foretell.errors import InvalidSetting
from foretell.forms.fit import bfloat16_floats
from foretell.types import DataType, ModelSpec, TensorSpec


def shown(spec: ModelSpec, top: int | None) -> ModelSpec:
    """The outputs as `best` makes them, as far as the model tells them. Raises `InvalidSetting` where none can be
    class scores."""
    if top is None or spec.outputs is None:
        return spec
    if not any(_may_be_scores(tensor) for tensor in spec.outputs):
        told = ", ".join(f"{tensor.name!r} {tensor.describe()}" for tensor in spec.outputs)
        raise InvalidSetting("--top needs an output of class scores", expected="floats, several in each row", got=told,
                             fix="leave it out")  # fmt: skip
    made: list[TensorSpec] = []
    for tensor in spec.outputs:
        if not _may_be_scores(tensor):
            made.append(tensor)
        elif tensor.shape is not None and tensor.datatype is not None:
            made += _told(tensor, tensor.shape[0], _labels(spec, tensor.name, tensor.shape[0]), top)
    return replace(spec, outputs=tuple(made))


def best(answer: Batch, spec: ModelSpec, top: int | None) -> Batch:
    """Instead of each output NAME of class scores its `top` best: NAME_label and NAME_score for one, else NAME_labels
    and NAME_scores, the best one first; of equal ones that with the lower index. A label is the index of the class
    where the model carries none. Raises `InvalidSetting` where no output is class scores.
    """
    if top is None or not answer.columns:
        return answer
    columns: dict[str, Column] = {}
    found = False
    for name, column in answer.columns.items():
        scores = _scores(column, spec.output(name))
        if scores is None:
            columns[name] = column
            continue
        found = True
        columns |= _best(name, scores, _labels(spec, name, scores.shape[1]), top, column)
    if not found:
        raise InvalidSetting("--top needs an output of class scores", got=f"outputs {list(answer.columns)}",
                             fix="leave it out")  # fmt: skip
    return answer.with_columns(columns)


def _may_be_scores(tensor: TensorSpec) -> bool:
    is_float = tensor.datatype is None or tensor.datatype.is_float
    return is_float and (tensor.shape is None or (len(tensor.shape) == 1 and tensor.shape[0] not in (0, 1)))


def _told(tensor: TensorSpec, width: int | None, labels: Sequence[str] | None, top: int) -> list[TensorSpec]:
    kind = DataType.BYTES if labels else DataType.INT64
    score = DataType.FP32 if tensor.datatype is DataType.BF16 else tensor.datatype
    if top == 1:
        return [TensorSpec(f"{tensor.name}_label", kind, ()), TensorSpec(f"{tensor.name}_score", score, ())]
    shape = (None if width is None else min(top, width),)
    return [TensorSpec(f"{tensor.name}_labels", kind, shape), TensorSpec(f"{tensor.name}_scores", score, shape)]


def _labels(spec: ModelSpec, name: str, width: int | None) -> tuple[str, ...] | None:
    labels = (spec.labels or {}).get(name)
    return labels if labels and len(labels) == width else None


def _scores(column: Column, tensor: TensorSpec | None) -> Array | None:
    if not isinstance(column, Dense) or len(column.row_shape) != 1 or column.row_shape[0] < 2:
        return None
    if tensor is not None and not _may_be_scores(tensor):
        return None
    if tensor is not None and tensor.datatype is DataType.BF16:
        return bfloat16_floats(column.data)
    return column.data if column.data.dtype.kind == "f" else None


def _best(name: str, scores: Array, labels: Sequence[str] | None, top: int, column: Column) -> dict[str, Column]:
    order = _order(scores, top)
    values = np.take_along_axis(scores, order, axis=1)
    valid = column.valid
    if top == 1:
        label = _named(order, labels, ()) if labels else Dense(order[:, 0])
        label = Bytes(label.offsets, label.data, (), valid) if isinstance(label, Bytes) else Dense(label.data, valid)
        return {f"{name}_label": label, f"{name}_score": Dense(values[:, 0], valid)}
    many = _named(order, labels, (order.shape[1],)) if labels else Dense(order)
    many = Bytes(many.offsets, many.data, many.row_shape, valid) if isinstance(many, Bytes) else Dense(many.data, valid)
    return {f"{name}_labels": many, f"{name}_scores": Dense(values, valid)}


def _order(scores: Array, top: int) -> Array:
    """The indices of the highest in each row; a NaN is below all."""
    if top == 1:
        absent = np.isnan(scores)
        highest = np.asarray(np.where(absent, -np.inf, scores).argmax(axis=1))
        hidden = absent[np.arange(len(scores)), highest]  # all others of its row are NaN or minus infinity, too
        highest[hidden] = np.argsort(-scores[hidden], axis=1, kind="stable")[:, 0]
        return highest.reshape(-1, 1).astype(np.int64)
    return np.asarray(np.argsort(-scores, axis=1, kind="stable")[:, :top]).astype(np.int64)


def _named(order: Array, labels: Sequence[str], row_shape: tuple[int, ...]) -> Bytes:
    encoded = [label.encode() for label in labels]
    flat = order.reshape(-1)
    offsets = np.zeros(len(flat) + 1, np.int64)
    np.cumsum(np.array([len(label) for label in encoded])[flat], out=offsets[1:])
    data = b"".join(map(encoded.__getitem__, flat.tolist()))
    return Bytes(offsets, np.frombuffer(data, np.uint8), row_shape)
