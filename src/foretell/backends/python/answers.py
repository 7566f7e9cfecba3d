"""From what a user's function returned to columns, and to the rows it gave no answer for."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any

import numpy as np

from foretell.columns import Batch, Column, copied, copied_column
from foretell.errors import InferenceError, InvalidInput, ModelError, RowError, said
from foretell.forms.values import to_column
from foretell.types import TensorSpec

_ACCEPTED = "an array or list with one value for each row, a dict of them, a list of dicts, or a Batch"
"""Where a dict is accepted, so is a named tuple, and an object of a dataclass."""


@dataclass(frozen=True, slots=True)
class Answer:
    """`bare`: the function named no outputs, so its one column has a name of ours."""

    columns: Mapping[str, Column]
    bare: bool = False
    errors: Mapping[int, RowError] = field(default_factory=dict)


def read_answer(returned: Any, rows: int, specs: Sequence[TensorSpec] | None, where: str) -> Answer:
    """Reads the answer to a call of `rows` rows, into memory of its own. `specs`: the outputs, where they are known.

    An exception or a `RowError` in the place of a value ends that row. Raises `ModelError` for anything that is not
    one value for each row.
    """
    if isinstance(returned, Batch):
        if returned.rows != rows:
            raise _wrong_rows("its Batch", returned.rows, rows, where)
        return Answer(copied(returned).columns, errors=returned.errors)
    named = _named(returned, rows, specs, where)
    bare = named is None
    if named is None:
        named = {specs[0].name if specs and len(specs) == 1 else "output": returned}
    errors: dict[int, RowError] = {}
    values = {name: _values(value, name, rows, errors, where) for name, value in named.items()}
    known = {spec.name: spec for spec in specs or ()}
    if len(errors) == rows and rows:
        return Answer({}, bare, errors)
    columns = {name: _column(value, name, known.get(name), errors, where) for name, value in values.items()}
    return Answer(columns, bare, errors)


def finished(returned: Any, where: str) -> Any:
    """What a function returned. Raises `ModelError` for a coroutine, which it also ends, as nobody awaits it."""
    if inspect.isasyncgen(returned):  # it has not begun, so that there is nothing to end
        fix = "write def in place of async def"
        raise ModelError("it is an asynchronous generator", where=where, expected="a generator", fix=fix)
    if not inspect.iscoroutine(returned):
        return returned
    returned.close()
    fix = "write def in place of async def"
    expected = "a function that answers"
    raise ModelError("it has to be awaited", where=where, expected=expected, got="a coroutine", fix=fix)


def one_value(returned: Any) -> Any:
    """The answer of a function that works on one row, as the answer to a call of one row."""
    if isinstance(returned, Batch):
        return returned
    if _is_record(type(returned)):
        return {name: [value] for name, value in _record(returned).items()}
    return [returned]


def _is_record(kind: type) -> bool:
    """Whether values of this type have names: dicts, named tuples, dataclasses of the user's."""
    if issubclass(kind, Mapping) or (issubclass(kind, tuple) and hasattr(kind, "_fields")):
        return True
    return is_dataclass(kind) and kind is not RowError and not hasattr(kind, "__array__")


def _record(value: Any) -> Mapping[Any, Any]:
    if isinstance(value, Mapping):
        return value
    names = getattr(value, "_fields", None) or [each.name for each in fields(value)]
    return {name: getattr(value, name) for name in names}


def row_error(error: Exception) -> RowError:
    if isinstance(error, InferenceError):
        return RowError.of(error)
    return RowError(ModelError.code, said(error))


def _named(returned: Any, rows: int, specs: Sequence[TensorSpec] | None, where: str) -> Mapping[str, Any] | None:
    """The values by output name, or None where the answer names none."""
    if _is_record(type(returned)):
        return _with_text_names(_record(returned), where)
    if type(returned).__name__ == "DataFrame" and hasattr(returned, "columns"):
        return _of_frame(returned, where)
    if isinstance(returned, (list, tuple)):
        if any(map(_is_record, set(map(type, returned)))):
            return _records(returned, rows, where)
        if specs is not None and len(specs) > 1 and isinstance(returned, tuple) and len(returned) == len(specs):
            return dict(zip((spec.name for spec in specs), returned, strict=True))
        if specs is None and isinstance(returned, tuple) and all(getattr(each, "ndim", 0) for each in returned):
            # With as many rows as arrays, outputs would pass for rows.
            what, fix = "a tuple of arrays may be outputs or rows", "answer with a dict of outputs, or a list of rows"
            raise ModelError(what, where=where, expected=_ACCEPTED, got=f"{len(returned)} arrays", fix=fix)
    return None


