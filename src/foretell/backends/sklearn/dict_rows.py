"""Rows as the dicts that `DictVectorizer` takes: one tensor for each field that it has seen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from foretell.columns import Batch
from foretell.errors import InvalidModel
from foretell.forms.values import to_python
from foretell.types import DataType, TensorSpec


def fields_of(vectorizer: Any) -> tuple[TensorSpec, ...]:
    """A field of numbers, which is a feature of its own name, is FP64; one of texts, whose every value is a feature, is
    BYTES; one that was both does not tell. Every field may be missing."""
    kinds: dict[str, set[DataType]] = {}
    for feature in vectorizer.feature_names_:
        field, mark, _ = feature.partition(vectorizer.separator)
        kinds.setdefault(field, set()).add(DataType.BYTES if mark else DataType.FP64)
    return tuple(TensorSpec(name, kind.pop() if len(kind) == 1 else None, (), True) for name, kind in kinds.items())


def dicts_of(batch: Batch, fields: Sequence[TensorSpec]) -> list[dict[str, Any]]:
    """The rows; a field that is null is not in its row, which to the vectorizer is a zero."""
    columns = {field.name: to_python(batch.columns[field.name]) for field in fields}
    return [
        {name: cell for name, cell in zip(columns, row, strict=True) if cell is not None and cell == cell}  # noqa: PLR0124 (a NaN is not itself)
        for row in zip(*columns.values(), strict=True)
    ]


def takes_dicts(head: Any, where: str) -> bool:
    """Whether an estimator is a `DictVectorizer`. Raises `InvalidModel` for one of dicts whose fields nobody knows."""
    from sklearn.feature_extraction import DictVectorizer, FeatureHasher

    if isinstance(head, FeatureHasher) and head.input_type != "string":
        fix = "train it with DictVectorizer, or write a Python model that takes columns and calls it"
        raise InvalidModel("its FeatureHasher tells no fields of the rows", where=where, expected="inputs", fix=fix)
    return isinstance(head, DictVectorizer)
