"""What estimators tell of their inputs: arrays, frames, mixed tables and text."""

from __future__ import annotations

import pickle
import subprocess
import sys
from typing import Any

import numpy as np
import pandas as pd
import pytest
from estimators import X, Y, answer
from live_models import loaded
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.datasets import load_iris
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.feature_extraction import DictVectorizer, FeatureHasher
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import MultiOutputClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, OrdinalEncoder, StandardScaler

from foretell import Predictor
from foretell.columns import Batch, Bytes, Dense
from foretell.errors import InvalidInput, InvalidModel
from foretell.forms.values import to_numpy, to_python
from foretell.model import Context
from foretell.types import DataType, TensorSpec

FRAME = load_iris(as_frame=True).data


def test_inputs_are_one_row_of_floats() -> None:
    spec = loaded(LogisticRegression(max_iter=1000).fit(X, Y)).spec
    assert spec.inputs == (TensorSpec("input", DataType.FP64, (4,), allow_nan=False),)
    assert spec.features is None and spec.batch == "any" and spec.concurrent


def test_float32_rows_give_the_answers_of_float64() -> None:
    narrow = X.astype(np.float32)
    estimator = make_pipeline(StandardScaler(), LogisticRegression()).fit(X, Y)
    wanted = estimator.predict_proba(narrow.astype(np.float64))
    assert np.array_equal(answer(estimator, narrow)["probabilities"], wanted)


@pytest.mark.parametrize(
    "estimator",
    [
        LogisticRegression(max_iter=1000),
        make_pipeline(StandardScaler(), LogisticRegression()),
        make_pipeline(StandardScaler(), LogisticRegression()).set_output(transform="pandas"),
        make_pipeline(ColumnTransformer([("all", StandardScaler(), list(FRAME.columns))]), LogisticRegression()),
        RandomForestClassifier(3, random_state=0),
        VotingClassifier([("a", GaussianNB())], voting="soft"),
    ],
    ids=["leaf", "pipeline", "pandas output", "columns by name", "forest", "vote"],
)
def test_what_was_fitted_on_a_frame_takes_arrays_without_a_warning(estimator: Any) -> None:
    estimator.fit(FRAME, Y)
    model = loaded(estimator)
    assert model.spec.features == {"input": tuple(FRAME.columns)}
    assert np.array_equal(answer(model)["probabilities"], estimator.predict_proba(FRAME))
    assert list(estimator.feature_names_in_) == list(FRAME.columns), "the user's own estimator is left alone"


def test_what_only_knows_names_at_its_door_needs_no_pandas() -> None:
    code = """
import sys, pickle
class NoPandas:
    def find_spec(self, name, *rest):
        if name == "pandas":
            raise ModuleNotFoundError(name, name=name)
sys.meta_path.insert(0, NoPandas())
estimator = pickle.load(sys.stdin.buffer)
from foretell.backends import open_model; from foretell.config import ModelSettings
from foretell.columns import Batch; from foretell.model import Context; import numpy as np
model = open_model(estimator, ModelSettings()).model
model.load("cpu")
print(model.predict(Batch.of(input=np.ones((2, 4))), Context()).rows)
"""

    def run(estimator: Any) -> subprocess.CompletedProcess[bytes]:
        data = pickle.dumps(estimator.fit(FRAME, Y))
        return subprocess.run(
            [sys.executable, "-W", "error::UserWarning", "-c", code], input=data, capture_output=True, check=False
        )

    done = run(make_pipeline(StandardScaler(), RandomForestClassifier(2)))
    assert done.stdout.strip() == b"2", done.stderr.decode()
    assert b"pip install 'foretell[data]'" in run(VotingClassifier([("a", GaussianNB())])).stderr


TABLE = pd.DataFrame({
    "age": [20.0, 30.0, np.nan, 50.0],
    "town": ["York", "Bath", "York", None],
    "rooms": [1, 2, 3, 4],
    "note": ["", "", "", ""],
})  # fmt: skip


