"""What a model takes and gives, in the field's terms. The data itself is in `columns.py`."""

from __future__ import annotations

import enum
import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import numpy as np


class DataType(enum.StrEnum):
    """Tensor element types, under the names of the Open Inference Protocol."""

    BOOL = "BOOL"
    UINT8 = "UINT8"
    UINT16 = "UINT16"
    UINT32 = "UINT32"
    UINT64 = "UINT64"
    INT8 = "INT8"
    INT16 = "INT16"
    INT32 = "INT32"
    INT64 = "INT64"
    FP16 = "FP16"
    FP32 = "FP32"
    FP64 = "FP64"
    BF16 = "BF16"
    BYTES = "BYTES"

    @functools.cached_property
    def numpy(self) -> np.dtype[Any]:
        """The dtype of a `Dense` column of this type. BF16 travels as its bits, in uint16; BYTES has none."""
        if self is DataType.BYTES:
            raise TypeError("BYTES has no NumPy dtype: it is a Bytes column")
        import numpy as np

        return np.dtype(_NUMPY[self])

    @property
    def is_float(self) -> bool:
        return self in _FLOATS

    @property
    def is_integer(self) -> bool:
        return self.value.startswith(("INT", "UINT"))

    @classmethod
    def of(cls, dtype: np.dtype[Any]) -> DataType | None:
        """The type of a NumPy dtype (any byte order), or None where there is no such tensor type."""
        if dtype.kind in "SUOT":
            return cls.BYTES
        return _from_numpy().get(dtype.newbyteorder("="))


_NUMPY = {
    DataType.BOOL: "bool",
    DataType.UINT8: "uint8",
    DataType.UINT16: "uint16",
    DataType.UINT32: "uint32",
    DataType.UINT64: "uint64",
    DataType.INT8: "int8",
    DataType.INT16: "int16",
    DataType.INT32: "int32",
    DataType.INT64: "int64",
    DataType.FP16: "float16",
    DataType.FP32: "float32",
    DataType.FP64: "float64",
    DataType.BF16: "uint16",
}
_FLOATS = frozenset({DataType.FP16, DataType.FP32, DataType.FP64, DataType.BF16})

Shape = tuple[int | None, ...]


@functools.cache
def _from_numpy() -> dict[np.dtype[Any], DataType]:
    return {datatype.numpy: datatype for datatype in _NUMPY if datatype is not DataType.BF16}


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One input or output.

    `shape` is the shape of **one row**: the axis of rows is not part of it. A model without an axis of rows
    (`ModelSpec.batch is None`) takes its whole tensor as one row. A free dimension is None; a shape or datatype that
    the artefact does not tell is None as a whole.
    """

    name: str
    datatype: DataType | None = None
    shape: Shape | None = None
    nullable: bool = False
    """A null reaches the model (as `valid`) instead of ending its row."""
    allow_nan: bool = True
    """False: a row with a NaN ends with a row error before the model sees it."""
    category: bool = False
    """Of BYTES: a whole number in a table stands for its text, and a boolean for that of 1 or 0, as who trained the
    model had it for a category."""

    @property
    def width(self) -> int | None:
        """The number of values in one row, or None where it is not fixed."""
        if self.shape is None or any(size is None for size in self.shape):
            return None
        return math.prod(size for size in self.shape if size is not None)

    def describe(self, *, rows: bool = True) -> str:
        """For people: `FP32[-1, 4]`, the axis of rows first; without `rows`, `FP32[4]`."""
        kind = self.datatype.value if self.datatype else "any type"
        inner = ["..."] if self.shape is None else ["-1" if s is None else str(s) for s in self.shape]
        return f"{kind}[{', '.join(['-1', *inner] if rows else inner)}]"


BatchRule = Literal["any"] | int | None


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """What enters `preprocess` and what leaves `postprocess`.

    `inputs` and `outputs` are None where the artefact does not tell them. `batch` is "any" (any number of rows in one
    call), a number (the runtime takes exactly so many; foretell pads and splits), or None (no axis of rows: one call
    is one row). `row_wise` is False where one row's answer depends on the rows beside it: such calls are never merged
    or split. `pad` gives, per input, the value that fills rows of different length. `labels` names the classes of an
    output; `features` names the values of an input, in order.
    """

    inputs: tuple[TensorSpec, ...] | None = None
    outputs: tuple[TensorSpec, ...] | None = None
    batch: BatchRule = "any"
    row_wise: bool = True
    streams: bool = False
    stateful: bool = False
    concurrent: bool = False
    deterministic: bool = True
    pad: Mapping[str, float] | None = None
    labels: Mapping[str, tuple[str, ...]] | None = None
    features: Mapping[str, tuple[str, ...]] | None = None
    unused: frozenset[str] = frozenset()
    """Columns that a table may have beside the inputs: the model was trained on them, and does not look at them."""

    @property
    def mergeable(self) -> bool:
        """Whether rows of different callers may share one call."""
        return self.row_wise and self.batch is not None and not self.stateful

    def input(self, name: str) -> TensorSpec | None:
        return next((spec for spec in self.inputs or () if spec.name == name), None)

    def output(self, name: str) -> TensorSpec | None:
        return next((spec for spec in self.outputs or () if spec.name == name), None)

    def with_changes(self, **changes: Any) -> ModelSpec:
        return replace(self, **changes)


@dataclass(frozen=True, slots=True)
class Identity:
    """Which answers these are: the same identity gives the same row the same prediction, through every door.

    `artefact_digest` is `sha256:...` of the artefact (for Python models, of source and settings; empty for a live
    object, which has no lasting identity). `variant_digest` covers runtime, precision, passes and pre- and
    post-processing.
    """

    name: str
    version: str
    artefact_digest: str
    variant_digest: str

    @property
    def lasting(self) -> bool:
        """Whether this identity means the same thing in another process."""
        return bool(self.artefact_digest)

    @property
    def key(self) -> str:
        return "\x1f".join((self.name, self.version, self.artefact_digest, self.variant_digest))


@dataclass(frozen=True, slots=True)
class Trial:
    """An optimisation that was tried when a model was loaded: what a call took before and after, in milliseconds.

    The figures are None where it could not be tried. `difference`: the largest absolute one from the model as it is.
    """

    name: str
    kept: bool
    reason: str
    before_ms: float | None = None
    after_ms: float | None = None
    """Of one row alone."""
    batch_rows: int | None = None
    batch_before_ms: float | None = None
    batch_after_ms: float | None = None
    """Of a call of `batch_rows`, where the model takes several."""
    difference: float | None = None

    def describe(self) -> str:
        """For people: `quantization is kept: one row 8.0 -> 3.5 ms, 32 rows 120 -> 66 ms, ...`."""
        text = f"{self.name} is {'kept' if self.kept else 'not kept'}"
        figures = []
        if self.before_ms is not None and self.after_ms is not None:
            figures.append(f"one row {self.before_ms:.3g} -> {self.after_ms:.3g} ms")
        if self.batch_before_ms is not None and self.batch_after_ms is not None:
            figures.append(f"{self.batch_rows} rows {self.batch_before_ms:.3g} -> {self.batch_after_ms:.3g} ms")
        if self.difference is not None:
            figures.append(f"answers differ by {self.difference:.2g} at most")
        return ": ".join((text, ", ".join((self.reason, *figures))))
