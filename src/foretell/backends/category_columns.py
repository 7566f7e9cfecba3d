"""A table with categories, one tensor for each column, as the numbers by which a model of trees knows them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from foretell.columns import Array, Bytes, Column, Dense
from foretell.errors import InvalidInput, RowError
from foretell.types import DataType, TensorSpec


@dataclass(frozen=True, slots=True)
class Categories:
    """The categories of one column, in the order of their codes: all strings, or all numbers.

    `unknown`: "missing", a category that the model has not seen counts as missing; "error", its row has no answer.
    """

    name: str
    values: Sequence[Any]
    unknown: str = "missing"

    @property
    def of_text(self) -> bool:
        return all(isinstance(value, str) for value in self.values)

    def spec(self, number: DataType) -> TensorSpec:
        if self.of_text:
            return TensorSpec(self.name, DataType.BYTES, (), nullable=True)
        return TensorSpec(self.name, number, ())

    def codes(self, column: Column, errors: dict[int, RowError]) -> Array:
        """FP64 [rows], NaN where the category is missing. Rows of an unknown one go to `errors`."""
        known = {self._key(value): float(code) for code, value in enumerate(self.values)}
        keys = self._keys(column)
        valid = column.valid
        found = np.array([known.get(key, np.nan) for key in keys], np.float64)
        if valid is not None:
            found[~valid] = np.nan
        if self.unknown == "error":
            for row in np.flatnonzero(np.isnan(found)).tolist():
                missing = isinstance(keys[row], float) and math.isnan(keys[row])
                if not missing and (valid is None or valid[row]):
                    shown = keys[row].decode("utf-8", "replace") if isinstance(keys[row], bytes) else keys[row]
                    what = f"input {self.name!r}: the model has not seen the category {str(shown)[:40]!r}"
                    errors.setdefault(row, RowError(InvalidInput.code, what))
        return found

    def _key(self, value: Any) -> Any:
        return value.encode() if self.of_text else float(value)

    def _keys(self, column: Column) -> list[Any]:
        if isinstance(column, Bytes):
            return column.items()
        if isinstance(column, Dense):
            return column.data.reshape(len(column)).astype(np.float64).tolist()
        raise InvalidInput("rows of different length are no column of categories", where=f"input {self.name!r}")


def matrix(feeds: Mapping[str, Array], names: Sequence[str], dtype: np.dtype[Any]) -> Array:
    """The columns side by side, [rows, columns], in `dtype`."""
    made = np.empty((len(feeds[names[0]]), len(names)), dtype)
    for at, name in enumerate(names):
        made[:, at] = feeds[name].reshape(len(made))
    return made
