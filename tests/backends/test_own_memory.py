"""Models of the user's own may write into what they are handed: nobody else sees that memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from live_models import loaded
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from foretell import BasePredictor, Predictor, TransientError
from foretell.columns import Batch, Dense, Ragged
from foretell.model import Context, Model
from foretell.types import DataType, TensorSpec


class Doubles:
    """y = 2x, in place; refuses what is negative afterwards, and is busy at its first call if told to."""

    inputs = (TensorSpec("x", DataType.FP32, (2,)),)
    busy = False

    def predict(self, x: np.ndarray) -> np.ndarray:
        x *= 2
        if self.busy:
            self.busy = False
            raise TransientError("busy")
        if (x < 0).any():
            raise ValueError("negative")
        return x


@pytest.fixture
def rows() -> np.ndarray[Any, Any]:
    return np.arange(1, 13, dtype=np.float32).reshape(6, 2)


@pytest.mark.parametrize("way", ["predict", "predict_batch"])
def test_the_callers_array_stays(rows: np.ndarray[Any, Any], way: str) -> None:
    before = rows.copy()
    with Predictor(Doubles()) as predictor:
        for _ in range(2):
            answer = getattr(predictor, way)(rows)
            np.testing.assert_array_equal(np.asarray(answer), 2 * before)
    np.testing.assert_array_equal(rows, before)


def test_what_may_not_be_written_is_taken(rows: np.ndarray[Any, Any]) -> None:
    rows.flags.writeable = False
    with Predictor(Doubles()) as predictor:
        np.testing.assert_array_equal(np.asarray(predictor.predict(rows)), 2 * rows)


def test_a_row_without_values_that_may_not_be_written_is_taken() -> None:
    def doubled(values: Any) -> list[float]:
        for row in values:
            row *= 2
        return [row.sum() for row in values]

    nothing = np.zeros(0)
    nothing.flags.writeable = False
    model = loaded(doubled)
    answer = model.predict(Batch({"values": Ragged(Dense(nothing), np.array([0, 0]))}, 1), Context())
    assert answer.dense("output").tolist() == [0.0]


def test_a_search_for_bad_rows_sees_every_row_as_it_came(rows: np.ndarray[Any, Any]) -> None:
    rows[2] *= -1
    told: list[int] = []
    with Predictor(Doubles()) as predictor:
        answer = np.asarray(predictor.predict_batch(rows, on_row_error=lambda row, error: told.append(row)))
    assert told == [2]
    good = [0, 1, 3, 4, 5]
    np.testing.assert_array_equal(answer[good], 2 * rows[good])


def test_another_try_sees_the_rows_as_they_came(rows: np.ndarray[Any, Any]) -> None:
    model = Doubles()
    model.busy = True
    with Predictor(model, retry_delay_s=0.0) as predictor:
        np.testing.assert_array_equal(np.asarray(predictor.predict(rows)), 2 * rows)


def test_estimators_that_work_in_place() -> None:
    flowers, kinds = load_iris(return_X_y=True)
    eager = make_pipeline(StandardScaler(copy=False), LogisticRegression(max_iter=500)).fit(flowers.copy(), kinds)
    frame = pd.DataFrame(flowers, columns=["a", "b", "c", "d"])
    named = make_pipeline(StandardScaler(copy=False), LogisticRegression(max_iter=500)).fit(frame.copy(), kinds)
    for estimator, data in ((eager, flowers), (named, frame)):
        before = data.copy()
        with Predictor(estimator) as predictor:
            first, second = (np.asarray(predictor.predict(data)["label"]) for _ in range(2))
        np.testing.assert_array_equal(first, second)
        np.testing.assert_array_equal(np.asarray(data), np.asarray(before))


def test_hooks_of_a_served_predictor(rows: np.ndarray[Any, Any]) -> None:
    class Halves(BasePredictor):
        inputs = (TensorSpec("x", DataType.FP32, (2,)),)

        def preprocess(self, data: Any) -> Any:
            data /= 2
            return data

    before = rows.copy()
    with Halves(Doubles()) as inner, Predictor(inner) as served:
        np.testing.assert_array_equal(np.asarray(served.predict(rows)), before)
    np.testing.assert_array_equal(rows, before)


class Keeps:
    """y = 2x, each time in the same array."""

    def __init__(self) -> None:
        self.kept = np.zeros((8, 2))

    def __call__(self, x: np.ndarray) -> np.ndarray:
        return np.multiply(x, 2, out=self.kept[: len(x)])


class KeepsColumn(Keeps):
    def __call__(self, batch: Batch) -> Batch:
        return Batch({"output": Dense(super().__call__(batch.dense("input")))}, batch.rows)


@pytest.mark.parametrize(
    "model",
    [Keeps(), KeepsColumn(), FunctionTransformer(Keeps()).fit(np.zeros((1, 2)))],
    ids=["array", "batch", "sklearn"],
)
def test_a_model_that_keeps_its_answer(model: Any) -> None:
    rows = np.arange(12.0).reshape(6, 2)
    with Predictor(model) as predictor:
        together = as_array(predictor.predict_batch(rows, batch_size=2))
        np.testing.assert_array_equal(together, 2 * rows)
        first = as_array(predictor.predict(rows))
        first[:] = -1
        np.testing.assert_array_equal(as_array(predictor.predict(rows)), 2 * rows)
        assert (first == -1).all()


def test_a_model_class_of_ones_own_has_no_part_of_the_callers_memory(rows: np.ndarray[Any, Any]) -> None:
    class Doubled(Model):
        def predict(self, batch: Batch, ctx: Context) -> Batch:
            ((name, column),) = batch.columns.items()
            np.multiply(batch.dense(name), 2, out=batch.dense(name))
            return Batch({"y": column}, batch.rows)

    before = rows.copy()
    with Predictor(Doubled()) as predictor:
        for ask in (predictor.predict, predictor.predict_batch):
            answer = ask(rows)["y"]
            np.testing.assert_array_equal(answer, 2 * before)
            assert not np.shares_memory(answer, rows)
    np.testing.assert_array_equal(rows, before)


def as_array(answer: Any) -> np.ndarray[Any, Any]:
    return np.asarray(next(iter(answer.values())) if isinstance(answer, dict) else answer)