def mixed() -> Any:
    columns = ColumnTransformer([
        ("age", make_pipeline(SimpleImputer(), StandardScaler()), ["age"]),
        ("town", OneHotEncoder(handle_unknown="ignore"), ["town"]),
        ("rooms", "passthrough", ["rooms"]),
    ])  # fmt: skip
    return make_pipeline(columns, LogisticRegression()).fit(TABLE, [0, 1, 0, 1])


def test_a_mixed_table_is_one_tensor_for_each_used_column() -> None:
    assert loaded(mixed()).spec.inputs == (
        TensorSpec("age", DataType.FP64, ()),
        TensorSpec("town", DataType.BYTES, (), nullable=True),
        TensorSpec("rooms", DataType.FP64, (), allow_nan=False),
    )


@pytest.mark.parametrize(
    "around",
    [
        lambda inner: StackingClassifier([("a", inner), ("b", inner)], cv=2),
        lambda inner: VotingClassifier([("a", inner)], voting="soft"),
        lambda inner: CalibratedClassifierCV(inner, cv=2),
        OneVsRestClassifier,
        MultiOutputClassifier,
        lambda inner: TransformedTargetRegressor(make_pipeline(inner[0], Ridge()), transformer=StandardScaler()),
    ],
    ids=["stack", "vote", "calibrated", "one against the rest", "targets", "transformed target"],
)
def test_what_is_around_a_pipeline_takes_its_table(around: Any) -> None:
    table, classes = pd.concat([TABLE] * 3, ignore_index=True), np.array([0, 1, 0, 1] * 3)
    estimator = around(mixed())
    estimator.fit(table, classes[:, None] if isinstance(estimator, MultiOutputClassifier) else classes)
    assert [(each.name, each.datatype) for each in loaded(estimator).spec.inputs or ()] == [
        ("age", DataType.FP64), ("town", DataType.BYTES), ("rooms", DataType.FP64),
    ]  # fmt: skip
    with Predictor(estimator) as predictor:
        found = predictor.predict(table)
    name = "prediction" if isinstance(estimator, TransformedTargetRegressor) else "label"
    assert found[name].tolist() == np.ravel(estimator.predict(table)).tolist()


class Chosen(TransformerMixin, BaseEstimator):
    """Somebody's own first step, which tells nothing of what it takes."""

    def fit(self, X: Any, y: Any = None) -> Any:
        self.fitted_ = True
        return self

    def transform(self, X: Any) -> Any:
        return X[["age", "rooms"]].fillna(0) if hasattr(X, "columns") else np.asarray(X)


def test_a_first_step_of_ones_own_gets_a_frame_or_values_without_names() -> None:
    estimator = make_pipeline(FeatureUnion([("own", Chosen())]), LogisticRegression()).fit(TABLE, [0, 1, 0, 1])
    assert loaded(estimator).spec.inputs is None
    with Predictor(estimator) as predictor:
        wanted = estimator.predict_proba(TABLE)
        np.testing.assert_array_equal(np.stack(predictor.predict(TABLE)["probabilities"]), wanted)
        rows = TABLE[["age", "rooms"]].fillna(0)
        found = predictor.predict(rows.to_numpy())["probabilities"]  # the frame lies by columns: sums differ by a bit
        np.testing.assert_allclose(found, wanted, rtol=1e-12)
        assert predictor.predict({"age": 20.0, "rooms": 1})["label"] == 0


def test_a_mixed_table_answers_as_the_frame_does() -> None:
    estimator = mixed()
    columns = {"rooms": Dense(TABLE["rooms"].to_numpy()), "age": Dense(TABLE["age"].to_numpy()),
               "town": Bytes.of(["York", "Bath", "York", None])}  # fmt: skip
    model = loaded(estimator)
    found = model.predict(Batch(columns, 4), Context())
    assert np.array_equal(to_numpy(found.columns["probabilities"]), estimator.predict_proba(TABLE))
    with pytest.raises(InvalidInput, match="input 'town' is missing"):
        model.predict(Batch({"age": columns["age"]}, 4), Context())


TEXTS = ["good film", "bad film", "good good", "bad bad"]


