"""Data in any form -> `Batch`: which form, one row or rows, which columns."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from foretell.columns import Batch
from foretell.errors import InvalidInput
from foretell.forms import table as tables
from foretell.forms.form import Form, Kind, form_of, is_frame, kind_of, library
from foretell.forms.mapping import Plan
from foretell.forms.rank import is_one_row, one_row, rank
from foretell.forms.rows import columns_of, is_rows_of_dicts
from foretell.forms.sequences import kind_of_cell
from foretell.forms.values import to_column
from foretell.types import ModelSpec, TensorSpec

UNNAMED = "input"
"""The name of the one input where the model tells no name and the data has none."""


@dataclass(frozen=True, slots=True)
class Intake:
    """Rows that came in, and what their answer must look like. `single`: the caller gave one row, not rows."""

    batch: Batch
    form: Form
    single: bool


@dataclass(frozen=True, slots=True)
class _Question:
    spec: ModelSpec
    mapping: Mapping[str, Sequence[str]] | None
    ignore: Collection[str]


def to_batch(
    data: object,
    spec: ModelSpec,
    mapping: Mapping[str, Sequence[str]] | None = None,
    *,
    ignore: Collection[str] = (),
) -> Intake:
    """The rows of `data` as the inputs of `spec`.

    `data`: rows or one row in any form that the package's docstring lists. `mapping`: input -> its columns, before the
    mapping rules. `ignore`: columns that are no inputs, such as a key. Arrays of the right datatype are not copied.
    Raises `InvalidInput`.
    """
    ask = _Question(spec, mapping, ignore)
    form = form_of(data)
    table = _table(data)
    if table is not None:
        return Intake(_rows(table, _count(data), ask), form, False)
    if isinstance(data, Mapping):
        return _dict(data, form, ask)
    if mapping:
        raise InvalidInput("a mapping needs named columns", got=type(data).__name__, fix="give a dict or a data frame")
    return _bare(_plain(data), form, spec)


def is_single(data: object, spec: ModelSpec, mapping: Mapping[str, Sequence[str]] | None = None) -> bool:
    """Whether `data` is one row, so that its answer is a single one. Looks at ranks only. Raises `InvalidInput`."""
    if _table(data) is not None:
        return False
    if isinstance(data, Mapping):
        named = {str(name): value for name, value in data.items()}
        return _dict_is_single(named, tables.plan_of(named, spec, mapping, ()), spec)
    return _is_one(_plain(data), spec, _only_input(data, spec))


def _table(data: Any) -> dict[str, Any] | None:
    """The columns of what is always rows: frames, tables, lists of dicts, structured arrays."""
    if is_frame(data):
        match library(data):
            case Kind.PANDAS:
                from foretell.forms.pandas_form import table
            case Kind.POLARS:
                from foretell.forms.polars_form import table
            case _:
                from foretell.forms.arrow_form import table
        return table(data)
    if is_rows_of_dicts(data):
        return columns_of(data)
    if isinstance(data, np.ndarray) and data.dtype.names and data.ndim == 1:
        return {name: data[name] for name in data.dtype.names}
    return None


def _count(data: Any) -> int:
    """Rows of what `_table` takes."""
    return int(data.num_rows) if hasattr(data, "num_rows") else len(data)


def _rows(table: dict[str, Any], rows: int, ask: _Question) -> Batch:
    if not rows and not table:
        return _no_rows(ask.spec)
    chosen = tables.plan_of(table, ask.spec, ask.mapping, ask.ignore)
    return tables.to_batch(table, rows, ask.spec, chosen)


def _no_rows(spec: ModelSpec) -> Batch:
    inputs = spec.inputs if spec.inputs is not None else (TensorSpec(UNNAMED),)
    return Batch({tensor.name: to_column([], where=tensor.name, spec=tensor) for tensor in inputs}, 0)


def _dict(data: Mapping[Any, Any], form: Form, ask: _Question) -> Intake:
    named = {str(name): _plain(value) for name, value in data.items()}
    if not named:
        raise InvalidInput("the dict is empty", expected=_expected(ask.spec), fix="give a value for each input")
    chosen = tables.plan_of(named, ask.spec, ask.mapping, ask.ignore)
    used = {column for columns in chosen.values() for column in columns}
    single = _dict_is_single(named, chosen, ask.spec)
    if single:
        named = {name: one_row(value) for name, value in named.items() if name in used}
        return Intake(tables.to_batch(named, 1, ask.spec, chosen), form, True)
    first = next(named[name] for name in named if name in used)
    rows = len(first) if hasattr(first, "__len__") and not isinstance(first, (str, bytes)) else 0
    return Intake(tables.to_batch(named, rows, ask.spec, chosen), form, False)


def _dict_is_single(named: Mapping[str, Any], chosen: Plan, spec: ModelSpec) -> bool:
    decided: dict[str, bool] = {}
    either: set[str] = set()
    for name, columns in chosen.items():
        tensor = spec.input(name)
        for column in columns:
            where = f"input {name!r}" if column == name else f"column {column!r}"
            decided[column] = is_one_row(named[column], tensor, where, len(columns))
            if tensor is not None and tensor.shape == (1,) and _is_list_of_one(named[column]):
                either.add(column)
    if spec.inputs is None:
        return all(decided.values())
    rest = [single for name, single in decided.items() if name not in either]
    if rest and all(rest):  # a list of one value is one row, or a column of one: what the others are, it is
        return True
    if len(set(decided.values())) > 1:
        one = next(name for name, single in decided.items() if single)
        many = next(name for name, single in decided.items() if not single)
        raise InvalidInput(f"{one!r} is one row and {many!r} is rows", expected="all of them one row, or all rows")
    return all(decided.values())


def _is_list_of_one(value: Any) -> bool:
    return library(value) is None and rank(value) == 1 and len(value) == 1


def _bare(value: Any, form: Form, spec: ModelSpec) -> Intake:
    """A value without names: the model's only input."""
    tensor = _only_input(value, spec)
    single = _is_one(value, spec, tensor)
    where = f"input {tensor.name!r}"
    is_vector = tensor.shape not in (None, (), (1,), (None,))
    if library(value) is not None and is_vector and tables.sort_of(value) == "number":
        raise InvalidInput(
            "a series of numbers is a column", where=where, expected=tensor.describe(), got=f"{len(value)} values",
            fix="for one row give a frame of one row, such as frame.iloc[[0]], a list or an array",
        )  # fmt: skip
    known = tensor if spec.inputs is not None else None
    column = to_column(one_row(value) if single else value, where=where, spec=known)
    return Intake(Batch({tensor.name: column}, len(value) if not single else 1), form, single)


