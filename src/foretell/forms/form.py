"""Which form data has, found without importing the library that it belongs to."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np


class Kind(enum.StrEnum):
    """A family of forms; answers are given in the family that the question came in."""

    LIST = "list"
    DICT = "dict"
    NUMPY = "numpy"
    PANDAS = "pandas"
    POLARS = "polars"
    ARROW = "arrow"


@dataclass(frozen=True, slots=True, eq=False)
class Form:
    """How data came in, as far as its answer must look the same.

    `index`: the row labels of a pandas frame. `arrays`: the columns of a dict were arrays, not lists.
    """

    kind: Kind
    index: Any = None
    arrays: bool = False


def library(data: object) -> Kind | None:
    """PANDAS, POLARS or ARROW where `data` is one of their objects (or of a class derived from one)."""
    kind: Any = type(data)
    return _library_of(kind)


@lru_cache(maxsize=512)
def _library_of(kind: type) -> Kind | None:
    for base in kind.__mro__:
        match base.__module__.partition(".")[0]:
            case "pandas":
                return Kind.PANDAS
            case "polars":
                return Kind.POLARS
            case "pyarrow":
                return Kind.ARROW
    return None


def is_frame(data: object) -> bool:
    """Whether `data` is a data frame or a table: named columns, always rows."""
    if library(data) is None:
        return False
    return any(base.__name__ in {"DataFrame", "Table", "RecordBatch"} for base in type(data).__mro__)


def kind_of(data: object) -> Kind:
    """The family of `data`; a single value counts as a list of one."""
    found = library(data)
    if found is not None:
        return found
    if isinstance(data, Mapping):
        return Kind.DICT
    if isinstance(data, (np.ndarray, np.generic)) or hasattr(data, "__array__"):
        return Kind.NUMPY
    return Kind.LIST


def form_of(data: Any) -> Form:
    """The form of `data`."""
    kind = kind_of(data)
    if kind is Kind.PANDAS:
        return Form(kind, index=getattr(data, "index", None))
    if kind is Kind.DICT:
        lists = (list, tuple, str, bytes, int, float, type(None))
        return Form(kind, arrays=bool(data) and not all(isinstance(value, lists) for value in data.values()))
    return Form(kind)