@pytest.mark.parametrize(
    "estimator",
    [
        make_pipeline(TfidfVectorizer(), LogisticRegression()),
        make_pipeline(FeatureUnion([("w", CountVectorizer()), ("t", TfidfVectorizer())]), LogisticRegression()),
        CalibratedClassifierCV(make_pipeline(CountVectorizer(), LogisticRegression()), cv=2),
    ],
    ids=["tfidf", "union", "calibrated"],
)
def test_text_pipelines_take_strings(estimator: Any) -> None:
    estimator.fit(TEXTS, ["pos", "neg", "pos", "neg"])
    model = loaded(estimator)
    found = model.predict(Batch({"text": Bytes.of(["good", "bad film"])}, 2), Context())
    assert model.spec.inputs == (TensorSpec("text", DataType.BYTES, ()),)
    assert to_python(found.columns["label"]) == ["pos", "neg"]
    assert np.array_equal(to_numpy(found.columns["probabilities"]), estimator.predict_proba(["good", "bad film"]))


def test_rows_of_a_dict_vectorizer_are_fields() -> None:
    rows = [{"a": 1.0, "on": True, "town": "x"}, {"a": 2.5, "on": False, "town": "y"}, {"town": "z"}, {"a": 3.0}]
    estimator = make_pipeline(DictVectorizer(), LogisticRegression()).fit(rows, [0, 1, 0, 1])
    with Predictor(estimator) as predictor:
        kinds = {tensor.name: tensor.datatype for tensor in predictor.spec.inputs or ()}
        assert kinds == {"a": DataType.FP64, "on": DataType.FP64, "town": DataType.BYTES}
        full: list[dict[str, Any]] = [{"a": None, "on": None, "town": None, **row} for row in rows]
        for data in (full, pd.DataFrame(full), {name: [row[name] for row in full] for name in kinds}):
            made = predictor.predict(data)
            given = made["probabilities"] if not isinstance(made, list) else [row["probabilities"] for row in made]
            np.testing.assert_array_equal(list(given), estimator.predict_proba(rows))
        assert predictor.predict(rows[0])["label"] == estimator.predict(rows[:1])[0]
        assert len(predictor.predict([{**full[0], "town": "new"}])) == 1


def test_dicts_whose_fields_nobody_knows_are_refused() -> None:
    rows = [{"a": 1}, {"a": 2}]
    estimator = make_pipeline(FeatureHasher(4), LogisticRegression()).fit(rows, [0, 1])
    with pytest.raises(InvalidModel, match=r"its FeatureHasher tells no fields of the rows; .*DictVectorizer"):
        loaded(estimator)


def test_sparse_features_come_dense() -> None:
    model = loaded(CountVectorizer().fit(TEXTS))
    found = model.predict(Batch({"text": Bytes.of(["good good", "film"])}, 2), Context())
    assert to_python(found.columns["features"]) == [[0, 0, 2], [0, 1, 0]]


@pytest.mark.parametrize("kind", ["file", "filename"])
def test_a_vectorizer_that_opens_files_named_by_clients_is_refused(kind: str) -> None:
    vectorizer = CountVectorizer(vocabulary=["a"], input=kind)
    with pytest.raises(InvalidModel, match="opens the files that the data names"):
        loaded(make_pipeline(vectorizer, LogisticRegression().fit([[0], [1]], [0, 1])))


def test_nan_is_allowed_where_a_step_takes_it() -> None:
    def allowed(estimator: Any) -> bool:
        inputs = loaded(estimator.fit(X, Y)).spec.inputs
        assert inputs is not None
        return inputs[0].allow_nan

    assert not allowed(make_pipeline(StandardScaler(), LogisticRegression()))
    assert allowed(make_pipeline(SimpleImputer(), LogisticRegression(max_iter=1000)))
    assert allowed(HistGradientBoostingClassifier(max_iter=2))
    assert allowed(make_pipeline(FunctionTransformer(np.nan_to_num), LogisticRegression(max_iter=1000)))


def test_only_scikit_learns_own_steps_are_called_concurrently() -> None:
    assert loaded(make_pipeline(StandardScaler(), GaussianNB()).fit(X, Y)).spec.concurrent
    assert not loaded(make_pipeline(FunctionTransformer(np.abs), GaussianNB()).fit(X, Y)).spec.concurrent


