"""scikit-learn estimators, live and in files."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import skops.io
from contract_case import Case
from sklearn.cluster import KMeans
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_diabetes, load_iris
from sklearn.ensemble import HistGradientBoostingRegressor, IsolationForest, RandomForestClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from foretell.backends import open_model
from foretell.backends.opened import Opened
from foretell.columns import Batch, Bytes, Dense
from foretell.config import ModelSettings

WORDS = ["good film", "bad film", "good, good", "bad", "a film"]


@cache
def flowers() -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    """The iris frame, its species as numbers and as names."""
    data = load_iris(as_frame=True)
    return data.data, data.target.to_numpy(), data.target_names[data.target]


def cases() -> list[Case]:
    return [
        classifier("logistic", make_pipeline(StandardScaler(), LogisticRegression()), names=False),
        classifier("forest", RandomForestClassifier(5, random_state=0), names=True),
        classifier("skops", make_pipeline(StandardScaler(), LogisticRegression()), names=True, save=saved_skops),
        classifier("joblib", LogisticRegression(max_iter=1000), names=True, save=saved_joblib),
        in_place(names=False),
        in_place(names=True),
        fitted_on_frame(),
        regressor("several", Ridge(), several=True),
        regressor("boosting", HistGradientBoostingRegressor(max_iter=5), several=False),
        clusters(),
        outliers(),
        text(),
        mixed_table(),
    ]


def live(estimator: Any, folder: Path) -> Opened:
    return open_model(estimator, ModelSettings())


def saved_skops(estimator: Any, folder: Path) -> Opened:
    path = folder / "iris.skops"
    skops.io.dump(estimator, path)
    return open_model(path, ModelSettings())


def saved_joblib(estimator: Any, folder: Path) -> Opened:
    path = folder / "iris.joblib"
    joblib.dump(estimator, path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return open_model(path, ModelSettings(allow_pickle=True, sha256=digest))


def case(
    name: str,
    estimator: Any,
    batch: Batch,
    expected: dict[str, Any],
    save: Callable[[Any, Path], Opened] = live,
) -> Case:
    return Case(name=f"sklearn-{name}", open=lambda folder: save(estimator, folder), batch=batch, expected=expected)


def answers(estimator: Any, rows: Any) -> dict[str, Any]:
    return {"label": estimator.predict(rows).tolist(), "probabilities": estimator.predict_proba(rows)}


def classifier(name: str, estimator: Any, *, names: bool, save: Callable[[Any, Path], Opened] = live) -> Case:
    frame, numbers, species = flowers()
    estimator.fit(frame.to_numpy(), species if names else numbers)
    rows = frame.to_numpy()[::30]
    return case(name, estimator, Batch.of(input=rows), answers(estimator, rows), save)


def in_place(*, names: bool) -> Case:
    """Its first step writes into whatever it is handed."""
    frame, numbers, _ = flowers()
    data = frame if names else frame.to_numpy()
    estimator = make_pipeline(StandardScaler(copy=False), LogisticRegression()).fit(data.copy(), numbers)
    rows = frame.to_numpy()[::30].copy()
    label, probabilities = (ask(data[::30].copy()) for ask in (estimator.predict, estimator.predict_proba))
    expected = {"label": label.tolist(), "probabilities": probabilities}
    return case(f"in-place{'-named' if names else ''}", estimator, Batch.of(input=rows), expected)


def fitted_on_frame() -> Case:
    frame, numbers, _ = flowers()
    estimator = make_pipeline(ColumnTransformer([("s", StandardScaler(), list(frame))]), LogisticRegression())
    estimator.fit(frame, numbers)
    rows = frame.iloc[::30]
    return case("fitted-on-frame", estimator, Batch.of(input=rows.to_numpy()), answers(estimator, rows))


def regressor(name: str, estimator: Any, *, several: bool) -> Case:
    x, y = load_diabetes(return_X_y=True)
    estimator.fit(x, np.stack([y, -y], axis=1) if several else y)
    return case(name, estimator, Batch.of(input=x[:6]), {"prediction": estimator.predict(x[:6])})


def clusters() -> Case:
    frame, _, _ = flowers()
    rows = frame.to_numpy()
    estimator = KMeans(3, n_init=1, random_state=0).fit(rows)
    return case("clusters", estimator, Batch.of(input=rows[::30]), {"label": estimator.predict(rows[::30])})


def outliers() -> Case:
    rows = flowers()[0].to_numpy()
    estimator = IsolationForest(n_estimators=5, random_state=0).fit(rows)
    chosen = rows[::30]
    expected = {"label": estimator.predict(chosen), "score": estimator.decision_function(chosen)}
    return case("outliers", estimator, Batch.of(input=chosen), expected)


def text() -> Case:
    estimator = make_pipeline(TfidfVectorizer(), LogisticRegression())
    estimator.fit(["good film", "bad film", "good", "bad"], ["pos", "neg", "pos", "neg"])
    return case("text", estimator, Batch({"text": Bytes.of(WORDS)}, len(WORDS)), answers(estimator, WORDS))


def mixed_table() -> Case:
    frame = pd.DataFrame({"age": [20.0, 31.0, 45.0, 52.0], "town": ["York", "Bath", "York", "Ely"]})
    columns = ColumnTransformer(
        [
            ("age", make_pipeline(SimpleImputer(), StandardScaler()), ["age"]),
            ("town", OneHotEncoder(handle_unknown="ignore"), ["town"]),
        ]
    )
    estimator = make_pipeline(columns, LogisticRegression()).fit(frame, [0, 1, 0, 1])
    batch = Batch({"age": Dense(frame["age"].to_numpy()), "town": Bytes.of(frame["town"].tolist())}, 4)
    return case("mixed-table", estimator, batch, answers(estimator, frame))
