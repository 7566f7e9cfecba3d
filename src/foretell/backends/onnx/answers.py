"""What ONNX Runtime answered, as columns: tensors, ZipMap's lists of maps, and sequences of tensors."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import numpy as np

from foretell.backends.row_axis import Declared
from foretell.backends.row_probe import Rows
from foretell.columns import Array, Bytes, Column, Dense, Ragged
from foretell.errors import ModelError
from foretell.types import DataType, Shape


class Output:
    """Reads one output. `classes`: of ZipMap's maps, the keys in order, once an answer has told them."""

    def __init__(self, declared: Declared, where: str) -> None:
        self.name, self.datatype, self.form = declared.name, declared.datatype, declared.form
        self.classes: tuple[Any, ...] | None = None
        self._where = f"{where}, output {declared.name!r}"

    def rows(self, raw: Any, count: int) -> Rows:
        """The answer to a call of `count` rows. Raises `ModelError` unless it is one value for each."""
        value = self.value(raw)
        got = len(value) if isinstance(value, list) or value.ndim else None
        if got != count:
            shape = f"{got} values" if isinstance(value, list) else f"shape {list(value.shape)}"
            fix = "set batch to 'none' for this model, so that each row is a call of its own"
            raise self._error("not one value for each row of the input", f"{count} rows", shape, fix)
        return value

    def whole(self, raw: Any) -> Array:
        """The answer to a call that was one row. Raises `ModelError` for a sequence of different shapes."""
        value = self.value(raw)
        if isinstance(value, list):
            raise self._error("a sequence of tensors of different shapes", "one shape", "several", "")
        return value

    def value(self, raw: Any) -> Rows:
        if self.form == "maps":
            return self._scores(raw)
        if self.form == "sequence":
            return _stacked([np.asarray(item) for item in raw])
        if self.datatype is DataType.BF16:
            return _bits(raw)
        return raw if isinstance(raw, np.ndarray) else np.asarray(raw.numpy())

    def column(self, parts: Sequence[Rows]) -> Column:
        """The rows of several calls, one after another. Raises `ModelError` where their inner shapes differ."""
        arrays = [part for part in parts if not isinstance(part, list)]
        if len(arrays) == len(parts) and len({array.shape[1:] for array in arrays}) == 1:
            joined = arrays[0] if len(arrays) == 1 else np.concatenate(arrays)
            return strings(joined) if joined.dtype == object else Dense(joined)
        rows = [row for part in parts for row in part]
        if any(not row.ndim for row in rows) or len({row.shape[1:] for row in rows}) > 1:
            shapes = " and ".join(str(list(shape)) for shape in sorted({row.shape for row in rows})[:2])
            raise self._error("rows of different shapes", "shapes that differ in the first axis only", shapes, "")
        offsets = np.zeros(len(rows) + 1, np.int64)
        np.cumsum([len(row) for row in rows], out=offsets[1:])
        values = np.concatenate(rows)
        return Ragged(strings(values) if values.dtype == object else Dense(values), offsets)

    def empty(self, shape: Shape | None) -> Column:
        """No rows; free sizes are 0."""
        sizes = (0, *(size or 0 for size in shape or ()))
        return (
            strings(np.empty(sizes, object))
            if self.datatype is DataType.BYTES
            else Dense(np.empty(sizes, self.datatype.numpy))
        )

    def _scores(self, maps: Sequence[dict[Any, float]]) -> Array:
        if self.classes is None and maps:
            self.classes = tuple(sorted(maps[0]))
        classes = self.classes or ()
        try:
            scores = [[each[name] for name in classes] for each in maps]
        except KeyError as error:
            raise self._error("classes that change from row to row", list(classes), f"no {error}", "") from error
        return np.array(scores, np.float32).reshape(len(maps), len(classes))

    def _error(self, what: str, expected: object, got: object, fix: str) -> ModelError:
        return ModelError(what, where=self._where, expected=expected, got=got, fix=fix)


def strings(array: Array) -> Bytes:
    """An array of str [rows, ...] as a column."""
    return Bytes.of(array.reshape(-1).tolist(), array.shape[1:])


def _stacked(items: list[Array]) -> Rows:
    if items and len({item.shape for item in items}) == 1:
        return np.stack(items)
    return items


def _bits(value: Any) -> Array:
    """The bits of a BF16 tensor, which the runtime hands out in no other way than by its address."""
    if value.device_name().lower() != "cpu":
        raise ModelError("a BF16 output was left on the device", got=value.device_name())
    raw = ctypes.string_at(value.data_ptr(), value.tensor_size_in_bytes())
    return np.frombuffer(raw, np.uint16).reshape(value.shape())
