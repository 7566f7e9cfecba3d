"""What an estimator answers, under the names that foretell gives it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from foretell.columns import Array
from foretell.errors import InvalidModel

Answers = Callable[[Any], dict[str, Array]]

# Their own `predict` is the class of the largest value of `predict_proba`, in exactly these words. Others decide by a
# score from which the probabilities are computed, and rounding may make two of those equal.
_LARGEST_PROBABILITY = {
    "RandomForestClassifier",
    "ExtraTreesClassifier",
    "BaggingClassifier",
    "CalibratedClassifierCV",
    "VotingClassifier",
}


def answers_of(estimator: Any, where: str) -> Answers:
    """The function from input to outputs by name, each [rows, ...].

    Classifiers: `label` and, where the estimator has them, `probabilities` (FP64). Regressors: `prediction` (FP64).
    Outlier detectors: `label` (1 or -1) and `score` (FP64, smaller is stranger). Clusterers: `label`. Transformers:
    `features`. A pipeline's transformers run once for all of them. Raises `InvalidModel` where there is none.
    """
    from sklearn.base import is_classifier, is_clusterer, is_outlier_detector
    from sklearn.pipeline import Pipeline

    if type(estimator) is Pipeline and len(estimator.steps) > 1 and hasattr(estimator, "predict"):
        before, last = estimator[:-1], answers_of(estimator.steps[-1][1], where)
        return lambda x: last(before.transform(x))
    if is_outlier_detector(estimator) and hasattr(estimator, "predict"):
        return _outliers(estimator)
    if is_classifier(estimator) or hasattr(estimator, "predict_proba"):
        return _classes(estimator)
    if is_clusterer(estimator) and hasattr(estimator, "predict"):
        return lambda x: {"label": _array(estimator.predict(x))}
    if hasattr(estimator, "predict"):
        return lambda x: {"prediction": _floats(estimator.predict(x))}
    if hasattr(estimator, "transform"):
        return lambda x: {"features": _array(estimator.transform(x))}
    what = f"{type(estimator).__name__} has no answer for new rows"
    raise InvalidModel(what, where=where, expected="an estimator with predict or transform")


def class_names(estimator: Any) -> tuple[str, ...] | None:
    """The names of the columns of `probabilities`, where one list names them all."""
    classes = getattr(estimator, "classes_", None)
    return tuple(str(name) for name in classes) if isinstance(classes, np.ndarray) and classes.ndim == 1 else None


def _classes(estimator: Any) -> Answers:
    classes = getattr(estimator, "classes_", None)
    if not hasattr(estimator, "predict_proba"):
        return lambda x: {"label": _array(estimator.predict(x))}
    one_call = (
        type(estimator).__module__.startswith("sklearn.")
        and type(estimator).__name__ in _LARGEST_PROBABILITY
        and isinstance(classes, np.ndarray)
        and classes.ndim == 1
        and getattr(estimator, "n_outputs_", 1) == 1
    )

    def answer(x: Any) -> dict[str, Array]:
        probabilities = estimator.predict_proba(x)
        if one_call and classes is not None:
            return {"label": classes.take(np.argmax(probabilities, axis=1)), "probabilities": _floats(probabilities)}
        label = _array(estimator.predict(x))
        if label.shape[1:] == (1,) and isinstance(classes, np.ndarray) and classes.ndim == 1:
            label = label[:, 0]  # as CatBoost has it, where there are several classes
        if isinstance(probabilities, list):  # several targets, each with classes of its own
            named = {f"probabilities_{target}": _floats(each) for target, each in enumerate(probabilities)}
            return {"label": label, **named}
        return {"label": label, "probabilities": _floats(probabilities)}

    return answer


def _outliers(estimator: Any) -> Answers:
    score = getattr(estimator, "decision_function", None) or getattr(estimator, "score_samples", None)

    def answer(x: Any) -> dict[str, Array]:
        label = _array(estimator.predict(x))
        return {"label": label} if score is None else {"label": label, "score": _floats(score(x))}

    return answer


def _array(value: Any) -> Array:
    """Dense, from a sparse matrix or a DataFrame too."""
    if hasattr(value, "toarray"):
        value = value.toarray()
    return np.asarray(value)


def _floats(value: Any) -> Array:
    array = _array(value)
    return array.astype(np.float64, copy=False) if array.dtype.kind in "fiub" else array
