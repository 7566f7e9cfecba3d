"""A request on its way through the engine: payload, bookkeeping, and one end."""

from __future__ import annotations

import contextvars
import itertools
import math
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from foretell.columns import Array, Batch, Bytes, Column, Dense, Ragged, concat_columns
from foretell.errors import InferenceError, InvalidInput
from foretell.model import Context
from foretell.types import DataType

if TYPE_CHECKING:
    from foretell.engine.run import Run


@dataclass(frozen=True, slots=True)
class Field:
    """One input of a request. `row_shape` is the exact shape of one row of this request."""

    name: str
    datatype: DataType
    row_shape: tuple[int, ...]


class Family:
    """Groups whose rows differ in nothing but the length of what the model lets be filled up. Compared by identity."""

    __slots__ = ()


@dataclass(slots=True, eq=False)
class Group:
    """What requests must have in common to share a call. Compared by identity: who makes groups keeps them.

    `bulk`: they wait in the bulk lane. `bulk_twin`: the group of the bulk requests that could share a call with these.
    `family`: the requests of its other groups could, too, where filling up the rows costs less than it saves. `sizes`:
    elements of one row in each input that would be filled up.
    """

    fields: tuple[Field, ...]
    context: Context = field(default_factory=Context)
    mergeable: bool = True
    bulk: bool = False
    bulk_twin: Group | None = None
    family: Family | None = None
    sizes: tuple[int, ...] = ()


_LISTS: set[type] = {list}
_BLOBS: set[type] = {bytes}
Part = list[Any] | bytes | Column
"""One input's values in one request: a column, or what is not an array yet: the flat list of its elements as decoded,
or the bytes of as many numbers as belong there, little endian."""


class Completed:
    """A batch that has been answered. `scratch` lets a codec encode it once and hand each request its slice.

    `run`: the call that answered it, None where the cache did without one. `cached_rows`: rows of the request that the
    cache had; None: it was not asked.
    """

    __slots__ = ("batch", "cached_rows", "run", "scratch")

    def __init__(self, batch: Batch, run: Run | None = None, cached_rows: int | None = None) -> None:
        self.batch, self.run, self.cached_rows = batch, run, cached_rows
        self.scratch: dict[Any, Any] = {}


class Work:
    """One accepted request. Ends in exactly one call of `done` or `fail`, on the loop's thread."""

    __slots__ = ("arrived", "cancelled", "child", "deadline", "ended", "group", "parts", "rows")

    takes_errors: ClassVar[bool] = False
    """True: `done` also gets an answer in which rows failed, and records the end of what it stands for itself."""

    only_tells: ClassVar[bool] = False
    """True: it raises no error that it is given, and so may be given one that others are given, too."""

    def __init__(self, parts: Sequence[Part], rows: int, group: Group, deadline: float | None = None) -> None:
        self.parts = parts
        self.rows = rows
        self.group = group
        self.deadline = deadline
        self.arrived = 0.0
        """When it was accepted, by the engine's clock; the batcher sets it where the door did not."""
        self.cancelled = False
        self.ended = False
        self.child: Work | None = None
        """Work that stands in for this one in the queue."""

    def cancel(self) -> None:
        """The caller has gone: if it still waits, it never reaches the model."""
        self.cancelled = True
        if self.child is not None:
            self.child.cancel()

    def done(self, completed: Completed, start: int) -> None:
        """The answer: rows [start, start + self.rows) of `completed.batch`."""
        raise NotImplementedError

    def fail(self, error: InferenceError) -> None:
        raise NotImplementedError


