"""Batch-invariant mode: the shape of the call in which a row is computed depends on that row alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foretell import Predictor
from foretell.columns import Array, Batch, Dense, Ragged
from foretell.config import ModelSettings
from foretell.engine.engine import Engine
from foretell.engine.invariant import ROWS, bucket
from foretell.errors import InvalidSetting
from foretell.model import Context, Model
from foretell.types import DataType, ModelSpec, TensorSpec


class Shapes(Model):
    """Answers each row with its sum and the shape of the call that it was in; refuses rows longer than `most`."""

    spec = ModelSpec((TensorSpec("x", DataType.FP32, (None,)),), pad={"x": 0})

    def __init__(self, most: int = 10_000) -> None:
        self.most = most

    def predict(self, batch: Batch, ctx: Context) -> Batch:
        (column,) = batch.columns.values()
        assert isinstance(column, Dense)
        if column.data.shape[1] > self.most:
            raise ValueError("too long")
        shape = np.tile(column.data.shape, (batch.rows, 1))
        return Batch({"sum": Dense(column.data.sum(1)), "shape": Dense(shape)}, batch.rows)


def ragged(*lengths: int) -> Batch:
    offsets = np.cumsum([0, *lengths])
    return Batch({"x": Ragged(Dense(np.ones(offsets[-1], np.float32)), offsets)}, len(lengths))


def engine(model: Model, **settings: Any) -> Engine:
    return Engine(model, ModelSettings(batch_invariant=True, **settings)).load()


def answer(lengths: list[int], most: int = 10_000) -> tuple[list[float], list[list[int]]]:
    made = engine(Shapes(most))
    columns = made.run(ragged(*lengths)).columns
    made.close()
    total, shape = columns["sum"], columns["shape"]
    assert isinstance(total, Dense) and isinstance(shape, Dense)
    return total.data.tolist(), shape.data.tolist()


@given(st.lists(st.integers(0, 700), min_size=1, max_size=60))
def test_every_row_is_in_a_call_of_its_own_bucket(lengths: list[int]) -> None:
    sums, shapes = answer(lengths)
    assert sums == lengths
    assert shapes == [[ROWS, bucket(length)] for length in lengths]


def test_rows_that_are_too_long_for_their_bucket_go_at_their_own_length() -> None:
    sums, shapes = answer([3, 17, 20, 20], most=20)
    assert sums == [3, 17, 20, 20]
    assert shapes == [[ROWS, 16], [ROWS, 17], [ROWS, 20], [ROWS, 20]]


@given(st.integers(1, 5000))
def test_a_bucket_is_as_long_as_its_rows_and_little_longer(length: int) -> None:
    assert length <= bucket(length) <= max(length * 1.5, length + 15)
    assert bucket(bucket(length)) == bucket(length)


def counted(x: Array) -> Array:
    return np.full(len(x), float(len(x)))


@pytest.mark.parametrize("rows", [1, 15, 16, 17, 200])
def test_rows_of_one_length_share_calls_of_one_size(rows: int) -> None:
    with Predictor(counted, batch_invariant=True, batch_size=64) as predictor:
        assert predictor.predict(np.zeros((rows, 2))).tolist() == [ROWS] * rows


def test_a_number_of_rows_that_the_model_asks_for_stays() -> None:
    with Predictor(counted, batch_invariant=True, batch=4) as predictor:
        assert set(predictor.predict(np.zeros((9, 2))).tolist()) == {16.0}


def test_it_is_another_identity() -> None:
    with Predictor(counted) as plain, Predictor(counted, batch_invariant=True) as invariant:
        assert plain.identity.variant_digest != invariant.identity.variant_digest


def test_a_model_that_mixes_rows_cannot_be() -> None:
    class Mixes:
        row_wise = False

        def predict(self, x: Array) -> Array:
            return x - x.mean()

    with pytest.raises(InvalidSetting, match="depends on what came beside"):
        Predictor(Mixes, batch_invariant=True)
