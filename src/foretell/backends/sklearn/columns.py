"""What a fitted estimator tells of each of its columns: their datatype, and whether they may be missing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np

from foretell.types import DataType

_TELLING = {"sklearn", "xgboost", "lightgbm"}
"""Packages whose tags were written with care; elsewhere the default tags say what nobody meant."""
_AROUND = {
    "CalibratedClassifierCV", "FixedThresholdClassifier", "MultiOutputClassifier", "MultiOutputRegressor",
    "OneVsRestClassifier", "StackingClassifier", "StackingRegressor", "TransformedTargetRegressor",
    "TunedThresholdClassifierCV", "VotingClassifier", "VotingRegressor",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Told:
    """`datatype` is None where nothing tells it. `used` is False for a column that the estimator drops."""

    datatype: DataType | None = None
    allow_nan: bool = True
    used: bool = True


def told_columns(estimator: Any, count: int, names: Sequence[str] | None) -> list[Told]:
    """One entry for each of the `count` columns that `estimator` was fitted on."""
    return _through([estimator], count, list(names) if names is not None else None)


def steps_of(estimator: Any) -> list[Any]:
    """The estimators that the data passes one after another, pipelines and finished searches opened up."""
    from sklearn.pipeline import Pipeline

    if _is_nothing(estimator):
        return []
    if isinstance(estimator, Pipeline):
        return [inner for _, step in estimator.steps for inner in steps_of(step)]
    best = getattr(estimator, "best_estimator_", None)
    return steps_of(best) if best is not None else [estimator]


def inner_estimators(estimator: Any) -> list[Any]:
    """The fitted estimators that get the columns as they come, of one that is around any kind of estimator."""
    if type(estimator).__name__ not in _AROUND or not type(estimator).__module__.startswith("sklearn."):
        return []
    if calibrated := getattr(estimator, "calibrated_classifiers_", None):
        return [each.estimator for each in calibrated]
    one = next((vars(estimator)[name] for name in ("estimator_", "regressor_") if name in vars(estimator)), None)
    return [one] if one is not None else list(getattr(estimator, "estimators_", ()))


def is_text_vectorizer(estimator: Any) -> bool:
    from sklearn.feature_extraction.text import CountVectorizer, HashingVectorizer

    return isinstance(estimator, (CountVectorizer, HashingVectorizer))


def _through(estimators: Iterable[Any], count: int, names: list[str] | None) -> list[Told]:
    from sklearn.compose import ColumnTransformer

    steps = [step for estimator in estimators for step in steps_of(estimator)]
    if not steps:
        return [Told()] * count
    head, rest = steps[0], steps[1:]
    if isinstance(head, ColumnTransformer):
        return _column_transformer(head, rest, count, names)
    around = [each for each in inner_estimators(head) if getattr(each, "n_features_in_", None) == count]
    if around:
        each, *others = [_through([inner], count, names) for inner in around]
        return [reduce(_both, told) for told in zip(each, *others, strict=True)]
    nan = _accepts_nan(steps)
    return [Told(datatype, nan) for datatype in _datatypes(head, count)]


def _column_transformer(head: Any, rest: list[Any], count: int, names: list[str] | None) -> list[Told]:
    told: list[Told | None] = [None] * count
    for _, transformer, chosen in head.transformers_:
        if isinstance(transformer, str) and transformer == "drop":
            continue
        indices = _indices(chosen, count, names)
        for index, new in zip(indices, _through([transformer, *rest], len(indices), None), strict=True):
            told[index] = _both(told[index], new)
    return [Told(used=False) if each is None else each for each in told]


def _both(one: Told | None, other: Told) -> Told:
    """A column that two of them take: what either knows, and only what both accept."""
    if one is None:
        return other
    return Told(one.datatype or other.datatype, one.allow_nan and other.allow_nan, one.used or other.used)


def _indices(chosen: Any, count: int, names: list[str] | None) -> list[int]:
    every = np.arange(count)
    if isinstance(chosen, str):
        chosen = [chosen]
    if isinstance(chosen, slice) and any(isinstance(end, str) for end in (chosen.start, chosen.stop)):
        start = 0 if chosen.start is None else (names or []).index(chosen.start)
        stop = count if chosen.stop is None else (names or []).index(chosen.stop) + 1
        return list(range(start, stop))
    if not isinstance(chosen, slice):
        listed = list(np.atleast_1d(np.asarray(chosen, object)))
        if listed and all(isinstance(name, str) for name in listed):
            return [(names or []).index(name) for name in listed]
        chosen = np.asarray(listed, bool if all(isinstance(c, (bool, np.bool_)) for c in listed) else np.int64)
    indices: list[int] = every[chosen].tolist() if count else []
    return indices


def categories_inside(estimator: Any) -> dict[int, Any] | None:
    """The categories, by column, of an estimator that encodes them by itself as boosted histograms do, else None."""
    chosen = getattr(estimator, "is_categorical_", None)
    encoder = getattr(getattr(estimator, "_preprocessor", None), "named_transformers_", {}).get("encoder")
    categories = getattr(encoder, "categories_", None)
    if not isinstance(chosen, np.ndarray) or categories is None:
        return None
    return dict(zip(np.flatnonzero(chosen).tolist(), categories, strict=True))


def _datatypes(head: Any, count: int) -> list[DataType | None]:
    own = categories_inside(head)
    if own is not None:
        if getattr(head, "n_features_in_", None) != count:
            return [None] * count  # it sees these columns among others, and does not tell which are these
        return [_datatype_of(own[index]) if index in own else DataType.FP64 for index in range(count)]
    categories = getattr(head, "categories_", None)
    if isinstance(categories, list) and len(categories) == count:
        return [_datatype_of(values) for values in categories]
    statistics = getattr(head, "statistics_", None)
    if isinstance(statistics, np.ndarray) and statistics.dtype == object and len(statistics) == count:
        return [_datatype_of(statistics[index : index + 1]) for index in range(count)]
    if is_text_vectorizer(head):
        return [DataType.BYTES] * count
    return [DataType.FP64 if _is_numeric(head) else None] * count


def _datatype_of(values: Any) -> DataType | None:
    """FP64 for numbers of any kind, which all compare equal as floats; BYTES where every present value is a string."""
    kind = np.asarray(values).dtype.kind
    if kind in "iuf":
        return DataType.FP64
    if kind == "b":
        return DataType.BOOL
    present = [value for value in values if value is not None and value == value]  # noqa: PLR0124 (NaN is missing)
    return DataType.BYTES if present and all(isinstance(value, str) for value in present) else None


def _is_numeric(estimator: Any) -> bool:
    tags = _tags(estimator)
    if tags is None or tags.no_validation:
        return False
    return not (tags.input_tags.categorical or tags.input_tags.string)


def _accepts_nan(steps: list[Any]) -> bool:
    """Whether a NaN gets through all steps, or to one that fills it in. True where that cannot be told."""
    for step in steps:
        tags = _tags(step)
        if tags is None or tags.no_validation or type(step).__name__ == "FeatureUnion":
            return True
        if not tags.input_tags.allow_nan:
            return False
        if type(step).__module__.startswith("sklearn.impute") or hasattr(step, "categories_"):
            return True
    return True


def _tags(estimator: Any) -> Any:
    """The tags of an estimator that may be believed, else None."""
    from sklearn.utils import get_tags

    return get_tags(estimator) if type(estimator).__module__.partition(".")[0] in _TELLING else None


def _is_nothing(estimator: Any) -> bool:
    """Whether it hands its input on unchanged."""
    if estimator is None or isinstance(estimator, str):
        return True
    return type(estimator).__name__ == "FunctionTransformer" and getattr(estimator, "func", 0) is None