def assemble(works: Sequence[Work]) -> Batch:
    """The rows of `works`, which share a group, as one batch. Raises `InvalidInput` for a value that has no place."""
    first = works[0]
    fields = first.group.fields
    if len(fields) == 1 and first.group.family is None:  # the usual case, with less to do
        field = fields[0]
        if len(works) == 1 and type(first.parts[0]) is list:
            return Batch({field.name: _from_list(field, first.parts[0], first.rows)}, first.rows)
        rows = sum([work.rows for work in works])
        return Batch({field.name: _column(field, [work.parts[0] for work in works], rows)}, rows)
    rows = sum([work.rows for work in works])
    if first.group.family is not None:
        return Batch({f.name: _of_family(i, works, rows) for i, f in enumerate(fields)}, rows)
    return Batch({f.name: _column(f, [work.parts[i] for work in works], rows) for i, f in enumerate(fields)}, rows)


def shared_context(works: Sequence[Work], device: str, *, watched: bool = True) -> Context:
    """What the requests of a batch share, the latest of their deadlines, and whether all of them have gone.

    `device`: where the call runs. `watched` False: for a call on the loop's thread, where nobody can go before it ends.
    """
    shared, latest = works[0].group.context, works[0].deadline
    if len(works) > 1 and latest is not None:
        deadlines = [work.deadline for work in works if work.deadline is not None]
        latest = max(deadlines) if len(deadlines) == len(works) else None
    if not watched:
        return Context(shared.params, latest, sequence=shared.sequence, device=device)
    gone = lambda: all(work.cancelled or work.ended for work in works)  # noqa: E731
    return Context(shared.params, latest, gone, shared.sequence, device)


def _column(spec: Field, parts: list[Part], rows: int) -> Column:
    kinds = set(map(type, parts))
    if kinds == _LISTS:
        flat = parts[0] if len(parts) == 1 else list(itertools.chain.from_iterable(parts))  # type: ignore[arg-type]
        return _from_list(spec, flat, rows)  # type: ignore[arg-type]
    if kinds == _BLOBS:
        return _from_bytes(spec, b"".join(parts))  # type: ignore[arg-type]
    return concat_columns([_alone(spec, part) for part in parts])


