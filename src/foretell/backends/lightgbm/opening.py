"""LightGBM models from files and from live objects."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from foretell.backends.artefact_bytes import check_digest
from foretell.backends.artefact_file import Artefact
from foretell.backends.class_answers import label_classes
from foretell.backends.lightgbm.file import read_lightgbm
from foretell.backends.lightgbm.model import LightgbmModel, import_lightgbm
from foretell.backends.opened import Opened
from foretell.config import ModelSettings
from foretell.errors import InvalidModel
from foretell.model import Model


def open_lightgbm(path: Path, settings: ModelSettings) -> Opened:
    """A .txt file, read once: what is checked is what is opened. Raises `InvalidModel`, `UnsafeModel` for another
    digest than `settings.sha256`, `InvalidSetting`, `Unavailable`."""
    artefact = Artefact.read(path)
    check_digest(artefact.digest, settings.sha256, path)
    found = read_lightgbm(artefact.data, str(path))
    return Opened(
        model=LightgbmModel(found, path.name, settings),
        name=path.stem,
        digest=artefact.digest,
        source=str(path),
        framework="lightgbm",
        size_bytes=len(artefact.data),
        passes=(),
    )


def live_lightgbm(value: Any, settings: ModelSettings, where: str, example: object = None) -> Model:
    """A Booster or a fitted estimator, copied up to its best iteration, as `predict` uses it.

    Raises `InvalidModel` for anything else.
    """
    lightgbm, classes = import_lightgbm(), None
    if isinstance(value, lightgbm.LGBMModel):
        if not value.__sklearn_is_fitted__():
            name = type(value).__name__
            raise InvalidModel(f"{name} is not fitted", where=where, fix="call fit before you hand it over")
        classes = label_classes(value.classes_) if isinstance(value, lightgbm.LGBMClassifier) else None
        value = value.booster_
    if not isinstance(value, lightgbm.Booster):
        expected = "a Booster, or a fitted LGBMClassifier, LGBMRegressor or LGBMRanker"
        raise InvalidModel("this is no model of LightGBM", where=where, expected=expected, got=type(value).__name__)
    found = read_lightgbm(value.model_to_string().encode(), where)
    return LightgbmModel(found, where, settings, classes=classes)