def _is_one(value: Any, spec: ModelSpec, tensor: TensorSpec) -> bool:
    if spec.batch is None and tensor.shape is None and library(value) is None:
        return True
    return is_one_row(value, tensor, f"input {tensor.name!r}")


def _only_input(value: Any, spec: ModelSpec) -> TensorSpec:
    if spec.inputs is None:
        return TensorSpec(UNNAMED)
    if len(spec.inputs) == 1:
        return spec.inputs[0]
    raise InvalidInput(
        "values without names do not tell which input they are for",
        expected=_expected(spec),
        got=type(value).__name__,
        fix="give a dict, a list of dicts or a data frame",
    )


def _expected(spec: ModelSpec) -> str:
    if spec.inputs is None:
        return "the inputs of the model"
    return "inputs " + ", ".join(f"{tensor.name!r} {tensor.describe()}" for tensor in spec.inputs)


def _plain(value: Any) -> Any:
    """Array-likes of other libraries as arrays; lists, scalars and what a form of ours reads stay."""
    if isinstance(value, (np.ndarray, list, tuple, range, str, bytes, bool, int, float)):
        return value
    if library(value) is not None and not hasattr(value, "as_py"):
        return value
    if kind_of(value) is Kind.NUMPY:
        try:
            return np.asarray(value)
        except Exception as error:
            raise InvalidInput(f"{type(value).__name__} cannot be read as an array: {error}") from error
    if isinstance(value, (bytearray, memoryview)):
        return bytes(value)
    if hasattr(value, "as_py"):
        return value.as_py()
    if value is None or hasattr(value, "__next__") or callable(value) or kind_of_cell(type(value)) == "other":
        expected, fix = "a list, dict, array or data frame", "turn it into a list or an array first"
        raise InvalidInput("this is neither a row nor rows", expected=expected, got=type(value).__name__, fix=fix)
    return value