def _alone(spec: Field, part: Part) -> Column:
    if isinstance(part, list):
        return _from_list(spec, part, len(part) // max(1, math.prod(spec.row_shape)))
    return _from_bytes(spec, part) if isinstance(part, bytes) else part


def _from_bytes(spec: Field, blob: bytes) -> Dense:
    array = np.frombuffer(blob, spec.datatype.numpy.newbyteorder("<"))
    rows = len(array) // max(1, math.prod(spec.row_shape))
    return Dense(array.reshape((rows, *spec.row_shape)))


def _of_family(at: int, works: Sequence[Work], rows: int) -> Column:
    """Field `at` of requests of one family: rows of different length where they differ."""
    spec = works[0].group.fields[at]
    parts = [work.parts[at] for work in works]
    lengths = [work.group.fields[at].row_shape[:1] for work in works]
    if lengths.count(lengths[0]) == len(lengths):
        return _column(spec, parts, rows)
    flat = Field(spec.name, spec.datatype, spec.row_shape[1:])
    each = np.repeat([length for (length,) in lengths], [work.rows for work in works])
    values = _column(
        flat, [part if isinstance(part, (list, bytes)) else _positions(part, flat) for part in parts], int(each.sum())
    )
    offsets = np.zeros(rows + 1, np.int64)
    np.cumsum(each, out=offsets[1:])
    if isinstance(values, Ragged):
        raise TypeError("rows of different length inside are not filled up")
    return Ragged(values, offsets)


def _positions(column: Column, spec: Field) -> Dense:
    """Every position of every row as a row."""
    if not isinstance(column, Dense) or column.valid is not None:
        raise ValueError("rows with nulls are not filled up")
    return Dense(column.data.reshape((-1, *spec.row_shape)))


class _Strict(threading.local):
    """A context in which NumPy raises for what overflows; each thread has one. Entering it costs less than
    `np.errstate` does."""

    def __init__(self) -> None:
        self.context = contextvars.copy_context()
        self.context.run(np.seterr, over="raise")


_strict = _Strict()


def _from_list(spec: Field, flat: list[Any], rows: int) -> Column:
    if spec.datatype is DataType.BYTES:
        return Bytes.of(flat, spec.row_shape)
    try:
        array: Array = _strict.context.run(np.array, flat, spec.datatype.numpy)
    except (OverflowError, FloatingPointError):
        raise InvalidInput(
            "a value is out of range", where=f"input {spec.name!r}", expected=f"values of {spec.datatype}"
        ) from None
    return Dense(array.reshape((rows, *spec.row_shape)))


def params_key(params: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
    """Equal for parameters that mean the same to a model. Arrays count whole: their text leaves out the middle."""
    return tuple(sorted((name, _value_key(value)) for name, value in params.items())) if params else ()


def _value_key(value: Any) -> tuple[str, bytes]:
    if isinstance(value, np.ndarray) and not value.dtype.hasobject:
        return f"{value.dtype}{value.shape}", value.tobytes()
    return repr(value), b""


class Groups:
    """Keeps groups, so that equal requests find the same one. Bounded: forgets all when full, which costs a merge.

    `pad`: names of the inputs whose rows may be filled up.
    """

    def __init__(self, most: int = 1024, pad: Callable[[], Collection[str]] = tuple) -> None:
        self._most, self._pad = most, pad
        self._known: dict[tuple[Any, ...], Group] = {}
        self._families: dict[tuple[Any, ...], Family] = {}

    def get(
        self,
        fields: tuple[Field, ...],
        params: Mapping[str, Any],
        context: Context,
        mergeable: bool,
        bulk: bool = False,
    ) -> Group:
        """The group of requests with these fields, parameters, device, sequence and lane."""
        key = (fields, params_key(params), context.device, context.sequence, mergeable, bulk)
        group = self._known.get(key)
        if group is None:
            if len(self._known) >= self._most:
                self._known.clear()
            shared = Context(params=dict(params), sequence=context.sequence, device=context.device)
            group = self._known[key] = Group(fields, shared, mergeable, bulk)
            if mergeable and (sizes := padded_sizes(fields, self._pad())):
                group.sizes, group.family = sizes, self._family(fields, key[1:])
            if bulk and mergeable:
                self.get(fields, params, context, mergeable).bulk_twin = group
            elif mergeable and (twin := self._known.get((*key[:-1], True))) is not None:
                group.bulk_twin = twin
        return group

    def _family(self, fields: tuple[Field, ...], rest: tuple[Any, ...]) -> Family:
        pad = self._pad()
        key = (tuple([f if f.name not in pad else (f.name, f.datatype, f.row_shape[1:]) for f in fields]), rest)
        family = self._families.get(key)
        if family is None:
            if len(self._families) >= self._most:
                self._families.clear()
            family = self._families[key] = Family()
        return family


def padded_sizes(fields: Sequence[Field], pad: Collection[str]) -> tuple[int, ...]:
    """The elements of one row in each field of `pad`; empty where such rows cannot be filled up.

    A row without an element is not: an answer to nothing but padding would not be the answer to that row.
    """
    padded = [field for field in fields if field.name in pad]
    if any(f.datatype is DataType.BYTES or not f.row_shape or min(f.row_shape) < 1 for f in padded):
        return ()
    return tuple([math.prod(field.row_shape) for field in padded])


def fields_of(batch: Batch) -> tuple[Field, ...]:
    """The fields of an in-process batch."""
    return tuple(Field(name, _datatype(column), _row_shape(column)) for name, column in batch.columns.items())


def _datatype(column: Column) -> DataType:
    if isinstance(column, Dense):
        return DataType.of(column.data.dtype) or DataType.BYTES
    return DataType.BYTES if isinstance(column, Bytes) else _datatype(column.values)


def _row_shape(column: Column) -> tuple[int, ...]:
    return column.row_shape if isinstance(column, (Dense, Bytes)) else (-1, *column.values.row_shape)
