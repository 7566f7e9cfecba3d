"""Several calls at a time of one run over much data: where they are made, and that nothing else changes."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
from engine_models import NEGATIVE, WAIT_S, Doubler
from hypothesis import given
from hypothesis import strategies as st

from foretell import BasePredictor, ModelError, Predictor
from foretell.columns import Batch
from foretell.model import Context


class Pair(Doubler):
    """Wants two calls at the same time. With `meet` a call waits for another one."""

    calls_at_once = 2

    def __init__(self, meet: bool = False, **spec: Any) -> None:
        super().__init__(**{"concurrent": True, **spec})
        self._meeting = threading.Barrier(2) if meet else None

    def answer(self, batch: Batch, ctx: Context) -> Batch:
        if self._meeting is not None:
            self._meeting.wait(WAIT_S)
        return super().answer(batch, ctx)


def test_two_are_made_where_the_model_answers_more_so() -> None:
    for data in (np.arange(40.0), iter([np.arange(10.0)] * 4)):
        with Predictor(model=Pair(meet=True)) as predictor:
            answers = predictor.predict_batch(data, batch_size=10)
            whole = answers["y"] if isinstance(answers, dict) else np.concatenate([each["y"] for each in answers])
        expected = np.arange(40.0) * 2 if isinstance(data, np.ndarray) else np.tile(np.arange(10.0) * 2, 4)
        np.testing.assert_array_equal(whole, expected)


@pytest.mark.parametrize(
    ("options", "spec"),
    [
        ({"num_workers": 0}, {}),
        ({"num_workers": 2}, {}),
        ({"timeout_s": 1000.0}, {}),
        ({}, {"concurrent": False}),
        ({"batch_size": 100}, {"row_wise": False}),
    ],
)
def test_one_is_made_where_somebody_said_how_or_they_would_wait(options: dict[str, Any], spec: dict[str, Any]) -> None:
    model = Pair(**spec)
    with Predictor(model=model, **{"batch_size": 5, **options}) as predictor:
        predictor.predict_batch(np.arange(100.0))
    assert model.most_at_once == 1


def test_one_is_made_of_a_predict_of_ones_own() -> None:
    class Own(BasePredictor):
        def predict(self, data: Any) -> Any:
            return super().predict(data)

    model = Pair()
    with Own(model=model) as predictor:
        assert len(predictor.predict_batch(np.arange(100.0), batch_size=5)["y"]) == 100
    assert model.most_at_once == 1


@given(bad=st.sets(st.integers(0, 59), max_size=5), size=st.integers(1, 70))
def test_rows_that_fail_stand_in_their_places(bad: set[int], size: int) -> None:
    data, failed = [-1.0 if n in bad else float(n) for n in range(60)], list[int]()
    for given_data in (data, iter(data)):
        failed.clear()
        with Predictor(model=Pair()) as predictor:
            answers = list(predictor.predict_batch(given_data, size, on_row_error=lambda row, _: failed.append(row)))
        assert failed == sorted(bad)
        assert [answer["y"] for answer in answers if answer.get("y") is not None] == [
            2.0 * n for n in range(60) if n not in bad
        ]


def test_a_run_ends_at_the_first_failure_in_the_order_of_the_data() -> None:
    data = np.arange(100.0)
    data[[37, 90]] = -1
    with Predictor(model=Pair()) as predictor:
        with pytest.raises(ModelError, match=NEGATIVE):
            predictor.predict_batch(data, batch_size=5)
        drawn = predictor.predict_batch(iter(data), batch_size=5)
        assert [next(drawn)["y"] for _ in range(35)] == [2.0 * n for n in range(35)]
        with pytest.raises(ModelError, match="row 37"):
            list(drawn)
