"""What an XGBoost model says of itself, read and checked before the native library sees it.

XGBoost follows the numbers of a file from node to node and into tables without looking whether they are inside: a
damaged or planted file ends the process. The fields: https://xgboost.readthedocs.io/en/stable/tutorials/saving_model.html
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from foretell.backends.artefact_file import look
from foretell.backends.forest_shape import NotTrees, whole_number
from foretell.backends.xgboost.forest import check_forest, check_linear
from foretell.backends.xgboost.ubj import UbjError, read_ubj
from foretell.errors import InvalidModel

_MOST_FEATURES = 2**24
_MOST_GROUPS = 100_000
_OLD = "if it is of the binary form of old, load it in XGBoost 3.0 or older and save it as NAME.ubj"
_WHOLE_NAMES = (3, 4)
"""Versions before count letters where they should count bytes, and cut the names of categories in other places:
https://github.com/dmlc/xgboost/pull/12371"""
_NUMBER = re.compile(r"[-+]?[0-9.]+(?:[eE][-+]?[0-9]+)?|[-+]?(?:inf|nan)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class XgboostFile:
    """`booster`: "gbtree", "dart" or "gblinear". `categories`: of each feature, None where it is a number; None where
    no feature brings any. `best_iteration`: None where training has not stopped early. `estimator`: "classifier",
    "regressor" or "ranker" where scikit-learn's interface has saved it, else ""."""

    booster: str
    objective: str
    classes: int
    targets: int
    features: int
    names: tuple[str, ...] | None
    categories: tuple[tuple[Any, ...] | None, ...] | None
    best_iteration: int | None
    estimator: str
    version: str

    def of_estimator(self, kind: str) -> XgboostFile:
        return replace(self, estimator=kind)


def read_xgboost(data: bytes, where: str) -> XgboostFile:
    """Raises `InvalidModel` for what is no XGBoost model, or one that would lead the library astray."""
    expected = "a model that Booster.save_model or XGBModel.save_model wrote"
    try:
        told = _told(_parsed(data))
    except (UbjError, NotTrees) as error:
        raise InvalidModel(f"not a whole XGBoost model: {error}", where=where, expected=expected) from error
    except (KeyError, TypeError, ValueError, IndexError, OverflowError, AttributeError, RecursionError) as error:
        got = look(data[:64])
        got = "" if got in ("no known format", "JSON") else got
        what = f"not an XGBoost model: {type(error).__name__} where it is read: {str(error)[:80]}"
        fix = "" if data.lstrip()[:1] == b"{" else _OLD
        raise InvalidModel(what, where=where, expected=expected, got=got, fix=fix) from error
    _check_names(told, where)
    return told


def _check_names(found: XgboostFile, where: str) -> None:
    """Raises `InvalidModel` where nobody can know which category is which."""
    version = tuple(int(part) for part in found.version.split(".")[:2])
    for at, values in enumerate(found.categories or ()):
        if version < _WHOLE_NAMES and any(isinstance(each, str) and not each.isascii() for each in values or ()):
            name = found.names[at] if found.names else at
            raise InvalidModel(
                f"XGBoost {found.version} has cut the names of the categories of {name!r} in wrong places, as it does "
                "where they are not ASCII: which is which cannot be known", where=where,
                fix="train it with XGBoost 3.4 or newer, or with other names for these categories",
            )  # fmt: skip


def _parsed(data: bytes) -> Mapping[str, Any]:
    found = read_ubj(data) if data[:2] == b"{L" else json.loads(data, object_pairs_hook=_object)
    if not isinstance(found, dict):
        raise NotTrees("it holds no object")
    return found


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise NotTrees("a name stands twice in one object")
    return made


def _told(found: Mapping[str, Any]) -> XgboostFile:
    learner = found["learner"]
    params, booster, objective = learner["learner_model_param"], learner["gradient_booster"], learner["objective"]
    features, classes, targets = (_count(params, key) for key in ("num_feature", "num_class", "num_target"))
    if not 0 < features <= _MOST_FEATURES or classes > _MOST_GROUPS or not 0 < targets <= _MOST_GROUPS:
        raise NotTrees(f"{features} features, {classes} classes and {targets} targets cannot be")
    groups = max(classes, 1) * targets
    bias = _NUMBER.findall(str(params["base_score"]))
    if len(bias) not in (1, groups):
        raise NotTrees(f"its base_score has not {groups} values but {len(bias)}")
    told = str(objective["name"])
    if told.startswith("multi:") and _count(objective["softmax_multiclass_param"], "num_class") != max(classes, 1):
        raise NotTrees("its objective has another number of classes than its trees")
    names = tuple(str(name) for name in learner.get("feature_names") or ())
    kinds = learner.get("feature_types") or ()
    if len(names) not in (0, features) or len(kinds) not in (0, features):
        raise NotTrees(f"it names {len(names)} of {features} features")
    kind, trees = str(booster["name"]), booster
    categories = None
    if kind == "gblinear":
        check_linear(booster["model"], features, groups)
    elif kind in ("gbtree", "dart"):
        trees = booster["gbtree"] if kind == "dart" else booster
        dropped = booster["weight_drop"] if kind == "dart" else None
        categories = check_forest(trees["model"], dropped, features, groups, targets)
    else:
        raise NotTrees(f"there is no booster {kind[:40]!r}")
    attributes = learner.get("attributes") or {}
    best = attributes.get("best_iteration")
    return XgboostFile(
        booster=kind,
        objective=told,
        classes=classes,
        targets=targets,
        features=features,
        names=names or None,
        categories=categories,
        best_iteration=int(best) if best is not None and str(best).isdecimal() else None,
        estimator=_estimator(attributes),
        version=".".join(str(part) for part in found["version"]),
    )


def _estimator(attributes: Mapping[str, Any]) -> str:
    told = attributes.get("scikit_learn")
    if told is None:
        return ""
    inner = json.loads(told)
    return str(inner.get("_estimator_type") or "estimator") if isinstance(inner, dict) else "estimator"


def _count(params: Mapping[str, Any], key: str) -> int:
    """XGBoost keeps numbers of its parameters as texts. One that is missing, as in older files, counts as 1."""
    return whole_number(params.get(key, "1"), key)
