"""Scikit-learn estimators as models, and the flowers that they are asked about."""

from __future__ import annotations

from typing import Any

import live_models
from sklearn.datasets import load_iris

from foretell.columns import Batch
from foretell.forms.values import to_numpy

X, Y = load_iris(return_X_y=True)


def answer(estimator: Any, rows: Any = X) -> dict[str, Any]:
    """Arrays by output. `estimator`: a loaded model, or what is to be loaded first."""
    done = live_models.answer(estimator, Batch.of(input=rows))
    return {name: to_numpy(column) for name, column in done.columns.items()}