TOWNS = pd.DataFrame(
    {
        "a": np.linspace(-1, 1, 60),
        "ok": np.arange(60) % 3 == 0,
        "town": pd.Categorical(np.array(["Bath", "Ely", "York"])[np.arange(60) * 7 % 5 % 3]),
    }
)
IN_BATH = (TOWNS["town"] == "Bath").to_numpy()


@pytest.mark.parametrize(
    ("estimator", "names"),
    [
        (LogisticRegression(), ["a", "ok"]),
        (make_pipeline(ColumnTransformer([("b", "passthrough", ["ok"])]), LogisticRegression()), ["a", "ok"]),
        (make_pipeline(ColumnTransformer([("o", OneHotEncoder(), ["town"])], remainder="passthrough"),
                       LogisticRegression()), ["a", "ok", "town"]),
        (HistGradientBoostingClassifier(min_samples_leaf=2), ["a", "ok", "town"]),
        (HistGradientBoostingClassifier(min_samples_leaf=2), ["town", "a"]),
        (HistGradientBoostingClassifier(min_samples_leaf=2, categorical_features=["ok"]), ["a", "ok"]),
        (make_pipeline(OrdinalEncoder(), LogisticRegression()), ["town"]),
        (make_pipeline(OneHotEncoder(), LogisticRegression()), ["ok", "town"]),
        (make_pipeline(OneHotEncoder(), LogisticRegression()), ["ok"]),
    ],
    ids=["flags", "chosen flags", "remaining flags", "boosted", "boosted in order", "boosted flags", "codes", "one hot",
         "one hot flags"],
)  # fmt: skip
def test_the_frame_it_was_fitted_on_is_taken_without_a_warning(estimator: Any, names: list[str]) -> None:
    frame = TOWNS[names]
    estimator.fit(frame, IN_BATH)
    with Predictor(estimator) as predictor:
        for rows in (frame, frame.iloc[:1], frame.iloc[5:20]):
            got = np.stack(predictor.predict(rows)["probabilities"].tolist())
            np.testing.assert_allclose(got, estimator.predict_proba(rows))


def test_a_category_that_is_missing_or_new_is_for_the_boosted_histograms_to_judge() -> None:
    estimator = HistGradientBoostingClassifier(min_samples_leaf=2).fit(TOWNS, IN_BATH)
    rows = TOWNS.iloc[:3].assign(town=["York", None, "Leeds"])
    with Predictor(estimator) as predictor:
        got = np.stack(predictor.predict(rows)["probabilities"].tolist())
    np.testing.assert_allclose(got, estimator.predict_proba(rows))


def test_what_sees_encoded_columns_among_others_does_not_guess_their_kind() -> None:
    frame = TOWNS[["a", "town"]]
    some = ColumnTransformer([("some", "passthrough", ["town", "a"])]).set_output(transform="pandas")
    estimator = make_pipeline(some, HistGradientBoostingClassifier(min_samples_leaf=2)).fit(frame, IN_BATH)
    with Predictor(estimator) as predictor:
        got = np.stack(predictor.predict(frame)["probabilities"].tolist())
    np.testing.assert_allclose(got, estimator.predict_proba(frame))


@pytest.mark.parametrize("chosen", [["a"], ["a", "town"]], ids=str)
def test_columns_that_it_drops_may_come_along_whatever_they_hold(chosen: list[str]) -> None:
    some = ColumnTransformer([(name, OneHotEncoder() if name == "town" else "passthrough", [name]) for name in chosen])
    estimator = make_pipeline(some, LogisticRegression()).fit(TOWNS, IN_BATH)
    with Predictor(estimator) as predictor:
        assert predictor.spec.inputs is not None
        assert {each.name for each in predictor.spec.inputs} == set(chosen)
        for rows in (TOWNS, TOWNS[chosen], TOWNS.assign(ok=None)):
            got = np.stack(predictor.predict(rows)["probabilities"].tolist())
            np.testing.assert_allclose(got, estimator.predict_proba(TOWNS))
        with pytest.raises(InvalidInput, match=r"extra \['more'\]"):
            predictor.predict(TOWNS.assign(more=1))
