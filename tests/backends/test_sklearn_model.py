"""Live scikit-learn estimators: their outputs, their failures, and that they answer as scikit-learn does."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from estimators import X, Y, answer
from live_models import loaded
from scipy.sparse import csr_matrix
from sklearn.calibration import CalibratedClassifierCV
from sklearn.cluster import DBSCAN, KMeans
from sklearn.datasets import load_diabetes
from sklearn.decomposition import NMF
from sklearn.ensemble import (
    BaggingClassifier,
    ExtraTreesClassifier,
    IsolationForest,
    RandomForestClassifier,
    VotingClassifier,
)
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge, RidgeClassifier
from sklearn.multiclass import OneVsRestClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

from foretell.backends import open_model
from foretell.config import ModelSettings
from foretell.errors import InferenceError, InvalidInput, InvalidModel, ModelError, Unavailable
from foretell.types import DataType, TensorSpec

NAMES = np.array(["setosa", "versicolor", "virginica"])


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


def test_labels_in_a_column_of_their_own_are_one_for_each_row() -> None:
    class Wide(GaussianNB):
        def predict(self, X: Any) -> Any:
            return super().predict(X)[:, None]

    estimator = make_pipeline(StandardScaler(), Wide()).fit(X, NAMES[Y])
    assert answer(loaded(estimator))["label"].tolist() == estimator.predict(X)[:, 0].tolist()


def test_transformers_that_look_at_all_rows_of_a_call_get_those_of_one_caller() -> None:
    assert not loaded(make_pipeline(NMF(2, max_iter=20, tol=0.1), GaussianNB()).fit(X, Y)).spec.row_wise


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


def test_labels_in_a_sparse_matrix_are_dense() -> None:
    several = np.stack([Y == 0, Y > 0], axis=1).astype(int)
    estimator = OneVsRestClassifier(GaussianNB()).fit(X, csr_matrix(several))
    assert np.array_equal(answer(estimator, X)["label"], estimator.predict(X).toarray())


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
