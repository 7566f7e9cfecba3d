"""The names of classes that an ONNX file carries, for the outputs they fit."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterable, Mapping, Sequence

from foretell.backends.onnx_format.file import OnnxFile
from foretell.types import TensorSpec

_KEYS = ("classes", "labels", "names", "class_names", "id2label")
_MOST_CHARACTERS = 2**20


def class_names(found: OnnxFile) -> list[tuple[str, ...]]:
    """Every list of names in the file; those of classifiers in the graph come first."""
    noted = (read_names(found.metadata.get(key, "")) for key in _KEYS)
    return [*found.class_labels, *(names for names in noted if names)]


def labels_for(outputs: Iterable[TensorSpec], lists: Sequence[tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    """Names for each output of floats whose last size is their number."""
    labels = {}
    for spec in outputs:
        if spec.datatype is not None and spec.datatype.is_float and spec.shape:
            fitting = next((names for names in lists if len(names) == spec.shape[-1]), None)
            if fitting is not None:
                labels[spec.name] = fitting
    return labels


def read_names(text: str) -> tuple[str, ...]:
    """A list of names, or a dict of them by index, in JSON or as Python writes it; () for anything else."""
    if not text or len(text) > _MOST_CHARACTERS:
        return ()
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        try:
            value = ast.literal_eval(text)
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            return ()
    if isinstance(value, Mapping):
        value = _by_index(value)
    if not isinstance(value, (list, tuple)) or not all(isinstance(name, (str, int)) for name in value):
        return ()
    return tuple(str(name) for name in value)


def _by_index(names: Mapping[object, object]) -> list[object]:
    """{0: "cat", 1: "dog"} and {"cat": 0, "dog": 1} as a list; [] where the indices are not 0, 1, 2 ..."""
    if all(isinstance(index, int) for index in names.values()):
        names = {index: name for name, index in names.items()}
    indexed = {str(index): name for index, name in names.items()}
    wanted = [str(index) for index in range(len(names))]
    return [indexed[index] for index in wanted] if set(indexed) == set(wanted) else []
