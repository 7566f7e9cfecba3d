"""From an estimator to the inputs of its model, and from a batch to what the estimator takes."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from foretell.backends.frame import data_frame, named_array, own_array
from foretell.backends.sklearn.columns import (
    categories_inside,
    inner_estimators,
    is_text_vectorizer,
    steps_of,
    told_columns,
)
from foretell.backends.sklearn.dict_rows import dicts_of, fields_of, takes_dicts
from foretell.columns import Batch, Dense
from foretell.errors import InvalidInput, InvalidModel
from foretell.forms.intake import UNNAMED
from foretell.forms.values import to_python
from foretell.types import DataType, TensorSpec

_ARRAYS_INSIDE = {"sklearn.ensemble._forest", "sklearn.ensemble._gb"}
"""Ensembles that fit their trees on arrays, so that only they themselves know names."""


@dataclass(frozen=True, slots=True)
class Inputs:
    """`layout`: "text" is one string a row, "array" is numbers of one type, "columns" is one tensor for each column,
    "dicts" one for each field, and "open" whatever comes: values without names as an array, else a data frame.

    `names` is set where an array needs the names of its columns to be taken without complaint.
    """

    specs: tuple[TensorSpec, ...]
    layout: Literal["text", "array", "columns", "dicts", "open"]
    names: tuple[str, ...] | None = None
    features: Mapping[str, tuple[str, ...]] | None = None
    unused: frozenset[str] = frozenset()
    """Columns of the table it was fitted on that it drops."""

    def arrange(self, batch: Batch) -> Any:
        """What the estimator takes. Raises `InvalidInput` for a missing column."""
        for spec in self.specs:
            if spec.name not in batch.columns:
                got = ", ".join(batch.columns) or "none"
                raise InvalidInput(f"input {spec.name!r} is missing", expected=self.expected, got=got)
        if self.layout == "open":
            alone = batch.columns.get(UNNAMED) if len(batch.columns) == 1 else None
            return data_frame(batch.columns) if alone is None else own_array(alone)
        if self.layout == "dicts":
            return dicts_of(batch, self.specs)
        if self.layout == "columns":
            return data_frame({spec.name: batch.columns[spec.name] for spec in self.specs})
        column = batch.columns[self.specs[0].name]
        if self.layout == "text":
            return to_python(column)
        array = own_array(column)
        if self.specs[0].datatype is DataType.FP64 and isinstance(column, Dense):
            array = array.astype(np.float64, copy=False)
        return array if self.names is None else named_array(array, self.names)

    @property
    def named(self) -> bool:
        """Whether the estimator gets its columns by name, as it was fitted."""
        return self.layout in ("columns", "open") or self.names is not None

    @property
    def expected(self) -> str:
        return ", ".join(spec.name for spec in self.specs)


def read_inputs(estimator: Any, where: str) -> Inputs:
    """Raises `InvalidModel` for an estimator that would open files whose names come with the data, and for one that
    takes what nobody can know."""
    _check_vectorizers(estimator, where)
    head = next(iter(steps_of(estimator)), None)
    if takes_dicts(head, where):
        return Inputs(fields_of(head), "dicts")
    if _takes_text(estimator):
        return Inputs((TensorSpec("text", DataType.BYTES, ()),), "text")
    count = getattr(estimator, "n_features_in_", None)
    names = _names(estimator)
    if count is None:
        return Inputs((), "open") if _is_custom(head) else Inputs((TensorSpec(UNNAMED),), "array")
    told = told_columns(estimator, count, names)
    kinds = {each.datatype for each in told if each.used}
    if names is None or (kinds <= {DataType.FP64} and all(each.used for each in told)):
        datatype = (
            DataType.FP64 if kinds <= {DataType.FP64, DataType.BOOL} else kinds.pop() if len(kinds) == 1 else None
        )
        nan = any(each.allow_nan for each in told)
        features = {"input": names} if names is not None else None
        needs_names = names if names is not None and not _can_forget_names(estimator) else None
        return Inputs((TensorSpec("input", datatype, (count,), allow_nan=nan),), "array", needs_names, features)
    specs = [
        TensorSpec(name, each.datatype, (), each.datatype is DataType.BYTES and each.allow_nan, each.allow_nan)
        for name, each in zip(names, told, strict=True)
        if each.used
    ]
    unused = frozenset(name for name, each in zip(names, told, strict=True) if not each.used)
    return Inputs(tuple(specs), "columns", unused=unused)


def without_names(estimator: Any) -> Any:
    """The estimator as it would be had it been fitted on arrays, if that is all the names are for.

    An estimator that was fitted on a DataFrame warns at every array. A DataFrame for every call costs more than the
    model, and muting a warning is not safe between threads; so a shallow copy forgets the names, which foretell has
    checked by itself. Others get their DataFrame.
    """
    if not _can_forget_names(estimator):
        return estimator
    from sklearn.pipeline import Pipeline

    bare = copy.copy(estimator)
    if type(estimator) is Pipeline:
        name, first = estimator.steps[0]
        bare.steps = [(name, without_names(first)), *estimator.steps[1:]]
    else:
        del bare.feature_names_in_
    return bare


def _can_forget_names(estimator: Any) -> bool:
    """Not where columns are chosen by name, nor where inner estimators know the names too."""
    from sklearn.base import MetaEstimatorMixin
    from sklearn.compose import ColumnTransformer
    from sklearn.pipeline import Pipeline

    if "_sklearn_output_config" in vars(estimator):  # it gives DataFrames, whose names come from these
        return False
    if type(estimator) is Pipeline:
        return _can_forget_names(estimator.steps[0][1]) if not isinstance(estimator.steps[0][1], str) else False
    if isinstance(estimator, ColumnTransformer) or categories_inside(estimator) is not None:
        return False
    if inner_estimators(estimator):
        return False
    if isinstance(estimator, MetaEstimatorMixin) and type(estimator).__module__ not in _ARRAYS_INSIDE:
        return False
    return type(estimator).__module__.startswith("sklearn.") and "feature_names_in_" in vars(estimator)


def _names(estimator: Any) -> tuple[str, ...] | None:
    names = getattr(estimator, "feature_names_in_", None)
    return None if names is None else tuple(str(name) for name in names)


def _takes_text(estimator: Any) -> bool:
    steps = steps_of(estimator)
    if not steps:
        return False
    head = steps[0]
    if is_text_vectorizer(head):
        return True
    union = getattr(head, "transformer_list", None)
    if union:
        return all(_takes_text(each) for _, each in union)
    if hasattr(head, "n_features_in_"):
        return False
    calibrated = getattr(head, "calibrated_classifiers_", None)
    inner = calibrated[0].estimator if calibrated else getattr(head, "estimator_", None)
    estimators = getattr(head, "estimators_", None)
    if inner is None and isinstance(estimators, list) and estimators:
        inner = estimators[0]
    return inner is not None and _takes_text(inner)


def _is_custom(head: Any) -> bool:
    """Whether somebody's own code meets the data first, which may look for columns by their names."""
    inside = [part for _, part in getattr(head, "transformer_list", ())]
    if inside:
        return any(_is_custom(next(iter(steps_of(part)), None)) for part in inside)
    return not type(head).__module__.startswith("sklearn.")


def _check_vectorizers(estimator: Any, where: str) -> None:
    parts = [estimator, *estimator.get_params(deep=True).values()]
    for part in parts:
        if is_text_vectorizer(part) and part.input != "content":
            what = f"its {type(part).__name__} opens the files that the data names"
            raise InvalidModel(what, where=where, expected="input='content'", got=f"input={part.input!r}")
