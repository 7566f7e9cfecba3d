"""The outputs of a model whose artefact does not tell them: learned from its first answer, held to afterwards."""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping

import numpy as np

from foretell.columns import Bytes, Column, Dense, Ragged
from foretell.errors import ModelError
from foretell.types import DataType, Shape, TensorSpec


class LearnedOutputs:
    """Thread-safe. What was declared is never changed; a learned dimension or number type that varies becomes None."""

    def __init__(self, declared: tuple[TensorSpec, ...] | None) -> None:
        self._lock = threading.Lock()
        self._declared = {spec.name: spec for spec in declared or ()}
        self.specs = declared
        self._varying: set[str] = set()

    @property
    def declared(self) -> tuple[TensorSpec, ...] | None:
        """What an answer has to be: all of a declared output, of a learned one the name."""
        return None if self.specs is None else tuple(self._declared.get(s.name, TensorSpec(s.name)) for s in self.specs)

    @property
    def known(self) -> bool:
        return self.specs is not None and all(s.datatype is not None and s.shape is not None for s in self.specs)

    def learn(self, columns: Mapping[str, Column], where: str) -> dict[str, Column]:
        """The columns in the order and the datatypes of the outputs; learns what is not known of them yet.

        Raises `ModelError` for other names than before, and for a datatype that would lose values.
        """
        with self._lock:
            if self.specs is None:
                self.specs = tuple(TensorSpec(name) for name in columns)
            names = [spec.name for spec in self.specs]
            if set(names) != set(columns):
                expected, got = ", ".join(names), ", ".join(columns) or "none"
                raise ModelError("the outputs changed their names", where=where, expected=expected, got=got)
            fitted = {spec.name: self._fitted(columns[spec.name], spec, where) for spec in self.specs}
            if any(len(column) for column in fitted.values()):
                learned = tuple([self._learned(spec, fitted[spec.name]) for spec in self.specs])
                if learned != self.specs:  # else they stay the same object: nobody has to be told of anything new
                    self.specs = learned
            return fitted

    def blank(self, rows: int) -> dict[str, Column]:
        """`rows` rows of every output that mean nothing, once `known`."""
        return {spec.name: blank_column(spec, rows) for spec in self.specs or ()}

    def _fitted(self, column: Column, spec: TensorSpec, where: str) -> Column:
        declared = self._declared.get(spec.name)
        if (declared is None or declared.datatype is None) and not _holds(spec.datatype, datatype_of(column)):
            self._varying.add(spec.name)  # a function of whatever numbers it is given: its answers follow them
            return column
        return _fit(column, spec, where)

    def _learned(self, spec: TensorSpec, column: Column) -> TensorSpec:
        declared = self._declared.get(spec.name)
        datatype, shape = spec.datatype or datatype_of(column), spec.shape
        if spec.name in self._varying:
            datatype = None
        if declared is None or declared.shape is None:
            found = shape_of(column)
            shape = found if spec.shape is None else _common(spec.shape, found)
        return TensorSpec(spec.name, datatype, shape, spec.nullable, spec.allow_nan)


def datatype_of(column: Column) -> DataType | None:
    if isinstance(column, Ragged):
        return datatype_of(column.values)
    return DataType.BYTES if isinstance(column, Bytes) else DataType.of(column.data.dtype)


def shape_of(column: Column) -> Shape:
    """The shape of one row; None for an axis in which rows differ."""
    return (None, *column.values.row_shape) if isinstance(column, Ragged) else tuple(column.row_shape)


def blank_column(spec: TensorSpec, rows: int) -> Column:
    """`rows` rows of zeros or empty strings. The datatype of `spec` must be known; free dimensions are 0."""
    shape = tuple(size or 0 for size in spec.shape or ())
    if spec.datatype is None:
        raise ValueError(f"the datatype of {spec.name!r} is not known")
    if spec.datatype is DataType.BYTES:
        return Bytes.of([b""] * (rows * math.prod(shape)), shape)
    return Dense(np.zeros((rows, *shape), spec.datatype.numpy))


def _common(before: Shape, now: Shape) -> Shape | None:
    if len(before) != len(now):
        return None
    return tuple(a if a == b else None for a, b in zip(before, now, strict=True))


def _holds(known: DataType | None, found: DataType | None) -> bool:
    """Whether numbers of the type `found` go into `known` unchanged; also where one of them is no number."""
    if known is found or known is None or found is None or DataType.BYTES in (known, found):
        return True
    return np.can_cast(found.numpy, known.numpy, "safe")


def _fit(column: Column, spec: TensorSpec, where: str) -> Column:
    found = datatype_of(column)
    if spec.datatype is None or found is spec.datatype or not len(column):
        return column
    if DataType.BYTES in {found, spec.datatype} or found is None:
        raise _changed(spec, found, where)
    if isinstance(column, Ragged):
        return Ragged(_cast(column.values, spec, where), column.offsets)
    return _cast(column, spec, where)


def _cast(column: Column, spec: TensorSpec, where: str) -> Dense:
    kind = spec.datatype
    if not isinstance(column, Dense) or kind is None or not np.can_cast(column.data.dtype, kind.numpy, "safe"):
        raise _changed(spec, datatype_of(column), where)
    return Dense(column.data.astype(kind.numpy), column.valid)


def _changed(spec: TensorSpec, found: DataType | None, where: str) -> ModelError:
    fix = "always return one type"
    what = f"output {spec.name!r} changed its type"
    return ModelError(what, where=where, expected=spec.datatype, got=found or "a type without tensors", fix=fix)
