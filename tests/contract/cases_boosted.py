"""Models of XGBoost and CatBoost, live and in files."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import catboost
import numpy as np
import xgboost
from boosted import FLOWERS, PATIENTS, PROGRESS, SPECIES, answers, columns, text_columns, towns
from contract_case import Case

from foretell.backends import open_model
from foretell.columns import Batch
from foretell.config import ModelSettings

ROWS = FLOWERS[::30]
SICK = PATIENTS[:6]
SILENT: dict[str, Any] = {"iterations": 4, "verbose": 0, "allow_writing_files": False, "thread_count": 1}


def cases() -> list[Case]:
    return [
        case("xgboost-binary-ubj", two_species, ROWS, saved(".ubj")),
        case("xgboost-classes-json", three_species, ROWS, saved(".json")),
        case("xgboost-classes-live", three_species, ROWS),
        case("xgboost-regressor", progress, SICK),
        case("xgboost-linear", linear, SICK),
        case("xgboost-several-targets", several, SICK),
        xgboost_towns(),
        case("catboost-classes-cbm", catboost_classes, ROWS, saved(".cbm")),
        case("catboost-regressor-live", catboost_progress, SICK),
        catboost_towns(),
    ]


def live(estimator: Any, folder: Path) -> Any:
    return open_model(estimator, ModelSettings(threads=1))


def saved(suffix: str) -> Callable[[Any, Path], Any]:
    def opened(estimator: Any, folder: Path) -> Any:
        path = folder / f"model{suffix}"
        estimator.save_model(path)
        return open_model(path, ModelSettings(threads=1))

    return opened


def case(name: str, made: Callable[[], Any], rows: Any, opened: Callable[[Any, Path], Any] = live) -> Case:
    expected = answers(made(), rows)
    batch = Batch.of(input=rows.astype(np.float32))
    return Case(name=name, open=lambda folder: opened(made(), folder), batch=batch, expected=expected)


@cache
def two_species() -> Any:
    return xgboost.XGBClassifier(n_estimators=4, n_jobs=1).fit(FLOWERS, SPECIES > 0)


@cache
def three_species() -> Any:
    return xgboost.XGBClassifier(n_estimators=4, n_jobs=1).fit(FLOWERS, SPECIES)


@cache
def progress() -> Any:
    return xgboost.XGBRegressor(n_estimators=4, n_jobs=1).fit(PATIENTS, PROGRESS)


@cache
def linear() -> Any:
    return xgboost.XGBRegressor(n_estimators=4, n_jobs=1, booster="gblinear").fit(PATIENTS, PROGRESS)


@cache
def several() -> Any:
    targets = np.stack([PROGRESS, -PROGRESS], axis=1)
    return xgboost.XGBRegressor(n_estimators=4, n_jobs=1, multi_strategy="multi_output_tree").fit(PATIENTS, targets)


def xgboost_towns() -> Case:
    frame, answer = towns()
    made = cache(lambda: xgboost.XGBClassifier(n_estimators=4, n_jobs=1, enable_categorical=True).fit(frame, answer))
    rows = frame.dropna()[:8]
    return Case(
        name="xgboost-categories",
        open=lambda folder: saved(".ubj")(made(), folder),
        batch=columns(rows, np.float32),
        expected=answers(made(), rows),
    )


@cache
def catboost_classes() -> Any:
    return catboost.CatBoostClassifier(**SILENT).fit(FLOWERS, np.array(["a", "b", "c"])[SPECIES])


@cache
def catboost_progress() -> Any:
    return catboost.CatBoostRegressor(grow_policy="Lossguide", **SILENT).fit(PATIENTS, PROGRESS)


def catboost_towns() -> Case:
    frame, answer = towns()
    texts = frame.dropna().astype({"town": str, "floor": str})
    made = cache(
        lambda: catboost.CatBoostClassifier(cat_features=["town", "floor"], **SILENT).fit(texts, answer[texts.index])
    )
    rows = texts[:8]
    return Case(
        name="catboost-categories",
        open=lambda folder: saved(".cbm")(made(), folder),
        batch=text_columns(rows),
        expected=answers(made(), rows),
    )
