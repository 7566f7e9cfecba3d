"""XGBoost models from files and from live objects."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from foretell.backends.artefact_bytes import check_digest
from foretell.backends.artefact_file import Artefact
from foretell.backends.opened import Opened
from foretell.backends.xgboost.file import read_xgboost
from foretell.backends.xgboost.model import XgboostModel, import_xgboost
from foretell.config import ModelSettings
from foretell.errors import InvalidModel
from foretell.model import Model


def open_xgboost(path: Path, settings: ModelSettings) -> Opened:
    """A .ubj or .json file, read once: what is checked is what is opened. Raises `InvalidModel`, `UnsafeModel` for
    another digest than `settings.sha256`, `InvalidSetting`, `Unavailable`."""
    artefact = Artefact.read(path)
    check_digest(artefact.digest, settings.sha256, path)
    found = read_xgboost(artefact.data, str(path))
    return Opened(
        model=XgboostModel(artefact.data, found, path.name, settings),
        name=path.stem,
        digest=artefact.digest,
        source=str(path),
        framework="xgboost",
        size_bytes=len(artefact.data),
        passes=(),
    )


def live_xgboost(value: Any, settings: ModelSettings, where: str, example: object = None) -> Model:
    """A Booster or a fitted estimator, copied: what becomes of it later does not change the model.

    Raises `InvalidModel` for anything else.
    """
    xgboost = import_xgboost()
    kind, missing = "", np.nan
    if isinstance(value, xgboost.XGBModel):
        kind = "ranker" if isinstance(value, xgboost.XGBRanker) else "regressor"
        kind = "classifier" if isinstance(value, xgboost.XGBClassifier) else kind
        missing = np.nan if value.missing is None else float(value.missing)
        if not value.__sklearn_is_fitted__():
            name = type(value).__name__
            raise InvalidModel(f"{name} is not fitted", where=where, fix="call fit before you hand it over")
        value = value.get_booster()
    if not isinstance(value, xgboost.Booster):
        expected = "a Booster, or a fitted XGBClassifier, XGBRegressor or XGBRanker"
        raise InvalidModel("this is no model of XGBoost", where=where, expected=expected, got=type(value).__name__)
    data = bytes(value.save_raw("ubj"))
    found = read_xgboost(data, where)
    return XgboostModel(data, found.of_estimator(kind) if kind else found, where, settings, missing=missing)
