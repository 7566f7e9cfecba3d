"""Values read from any form, before they are fitted to what a model takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from foretell.columns import Array, Bytes, Index, Mask
from foretell.errors import InvalidInput
from foretell.types import DataType, TensorSpec


class Flags(np.ndarray[Any, np.dtype[np.bool_]]):
    """Booleans that whoever gave them has named so: they are no numbers."""


@dataclass(frozen=True, slots=True, eq=False)
class Raw:
    """Rows as they came. Unlike a column it still knows which *elements* were null, not only which rows.

    `data`: numbers or bools [rows, ...], or byte strings. `nulls`: bool, one per element, in the shape of the data.
    `offsets`: int64 [rows + 1] where rows differ in length; `data` then holds the elements of all rows.
    """

    data: Array | Bytes
    nulls: Mask | None = None
    offsets: Index | None = None

    @property
    def row_shape(self) -> tuple[int, ...]:
        """The shape of one entry along axis 0 of `data`."""
        return self.data.row_shape if isinstance(self.data, Bytes) else tuple(self.data.shape[1:])

    def folded(self, width: int) -> Raw:
        """A flat run of elements as rows of `width` elements each; an inner row shape stays."""
        inner = self.row_shape
        rows = self.count // width if width else 0
        nulls = None if self.nulls is None else self.nulls.reshape(rows, width, *inner)
        if isinstance(self.data, Bytes):
            return Raw(Bytes(self.data.offsets, self.data.data, (width, *inner)), nulls)
        return Raw(self.data.reshape(rows, width, *inner), nulls)

    @property
    def count(self) -> int:
        return len(self.data)


def wants_float(spec: TensorSpec | None) -> bool:
    return spec is not None and spec.datatype is not None and spec.datatype.is_float


def refuse(what: str, where: str, fix: str, got: str = "") -> InvalidInput:
    return InvalidInput(what, where=where, expected="numbers, booleans or strings", got=got, fix=fix)


def refuse_temporal(where: str, got: str) -> InvalidInput:
    return refuse("dates and times are no tensor values", where, "turn them into numbers or strings first", got)


def refuse_decimal(where: str) -> InvalidInput:
    return refuse("decimal numbers are no tensor values", where, "convert them to float", "Decimal")


def read_array(array: Array, where: str) -> Raw:
    """An array of numbers, bools or fixed-width strings (not of objects). Native numbers are not copied."""
    if isinstance(array, np.ma.MaskedArray):
        return _masked(array, where)
    kind = array.dtype.kind
    if kind in "mM":
        raise refuse_temporal(where, str(array.dtype))
    if kind in "UST":
        return _strings(array, where)
    if DataType.of(array.dtype) is None:
        if array.dtype.name == "bfloat16":
            return Raw(array.astype(np.float32))
        raise refuse("this kind of array has no tensor type", where, "convert it", str(array.dtype))
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    return Raw(np.asarray(array))


def text(items: list[Any], where: str, row_shape: tuple[int, ...] = ()) -> Bytes:
    """Byte strings from flat str, bytes and None, without nulls marked."""
    try:
        made = Bytes.of([b"" if item is None else item for item in items], row_shape)
    except UnicodeEncodeError as error:
        raise InvalidInput("a string is not valid Unicode", where=where, got=repr(error.object)[:60]) from None
    return Bytes(made.offsets, made.data, row_shape)


def nullable_text(items: list[Any], where: str) -> Raw:
    """Cells that are known to be strings, even where all of them are null; whatever is no string is a null."""
    nulls = np.array([not isinstance(item, (str, bytes)) for item in items], np.bool_)
    kept = [item if isinstance(item, (str, bytes)) else None for item in items]
    return Raw(text(kept, where), nulls if nulls.any() else None)


def _strings(array: Array, where: str) -> Raw:
    flat = array.reshape(-1).tolist()
    if array.dtype.kind != "T":
        return Raw(text(flat, where, array.shape[1:]))
    nulls = np.array([not isinstance(item, str) for item in flat], np.bool_)
    kept = [item if isinstance(item, str) else None for item in flat]
    return Raw(text(kept, where, array.shape[1:]), nulls.reshape(array.shape) if nulls.any() else None)


def _masked(array: Any, where: str) -> Raw:
    mask = np.ma.getmaskarray(array)
    whole = np.asarray(array.filled("" if array.dtype.kind in "US" else 0))
    return Raw(read_array(whole, where).data, mask if mask.any() else None)
