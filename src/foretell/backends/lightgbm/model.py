"""LightGBM models: Boosters from files, live ones, and the estimators of its scikit-learn interface."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from foretell.backends.array_model import ArrayModel, Arrays
from foretell.backends.category_columns import Categories, matrix
from foretell.backends.class_answers import Answers
from foretell.backends.feeds import Feed
from foretell.backends.lightgbm.file import LightgbmFile
from foretell.backends.model_settings import refuse_tuning
from foretell.columns import Array, Batch, Column
from foretell.config import ModelSettings
from foretell.cores import usable_cores
from foretell.errors import InvalidModel, ModelError, RowError, Unavailable
from foretell.extras import needs
from foretell.types import DataType, ModelSpec, TensorSpec

_FEW_ROWS = 256
"""As many take less on one thread than it takes to wake others."""


class LightgbmModel(ArrayModel):
    """Inputs: `input` FP64 [rows, n], NaN where a value is missing; or, of a model that was trained on pandas'
    categories, one tensor [rows] for each column, where a category that is not known counts as missing. Outputs: see
    `answers_of`. One call at a time: LightGBM keeps numbers of a call in the model.
    """

    def __init__(
        self, found: LightgbmFile, where: str, settings: ModelSettings, *, classes: Array | None = None
    ) -> None:
        super().__init__(where, settings)
        refuse_tuning(settings, "LightGBM", takes=("threads",))
        self._found = found
        self._answers = answers_of(found, classes)
        self._categories = {name: Categories(name, values) for name, values in (found.categories or {}).items()}
        self._threads = settings.threads or usable_cores()
        self._booster: Any = None

    def load(self, device: str) -> None:
        """Raises `Unavailable` for another device than the CPU, `InvalidModel` where the library refuses the model,
        `MissingExtra` without it."""
        if device != "cpu":
            raise Unavailable("LightGBM models run on the CPU", where=self._where, expected="cpu", got=device)
        lightgbm = import_lightgbm()
        try:
            self._booster = lightgbm.Booster(model_str=self._found.text)
        except Exception as error:
            text = " ".join(str(error).split())[:200]
            raise InvalidModel(f"LightGBM {lightgbm.__version__} refuses it: {text}", where=self._where) from error
        self._found = replace(self._found, text="")
        names = self._found.names
        spec = ModelSpec(
            inputs=self._inputs(),
            outputs=self._answers.specs(),
            labels=self._answers.labels(),
            features={"input": names} if not self._categories and not _made_up(names) else None,
        )
        self._run({each.name: np.zeros((1, *(size or 0 for size in each.shape or ()))) for each in spec.inputs or ()})
        self._loaded(spec)

    def _inputs(self) -> tuple[TensorSpec, ...]:
        number, names = DataType.FP64, self._found.names
        if not self._categories:
            return (TensorSpec("input", number, (len(names),)),)
        return tuple(
            self._categories[name].spec(number) if name in self._categories else TensorSpec(name, number, ())
            for name in names
        )

    def _usual_feeds(self, batch: Batch) -> Arrays | None:
        return None if self._categories else super()._usual_feeds(batch)

    def _feed(self, column: Column, spec: TensorSpec, errors: dict[int, RowError]) -> Feed:
        categories = self._categories.get(spec.name)
        return super()._feed(column, spec, errors) if categories is None else categories.codes(column, errors)

    def _call(self, feeds: Arrays) -> Arrays:
        rows = matrix(feeds, self._found.names, np.dtype(np.float64)) if self._categories else feeds["input"]
        if self._booster is None:
            raise ModelError("the model is closed", where=self._where)
        threads = 1 if len(rows) <= _FEW_ROWS else self._threads
        return self._answers.of(self._booster.predict(rows, num_iteration=-1, num_threads=threads))

    def _unload(self) -> None:
        self._booster = None

    def _variant(self) -> Mapping[str, str]:
        import lightgbm

        return {"lightgbm": lightgbm.__version__, "numpy": np.__version__}


def answers_of(found: LightgbmFile, classes: Array | None) -> Answers:
    """The outputs, all FP64: `label` and `probabilities` of binary and multiclass objectives, `score` of rankings,
    `margin` of an objective of the user's own, `prediction` of all others. `classes`: what the labels are."""
    several, kind = found.classes if found.classes > 1 else 0, DataType.FP64
    if classes is not None and len(classes) != (several or 2):
        classes = None
    if found.objective == "binary":
        return Answers("binary", kind, classes=classes)
    if found.objective in ("multiclass", "multiclassova"):
        return Answers("classes", kind, width=found.classes, classes=classes)
    if found.objective in ("lambdarank", "rank_xendcg"):
        return Answers("numbers", kind, "score")
    return Answers("numbers", kind, "prediction" if found.objective else "margin", several)


def import_lightgbm() -> Any:
    """Raises `MissingExtra` where it is not installed."""
    with needs("lightgbm", "lightgbm", "a LightGBM model"):
        import lightgbm
    return lightgbm


def _made_up(names: tuple[str, ...]) -> bool:
    """Whether LightGBM has named the columns itself."""
    return names == tuple(f"Column_{number}" for number in range(len(names)))
