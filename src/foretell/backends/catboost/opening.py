"""CatBoost models from files and from live objects."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from foretell.backends.artefact_bytes import check_digest
from foretell.backends.artefact_file import Artefact
from foretell.backends.catboost.file import read_catboost
from foretell.backends.catboost.model import CatboostModel, import_catboost
from foretell.backends.opened import Opened
from foretell.config import ModelSettings
from foretell.errors import InvalidModel
from foretell.model import Model


def open_catboost(path: Path, settings: ModelSettings) -> Opened:
    """A .cbm file, read once: what is checked is what is opened. Raises `InvalidModel`, `UnsafeModel` for another
    digest than `settings.sha256`, `InvalidSetting`, `Unavailable`."""
    artefact = Artefact.read(path)
    check_digest(artefact.digest, settings.sha256, path)
    return Opened(
        model=CatboostModel(read_catboost(artefact.data, str(path)), path.name, settings),
        name=path.stem,
        digest=artefact.digest,
        source=str(path),
        framework="catboost",
        size_bytes=len(artefact.data),
        passes=(),
    )


def live_catboost(value: Any, settings: ModelSettings, where: str, example: object = None) -> Model:
    """A fitted model, copied: what becomes of it later does not change ours. Raises `InvalidModel` for anything
    else."""
    catboost = import_catboost()
    if not isinstance(value, catboost.CatBoost):
        expected = "a fitted CatBoostClassifier, CatBoostRegressor, CatBoostRanker or CatBoost"
        raise InvalidModel("this is no model of CatBoost", where=where, expected=expected, got=type(value).__name__)
    if not value.is_fitted():
        name = type(value).__name__
        raise InvalidModel(f"{name} is not fitted", where=where, fix="call fit before you hand it over")
    with tempfile.TemporaryDirectory(prefix="foretell-") as folder:
        value.save_model(f"{folder}/model.cbm")
        data = Path(folder, "model.cbm").read_bytes()
    return CatboostModel(read_catboost(data, where), where, settings)