def _of_frame(returned: Any, where: str) -> dict[str, Any]:
    names = [str(name) for name in returned.columns]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise ModelError(f"two columns of its answer are named {twice!r}", where=where, fix="rename one")
    return {name: returned[column].to_numpy() for name, column in zip(names, returned.columns, strict=True)}


def _with_text_names(returned: Mapping[Any, Any], where: str) -> Mapping[str, Any]:
    for name in returned:
        if not isinstance(name, str):
            raise ModelError("an output has no text as name", where=where, got=repr(name))
    if not returned:
        raise ModelError("the dict it answered is empty", where=where, expected="a value for each output")
    return returned


def _records(returned: Sequence[Any], rows: int, where: str) -> dict[str, list[Any]]:
    if len(returned) != rows:
        raise _wrong_rows("its list", len(returned), rows, where)
    names = list(_record(next(row for row in returned if _is_record(type(row)))))
    columns: dict[str, list[Any]] = {name: [] for name in names}
    for number, row in enumerate(returned):
        if isinstance(row, (Exception, RowError)):
            row = dict.fromkeys(names, row)
        elif _is_record(type(row)):
            row = _record(row)
        if not isinstance(row, Mapping) or set(row) != set(names):
            got = ", ".join(map(str, row)) if isinstance(row, Mapping) else type(row).__name__
            expected = "a dict with " + ", ".join(map(str, names))
            raise ModelError(f"row {number} of its answer differs", where=where, expected=expected, got=got)
        for name in names:
            columns[name].append(row[name])
    return dict(_with_text_names(columns, where))


def _values(value: Any, name: str, rows: int, errors: dict[int, RowError], where: str) -> Any:
    """The values of one output, checked to be one for each row; adds the rows that failed to `errors`."""
    if not isinstance(value, (list, tuple, np.ndarray)):
        if not hasattr(value, "__array__") or isinstance(value, np.generic):
            raise ModelError(f"output {name!r} is no answer", where=where, expected=_ACCEPTED, got=_kind(value))
        value = np.asarray(value)
    if isinstance(value, np.ndarray) and value.ndim == 0:
        raise ModelError(f"output {name!r} is one value", where=where, expected=_ACCEPTED, got=repr(value.item()))
    if len(value) != rows:
        raise _wrong_rows(f"output {name!r}", len(value), rows, where)
    if not isinstance(value, np.ndarray) or value.dtype == object:
        failed = {row: each for row, each in enumerate(value) if isinstance(each, (Exception, RowError))}
        errors.update({row: e if isinstance(e, RowError) else row_error(e) for row, e in failed.items()})
    return value


def _column(value: Any, name: str, spec: TensorSpec | None, failed: Iterable[int], where: str) -> Column:
    failed = set(failed)
    try:
        if not failed:
            column = to_column(value, where=f"output {name!r}", spec=spec)
            # A function may keep the array that it answers, and write its next answer into it.
            return copied_column(column) if isinstance(value, np.ndarray) else column
        good = [row for row in range(len(value)) if row not in failed]
        column = to_column([value[row] for row in good], where=f"output {name!r}", spec=spec)
    except InvalidInput as error:
        raise ModelError(f"its answer is no tensor: {error}", where=where) from error
    # The failed rows repeat the first good one: their cells mean nothing, but have to be there.
    places = np.zeros(len(value), np.int64)
    places[good] = np.arange(len(good))
    return column.take(places)


def _wrong_rows(what: str, got: int, rows: int, where: str) -> ModelError:
    return ModelError(f"{what} has the wrong number of rows", where=where, expected=rows, got=got)


def _kind(value: Any) -> str:
    return "None" if value is None else f"{type(value).__module__}.{type(value).__qualname__}".removeprefix("builtins.")
