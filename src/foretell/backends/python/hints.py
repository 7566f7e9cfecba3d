"""What a type hint tells of a tensor, and in which form its code wants to have it."""

from __future__ import annotations

import collections.abc
import types
import typing
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

import numpy as np

from foretell.columns import Batch
from foretell.model import Context
from foretell.types import DataType, Shape


class Form(Enum):
    """What user code is handed for one parameter."""

    UNSAID = auto()
    """Arrays for numbers, a list for strings."""
    ARRAY = auto()
    LIST = auto()
    SCALAR = auto()
    """The value of one row: the code works on one row a call."""
    MAPPING = auto()
    """All columns as a dict of arrays."""
    RECORDS = auto()
    """All columns as a list of dicts, one for each row."""
    FRAME = auto()
    """All columns as a pandas DataFrame."""
    BATCH = auto()
    CONTEXT = auto()


@dataclass(frozen=True, slots=True)
class Hint:
    """`datatype` and `shape` (of one row) are None where the hint does not tell them."""

    form: Form = Form.UNSAID
    datatype: DataType | None = None
    shape: Shape | None = None
    nullable: bool = False
    raw_bytes: bool = False
    """Strings are wanted as bytes, not as text."""

    @property
    def whole(self) -> bool:
        """Whether the one parameter stands for all inputs, so that their names are not known."""
        return self.form in {Form.MAPPING, Form.RECORDS, Form.FRAME, Form.BATCH}


UNSAID = Hint()

_SCALARS: dict[Any, DataType] = {
    str: DataType.BYTES,
    bytes: DataType.BYTES,
    bool: DataType.BOOL,
    int: DataType.INT64,
    float: DataType.FP64,
}
_SEQUENCES = (list, tuple, collections.abc.Sequence, collections.abc.Iterable, collections.abc.Collection)
_MAPPINGS = (dict, collections.abc.Mapping, collections.abc.MutableMapping)


def read_hint(hint: Any) -> Hint:
    """Reads one annotation; an unknown one tells nothing."""
    if typing.get_origin(hint) is typing.Annotated:
        hint = typing.get_args(hint)[0]
    hint, nullable = _without_none(hint)
    origin, arguments = typing.get_origin(hint) or hint, typing.get_args(hint)
    if isinstance(origin, type):
        if issubclass(origin, Batch):
            return Hint(Form.BATCH)
        if issubclass(origin, Context):
            return Hint(Form.CONTEXT)
        if issubclass(origin, np.ndarray):
            return _array(arguments)
        if origin.__name__ == "DataFrame" and origin.__module__.partition(".")[0] == "pandas":
            return Hint(Form.FRAME)
        if origin in _MAPPINGS or typing.is_typeddict(origin):
            return Hint(Form.MAPPING)
        if origin in _SEQUENCES:
            return _sequence(arguments)
    scalar = _scalar_type(hint)
    if scalar is not None:
        return Hint(Form.SCALAR, scalar, (), nullable, raw_bytes=hint is bytes)
    return Hint()


def typed_outputs(hint: Any) -> dict[str, Hint] | None:
    """The named outputs that a `TypedDict` as return type tells, else None."""
    if not typing.is_typeddict(hint):
        return None
    return {name: read_hint(kind) for name, kind in typing.get_type_hints(hint).items()}


def _sequence(arguments: tuple[Any, ...]) -> Hint:
    if not arguments:
        return Hint(Form.LIST)
    inner = read_hint(arguments[0])
    if inner.form is Form.SCALAR:
        return Hint(Form.LIST, inner.datatype, (), inner.nullable, inner.raw_bytes)
    if inner.form is Form.LIST and inner.shape is not None:
        return Hint(Form.LIST, inner.datatype, (None, *inner.shape), raw_bytes=inner.raw_bytes)
    if inner.form is Form.MAPPING:
        return Hint(Form.RECORDS)
    if inner.form is Form.ARRAY:
        return Hint(Form.LIST, inner.datatype)
    return Hint(Form.LIST)


def _array(arguments: tuple[Any, ...]) -> Hint:
    """`NDArray[np.float32]` is `ndarray[shape, dtype[float32]]`; an abstract dtype such as `floating` tells nothing."""
    scalar = typing.get_args(arguments[1])[:1] if len(arguments) > 1 else ()
    if not scalar or not isinstance(scalar[0], type):
        return Hint(Form.ARRAY)
    if issubclass(scalar[0], (np.str_, np.bytes_)):
        return Hint(Form.ARRAY, DataType.BYTES, (), raw_bytes=issubclass(scalar[0], np.bytes_))
    return Hint(Form.ARRAY, _scalar_type(scalar[0]))


def _scalar_type(hint: Any) -> DataType | None:
    if not isinstance(hint, type):
        return None
    if hint in _SCALARS:
        return _SCALARS[hint]
    concrete = issubclass(hint, np.generic) and hint not in _ABSTRACT and not issubclass(hint, np.object_)
    return DataType.of(np.dtype(hint)) if concrete else None


_ABSTRACT = {np.generic, np.number, np.integer, np.signedinteger, np.unsignedinteger, np.inexact, np.floating,
             np.complexfloating, np.flexible, np.character}  # fmt: skip


def _without_none(hint: Any) -> tuple[Any, bool]:
    if typing.get_origin(hint) in {typing.Union, types.UnionType}:
        rest = [kind for kind in typing.get_args(hint) if kind is not type(None)]
        if len(rest) == 1:
            return rest[0], len(rest) < len(typing.get_args(hint))
    return hint, False
