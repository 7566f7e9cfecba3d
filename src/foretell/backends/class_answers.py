"""What models of classes and numbers answer, under the names that foretell gives it: the same in every framework."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from foretell.columns import Array
from foretell.types import DataType, TensorSpec


@dataclass(frozen=True, slots=True)
class Answers:
    """Outputs from what a runtime gives.

    `kind`: "binary", a probability of the second class; "classes", one for each; "targets", one for each of several
    yes and no; "codes", the number of a class; "numbers", under `name`. `width`: classes, targets, or numbers of one
    row, 0 for a single one. `classes`: what the label is for each class, where that is not its number.
    """

    kind: Literal["binary", "classes", "targets", "codes", "numbers"]
    datatype: DataType
    name: str = "prediction"
    width: int = 0
    classes: Array | None = None

    def specs(self) -> tuple[TensorSpec, ...]:
        if self.kind == "numbers":
            return (TensorSpec(self.name, self.datatype, (self.width,) if self.width else ()),)
        kind = DataType.INT64 if self.classes is None else DataType.of(self.classes.dtype)
        label = TensorSpec("label", kind, (self.width,) if self.kind == "targets" else ())
        if self.kind == "codes":
            return (label,)
        width = 2 if self.kind == "binary" else self.width
        return label, TensorSpec("probabilities", self.datatype, (width,))

    def labels(self) -> dict[str, tuple[str, ...]] | None:
        """Names of the classes of `probabilities`."""
        if self.kind not in ("binary", "classes"):
            return None
        classes = np.arange(2 if self.kind == "binary" else self.width) if self.classes is None else self.classes
        return {"probabilities": tuple(str(each) for each in classes)}

    def of(self, raw: Array, chosen: Array | None = None) -> dict[str, Array]:
        """`raw`: [rows] or [rows, width], in memory of its own. `chosen`: the numbers of the classes, where they are
        not those of the largest of "classes"."""
        raw = np.asarray(raw, self.datatype.numpy)
        if self.kind == "numbers":
            return {self.name: raw.reshape((len(raw), self.width) if self.width else len(raw))}
        if self.kind == "targets":
            return {"label": (raw > 0.5).astype(np.int64), "probabilities": raw}
        if self.kind == "binary":
            second = raw.reshape(len(raw))
            both = np.stack([1 - second, second], axis=1)
            return {"label": self._label((second > 0.5).astype(np.int64)), "probabilities": both}
        if self.kind == "codes":
            return {"label": self._label(raw.reshape(len(raw)).astype(np.int64))}
        return {"label": self._label(raw.argmax(axis=1) if chosen is None else chosen), "probabilities": raw}

    def _label(self, codes: Array) -> Array:
        return codes.astype(np.int64, copy=False) if self.classes is None else self.classes[codes]


def softmax(scores: Array) -> Array:
    """Over the last axis."""
    shifted = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=-1, keepdims=True))


def label_classes(classes: Any) -> Array | None:
    """The classes of an estimator as an array of one type; None where they are the numbers from 0 on."""
    array = np.asarray(list(classes))
    if array.dtype.kind in "iu" and np.array_equal(array, np.arange(len(array))):
        return None
    return array.astype(np.int64) if array.dtype.kind in "iu" else array
