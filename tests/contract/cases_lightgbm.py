"""Models of LightGBM, live and in files."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from boosted import FLOWERS, PATIENTS, PROGRESS, SPECIES, answers, columns, towns
from contract_case import Case
from lightgbm_here import lightgbm

from foretell.backends import open_model
from foretell.columns import Batch
from foretell.config import ModelSettings

ROWS = FLOWERS[::30]
QUIET = {"verbose": -1, "n_jobs": 1}


def cases() -> list[Case]:
    return [
        case("lightgbm-binary-txt", lambda: classes(two=True), ROWS, saved),
        case("lightgbm-classes-live", lambda: classes(two=False), ROWS, live),
        case("lightgbm-regressor", progress, PATIENTS[:6], live),
        categories(),
    ]


def live(estimator: Any, folder: Path) -> Any:
    return open_model(estimator, ModelSettings(threads=1))


def saved(estimator: Any, folder: Path) -> Any:
    path = folder / "model.txt"
    estimator.booster_.save_model(path)
    return open_model(path, ModelSettings(threads=1))


def case(name: str, made: Callable[[], Any], rows: Any, opened: Callable[[Any, Path], Any]) -> Case:
    expected = answers(made(), rows)
    return Case(name=name, open=lambda folder: opened(made(), folder), batch=Batch.of(input=rows), expected=expected)


@cache
def classes(*, two: bool) -> Any:
    names = np.array(["a", "b", "c"])[SPECIES]
    return lightgbm.LGBMClassifier(n_estimators=4, **QUIET).fit(FLOWERS, (SPECIES > 0).astype(int) if two else names)


@cache
def progress() -> Any:
    return lightgbm.LGBMRegressor(n_estimators=4, **QUIET).fit(PATIENTS, PROGRESS)


def categories() -> Case:
    frame, answer = towns()
    made = cache(lambda: lightgbm.LGBMClassifier(n_estimators=4, min_data_per_group=5, **QUIET).fit(frame, answer))
    rows = frame.dropna()[:8]
    return Case(
        name="lightgbm-categories",
        open=lambda folder: saved(made(), folder),
        batch=columns(rows),
        expected=answers(made(), rows),
    )
