"""CatBoost models, from files and live."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from foretell.backends.array_model import ArrayModel, Arrays
from foretell.backends.catboost.file import CatboostFile
from foretell.backends.class_answers import Answers, label_classes
from foretell.backends.model_settings import refuse_tuning
from foretell.columns import Array
from foretell.config import ModelSettings
from foretell.cores import usable_cores
from foretell.errors import InferenceError, InvalidInput, InvalidModel, ModelError, Unavailable
from foretell.extras import needs
from foretell.types import DataType, ModelSpec, TensorSpec

_FEW_ROWS, _HALF = 256, 0.5
_BINARY, _CLASSES = ("Logloss", "CrossEntropy", "Focal"), ("MultiClass", "MultiClassOneVsAll")
_TARGETS, _EXPONENTS = ("MultiLogloss", "MultiCrossEntropy"), ("Poisson", "Tweedie")
_RANKINGS = (
    "YetiRank", "YetiRankPairwise", "PairLogit", "PairLogitPairwise", "QueryRMSE", "QuerySoftMax", "QueryCrossEntropy",
    "StochasticFilter", "StochasticRank", "LambdaMart", "GroupQuantile",
)  # fmt: skip


class CatboostModel(ArrayModel):
    """Inputs: `input` FP32 [rows, n], NaN where a value is missing; or, of a model with categories, one tensor [rows]
    for each column, of texts where it is a category. Outputs: see `answers_of`. One call at a time: CatBoost says
    nothing of threads that share a model in Python.
    """

    def __init__(self, found: CatboostFile, where: str, settings: ModelSettings) -> None:
        super().__init__(where, settings)
        refuse_tuning(settings, "CatBoost", takes=("threads",))
        self._found = found
        self._answers, self._kind = answers_of(found)
        self._names = tuple(name or str(at) for at, name in enumerate(found.names))
        self._threads = settings.threads or usable_cores()
        self._predictor: Any = None

    def load(self, device: str) -> None:
        """Raises `Unavailable` for another device than the CPU, `InvalidModel` where the library refuses the model,
        `MissingExtra` without it."""
        if device != "cpu":
            raise Unavailable("CatBoost models run on the CPU", where=self._where, expected="cpu", got=device)
        catboost = import_catboost()
        predictor = catboost.CatBoost()
        try:
            predictor.load_model(blob=self._found.data)
        except Exception as error:
            text = " ".join(str(error).split())[:200]
            raise InvalidModel(f"CatBoost {catboost.__version__} refuses it: {text}", where=self._where) from error
        self._predictor, self._found = predictor, replace(self._found, data=b"")
        given = any(self._found.names) and self._names != tuple(map(str, range(len(self._names))))
        spec = ModelSpec(
            inputs=self._inputs(),
            outputs=self._answers.specs(),
            labels=self._answers.labels(),
            features={"input": self._names} if given and not self._found.categories else None,
        )
        self._run({each.name: _blank(each) for each in spec.inputs or ()})
        self._loaded(spec)

    def _inputs(self) -> tuple[TensorSpec, ...]:
        if not self._found.categories:
            return (TensorSpec("input", DataType.FP32, (len(self._names),)),)
        chosen = self._found.categories
        return tuple(
            TensorSpec(name, DataType.BYTES, (), category=True) if at in chosen else TensorSpec(name, DataType.FP32, ())
            for at, name in enumerate(self._names)
        )

    def _call(self, feeds: Arrays) -> Arrays:
        if self._predictor is None:
            raise ModelError("the model is closed", where=self._where)
        rows = self._table(feeds) if self._found.categories else feeds["input"]
        threads = 1 if len(rows) <= _FEW_ROWS else self._threads
        raw = self._predictor.predict(rows, prediction_type=self._kind, thread_count=threads)
        return self._answers.of(raw, self._chosen(rows, threads))

    def _chosen(self, rows: Array, threads: int) -> Array | None:
        """Of two classes, those that CatBoost chooses where they have a threshold of their own: it compares what the
        trees add up to, which a probability does not tell to the last bit."""
        if self._found.threshold == _HALF or self._found.classes is None or len(self._found.classes) != 2:
            return None
        names = self._predictor.predict(rows, prediction_type="Class", thread_count=threads)
        second = str(self._found.classes[1])
        return np.array([str(name) == second for name in np.reshape(names, -1)], np.int64)

    def _table(self, feeds: Arrays) -> Array:
        rows = np.empty((len(feeds[self._names[0]]), len(self._names)), object)
        for at, name in enumerate(self._names):
            rows[:, at] = feeds[name]
        return rows

    def _raised(self, error: Exception) -> InferenceError:
        if type(error).__name__ == "CatBoostError":
            text = str(error).strip().partition("\n")[0]
            return InvalidInput(f"CatBoost refuses the input: {text}", where=self._where)
        return super()._raised(error)

    def _unload(self) -> None:
        self._predictor = None

    def _variant(self) -> Mapping[str, str]:
        import catboost

        return {"catboost": catboost.__version__, "numpy": np.__version__}


def answers_of(found: CatboostFile) -> tuple[Answers, str]:
    """The outputs, all FP64, and CatBoost's word for what it has to compute.

    Classifiers: `label` and `probabilities`; of several targets, one of each for every target. Rankings: `score`. An
    objective of the user's own: `margin`. Everything else: `prediction`, as `CatBoostRegressor.predict` gives it.
    """
    loss, kind = found.loss, DataType.FP64
    classes = label_classes(found.classes) if found.classes is not None else None
    several = found.width if found.width > 1 else 0
    if loss in _TARGETS:
        return Answers("targets", kind, width=found.width), "Probability"
    if loss in _CLASSES or (loss in _BINARY and found.width > 1):
        fits = classes is not None and len(classes) == found.width
        return Answers("classes", kind, width=found.width, classes=classes if fits else None), "Probability"
    if loss in _BINARY:
        return Answers("classes", kind, width=2, classes=classes), "Probability"
    if loss in _RANKINGS:
        return Answers("numbers", kind, "score", several), "RawFormulaVal"
    if loss in _EXPONENTS:
        return Answers("numbers", kind, width=several), "Exponent"
    if loss == "RMSEWithUncertainty":
        return Answers("numbers", kind, width=2), loss
    name = "margin" if loss.startswith("PythonUserDefined") else "prediction"
    return Answers("numbers", kind, name, several), "RawFormulaVal"


def import_catboost() -> Any:
    """Raises `MissingExtra` where it is not installed."""
    with needs("catboost", "catboost", "a CatBoost model"):
        import catboost
    return catboost


def _blank(spec: TensorSpec) -> Array:
    if spec.datatype is DataType.BYTES:
        return np.array([""], object)
    return np.zeros((1, *(size or 0 for size in spec.shape or ())), np.float32)
