"""XGBoost models: Boosters from files, live ones, and the estimators of its scikit-learn interface."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from foretell.backends.array_model import ArrayModel, Arrays
from foretell.backends.category_columns import Categories, matrix
from foretell.backends.class_answers import Answers, softmax
from foretell.backends.feeds import Feed
from foretell.backends.model_settings import refuse_tuning
from foretell.backends.xgboost.file import XgboostFile
from foretell.backends.xgboost.native import Predict, first_line
from foretell.columns import Array, Batch, Column
from foretell.config import ModelSettings
from foretell.cores import usable_cores
from foretell.errors import InferenceError, InvalidInput, InvalidModel, ModelError, RowError, Unavailable
from foretell.extras import needs
from foretell.types import DataType, ModelSpec, TensorSpec
from foretell.warning_filters import within

_PART_ROWS = 1024
"""Fewer are not worth a thread of their own: they take half a millisecond."""


class XgboostModel(ArrayModel):
    """Inputs: `input` FP32 [rows, n], NaN where a value is missing; or, where the model brings categories, one tensor
    [rows] for each column. Outputs: see `answers_of`.

    Trees answer from any number of threads, as XGBoost documents; a linear model from one at a time. Large calls are
    divided among `threads` threads: XGBoost's own wait for each other longer than a row takes.
    """

    def __init__(
        self, data: bytes, found: XgboostFile, where: str, settings: ModelSettings, *, missing: float = np.nan
    ) -> None:
        super().__init__(where, settings)
        refuse_tuning(settings, "XGBoost", takes=("threads",))
        self._data, self._found, self._missing = data, found, missing
        self._answers, self._margin = answers_of(found)
        self._names = found.names or tuple(f"f{number}" for number in range(found.features))
        told = zip(self._names, found.categories or (), strict=False)
        self._categories = {
            name: Categories(name, values, unknown="error") for name, values in told if values is not None
        }
        self._threads = settings.threads or usable_cores()
        self._predict: Callable[[Array], Array] | None = None
        self._pool: ThreadPoolExecutor | None = None

    def load(self, device: str) -> None:
        """Raises `Unavailable` for another device than the CPU, `InvalidModel` where the library refuses the model,
        `MissingExtra` without it."""
        if device != "cpu":
            raise Unavailable("XGBoost models run on the CPU", where=self._where, expected="cpu", got=device)
        booster = _booster(self._data, self._found, self._where, self._linear_threads)
        self._data = b""
        stop = 0 if self._found.best_iteration is None or not self._found.estimator else self._found.best_iteration + 1
        if self._found.booster == "gblinear":
            self._predict = _linear(booster, missing=self._missing, margin=self._margin, threads=self._threads)
        else:
            self._predict = Predict(booster, missing=self._missing, stop=stop, margin=self._margin)
            self._pool = ThreadPoolExecutor(self._threads, "foretell-xgboost") if self._threads > 1 else None
        spec = ModelSpec(
            inputs=self._inputs(),
            outputs=self._answers.specs(),
            concurrent=self._found.booster != "gblinear",
            labels=self._answers.labels(),
            features={"input": self._found.names} if self._found.names and not self._categories else None,
        )
        self._run({each.name: self._zeros(each) for each in spec.inputs or ()})  # what it cannot do, it tells now
        self._loaded(spec)

    @property
    def _linear_threads(self) -> int:
        """Of XGBoost itself: trees have ours."""
        return self._threads if self._found.booster == "gblinear" else 1

    def _inputs(self) -> tuple[TensorSpec, ...]:
        if not self._categories:
            return (TensorSpec("input", DataType.FP32, (self._found.features,)),)
        number = DataType.FP32
        return tuple(
            self._categories[name].spec(number) if name in self._categories else TensorSpec(name, number, ())
            for name in self._names
        )

    def _zeros(self, spec: TensorSpec) -> Array:
        return np.zeros((1, *(size or 0 for size in spec.shape or ())), np.float32)

    def _usual_feeds(self, batch: Batch) -> Arrays | None:
        return None if self._categories else super()._usual_feeds(batch)

    def _feed(self, column: Column, spec: TensorSpec, errors: dict[int, RowError]) -> Feed:
        categories = self._categories.get(spec.name)
        return super()._feed(column, spec, errors) if categories is None else categories.codes(column, errors)

    def _call(self, feeds: Arrays) -> Arrays:
        rows = matrix(feeds, self._names, np.dtype(np.float32)) if self._categories else feeds["input"]
        predict, pool = self._predict, self._pool
        if predict is None:
            raise ModelError("the model is closed", where=self._where)
        if rows.shape[1] != self._found.features:
            raise InvalidInput("wrong number of features", expected=self._found.features, got=rows.shape[1])
        rows = np.require(rows, requirements="A")  # XGBoost refuses what lies behind a head of any length in a body
        if pool is None or len(rows) < 2 * _PART_ROWS:
            raw = predict(rows)
        else:
            count = min(self._threads, len(rows) // _PART_ROWS)
            raw = np.concatenate(list(pool.map(predict, np.array_split(rows, count))))
        return self._answers.of(softmax(raw) if self._found.objective == "multi:softmax" else raw)

    def _raised(self, error: Exception) -> InferenceError:
        if isinstance(error, ValueError):
            return InvalidInput(f"XGBoost refuses the input: {first_line(str(error))}", where=self._where)
        return super()._raised(error)

    def _unload(self) -> None:
        self._predict, self._data = None, b""
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None

    def _variant(self) -> Mapping[str, str]:
        import xgboost

        return {"xgboost": xgboost.__version__, "numpy": np.__version__}


def answers_of(found: XgboostFile) -> tuple[Answers, bool]:
    """The outputs, all FP32, and whether they come from what the trees add up to.

    Classifiers: `label` INT64 and `probabilities`; of several targets, one of each for every target. Hinge: `label`
    alone. Rankers: `score`. `binary:logitraw`: `margin`. Everything else: `prediction`.
    """
    width = max(found.classes, 1) * found.targets
    several, kind, objective = width if width > 1 else 0, DataType.FP32, found.objective
    if found.estimator == "ranker" or objective.startswith("rank:"):
        return Answers("numbers", kind, "score", several), False
    if objective == "binary:logitraw":
        return Answers("numbers", kind, "margin", several), False
    if found.estimator == "regressor":
        return Answers("numbers", kind, "prediction", several), False
    if objective == "binary:logistic":
        return Answers("targets", kind, width=several) if several else Answers("binary", kind), False
    if objective == "binary:hinge" and not several:
        return Answers("codes", kind), False
    if objective in ("multi:softprob", "multi:softmax"):
        return Answers("classes", kind, width=width), objective == "multi:softmax"
    return Answers("numbers", kind, "prediction", several), False


def import_xgboost() -> Any:
    """Raises `MissingExtra` where it is not installed."""
    with needs("xgboost", "xgboost", "an XGBoost model"):
        import xgboost
    return xgboost


def _booster(data: bytes, found: XgboostFile, where: str, threads: int) -> Any:
    xgboost = import_xgboost()
    runtime = f"XGBoost {xgboost.__version__}"
    if int(found.version.partition(".")[0] or 0) > int(xgboost.__version__.partition(".")[0]):
        fix = "install that version"
        raise InvalidModel(f"made with XGBoost {found.version}, newer than {runtime}", where=where, fix=fix)
    booster = xgboost.Booster({"nthread": threads, "verbosity": 0})
    try:
        with within(warnings.catch_warnings(action="ignore")):
            booster.load_model(bytearray(data))
    except Exception as error:
        text = first_line(str(error))[:200]
        raise InvalidModel(f"{runtime} refuses the model made with {found.version}: {text}", where=where) from error
    return booster


def _linear(booster: Any, *, missing: float, margin: bool, threads: int) -> Callable[[Array], Array]:
    """Linear models take no arrays as they are."""
    from xgboost import DMatrix

    def predict(rows: Array) -> Array:
        data = DMatrix(rows, missing=missing, nthread=threads)
        found: Array = booster.predict(data, output_margin=margin, validate_features=False)
        return found

    return predict
