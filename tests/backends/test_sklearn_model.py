"""Live scikit-learn estimators: their inputs, their outputs, and that they answer as scikit-learn does."""

from __future__ import annotations

import pickle
import subprocess
import sys
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.cluster import DBSCAN, KMeans
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_diabetes, load_iris
from sklearn.ensemble import (
    BaggingClassifier,
    ExtraTreesClassifier,
    HistGradientBoostingClassifier,
    IsolationForest,
    RandomForestClassifier,
    VotingClassifier,
)
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge, RidgeClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

from foretell.backends import open_model
from foretell.columns import Batch, Bytes, Dense
from foretell.config import ModelSettings
from foretell.errors import InferenceError, InvalidInput, InvalidModel, ModelError, Unavailable
from foretell.forms.values import to_numpy, to_python
from foretell.model import Context, Model
from foretell.types import DataType, TensorSpec

X, Y = load_iris(return_X_y=True)
FRAME = load_iris(as_frame=True).data
NAMES = np.array(["setosa", "versicolor", "virginica"])


def loaded(estimator: Any, **settings: Any) -> Model:
    model = open_model(estimator, ModelSettings(**settings)).model
    model.load("cpu")
    return model


def answer(estimator: Any, rows: Any = X) -> dict[str, Any]:
    model = estimator if isinstance(estimator, Model) else loaded(estimator)
    done = model.predict(Batch.of(input=rows), Context())
    return {name: to_numpy(column) for name, column in done.columns.items()}


CLASSIFIERS = [
    LogisticRegression(max_iter=1000),
    RandomForestClassifier(5, random_state=0),
    ExtraTreesClassifier(5, random_state=0),
    BaggingClassifier(n_estimators=3, random_state=0),
    VotingClassifier([("a", GaussianNB()), ("b", DecisionTreeClassifier(max_depth=2))], voting="soft"),
    CalibratedClassifierCV(DecisionTreeClassifier(max_depth=2), cv=2),
    KNeighborsClassifier(4),
    GaussianNB(),
    make_pipeline(StandardScaler(), make_pipeline(StandardScaler(), LogisticRegression())),
]


@pytest.mark.parametrize("labels", [Y, NAMES[Y]], ids=["numbers", "names"])
@pytest.mark.parametrize("estimator", CLASSIFIERS, ids=lambda e: type(e).__name__)
def test_classifiers_answer_label_and_probabilities_exactly_as_they_do(estimator: Any, labels: Any) -> None:
    estimator.fit(X, labels)
    model = loaded(estimator)
    found = answer(model)
    assert found["label"].tolist() == estimator.predict(X).tolist()
    assert np.array_equal(found["probabilities"], estimator.predict_proba(X))
    assert model.spec.labels == {"probabilities": tuple(str(c) for c in estimator.classes_)}
    kind = DataType.BYTES if labels.dtype.kind == "U" else DataType.INT64
    assert model.spec.outputs == (
        TensorSpec("label", kind, ()),
        TensorSpec("probabilities", DataType.FP64, (3,)),
    )


def test_classifiers_without_probabilities_answer_labels_alone() -> None:
    for estimator in (RidgeClassifier(), SVC()):
        estimator.fit(X, Y == 1)
        assert loaded(estimator).spec.outputs == (TensorSpec("label", DataType.BOOL, ()),)
        assert answer(estimator)["label"].tolist() == estimator.predict(X).tolist()


def test_several_targets_have_probabilities_each() -> None:
    targets = np.stack([Y, Y == 1], axis=1).astype(int)
    estimator = RandomForestClassifier(3, random_state=0).fit(X, targets)
    found = answer(estimator)
    assert np.array_equal(found["label"], estimator.predict(X))
    assert [found[f"probabilities_{i}"].shape[1] for i in (0, 1)] == [3, 2]


def test_regressors_answer_a_prediction() -> None:
    x, y = load_diabetes(return_X_y=True)
    single, several = LinearRegression().fit(x, y), Ridge().fit(x, np.stack([y, -y], axis=1))
    assert loaded(single).spec.outputs == (TensorSpec("prediction", DataType.FP64, ()),)
    assert loaded(several).spec.outputs == (TensorSpec("prediction", DataType.FP64, (2,)),)
    assert np.array_equal(answer(several, x)["prediction"], several.predict(x))


def test_clusterers_outlier_detectors_and_transformers() -> None:
    means, forest, scaler = KMeans(2, n_init=1).fit(X), IsolationForest(n_estimators=5).fit(X), StandardScaler().fit(X)
    assert answer(means)["label"].tolist() == means.predict(X).tolist()
    found = answer(forest)
    assert found["label"].tolist() == forest.predict(X).tolist()
    assert np.array_equal(found["score"], forest.decision_function(X))
    assert np.array_equal(answer(scaler)["features"], scaler.transform(X))


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
            raise ImportError(name)
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


def test_no_rows_give_no_rows_of_every_output() -> None:
    found = answer(RandomForestClassifier(2).fit(X, NAMES[Y]), X[:0])
    assert {name: values.shape for name, values in found.items()} == {"label": (0,), "probabilities": (0, 3)}


def test_strided_rows_answer_like_contiguous_ones() -> None:
    estimator = GaussianNB().fit(X, Y)
    strided = np.asfortranarray(X)[::3]
    assert np.array_equal(answer(estimator, strided)["label"], estimator.predict(X[::3]))


def test_values_that_scikit_learn_refuses_are_invalid_input() -> None:
    model = loaded(GaussianNB().fit(X, Y))
    for rows in (np.full((1, 4), np.inf), np.ones((1, 3))):
        with pytest.raises(InvalidInput) as caught:
            answer(model, rows)
        assert "\n" not in str(caught.value)
        assert isinstance(caught.value.__cause__, ValueError)


def test_failures_of_foreign_steps_are_errors_of_the_model() -> None:
    def fail(x: Any) -> Any:
        if x.shape[0] > 1:
            raise ValueError("my own mistake")
        return x

    model = loaded(make_pipeline(FunctionTransformer(fail), GaussianNB().fit(X, Y)))
    with pytest.raises(ModelError, match="ValueError: my own mistake"):
        answer(model)


def test_what_cannot_be_served_is_refused() -> None:
    with pytest.raises(InvalidModel, match="LogisticRegression is not fitted"):
        loaded(LogisticRegression())
    with pytest.raises(InvalidModel, match="is not fitted"):
        loaded(make_pipeline(StandardScaler(), LogisticRegression()))
    with pytest.raises(InvalidModel, match="DBSCAN has no answer for new rows"):
        loaded(DBSCAN().fit(X))


@pytest.mark.parametrize("settings", [{"precision": "fp16"}, {"optimizations": ("fuse",)}, {"threads": 2}], ids=repr)
def test_settings_that_mean_nothing_here_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(InferenceError, match="scikit-learn"):
        loaded(GaussianNB().fit(X, Y), **settings)


def test_other_devices_are_refused() -> None:
    model = open_model(GaussianNB().fit(X, Y), ModelSettings()).model
    with pytest.raises(Unavailable, match="expected cpu, got cuda"):
        model.load("cuda")


def test_the_variant_names_the_versions() -> None:
    import sklearn

    assert loaded(GaussianNB().fit(X, Y)).variant()["scikit-learn"] == sklearn.__version__
