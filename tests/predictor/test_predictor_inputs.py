"""What people really pass: nothing, far too much, any characters, and things that are no data at all."""

from __future__ import annotations

import datetime
import decimal
import math
import pathlib
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from engine_models import Doubler
from hypothesis import given
from hypothesis import strategies as st

from foretell import InferenceError, InvalidInput, Predictor
from foretell.columns import Batch, Bytes, Dense
from foretell.model import Context, Model
from foretell.types import DataType, ModelSpec, TensorSpec


class Echo(Model):
    """Strings as they are."""

    spec = ModelSpec(
        inputs=(TensorSpec("text", DataType.BYTES, ()),), outputs=(TensorSpec("text", DataType.BYTES, ()),)
    )

    def predict(self, batch: Batch, ctx: Context) -> Batch:
        return batch


class Two(Model):
    """A number and a word."""

    spec = ModelSpec(
        inputs=(TensorSpec("n", DataType.FP32, ()), TensorSpec("word", DataType.BYTES, ())),
        outputs=(TensorSpec("length", DataType.INT64, ()),),
    )

    def predict(self, batch: Batch, ctx: Context) -> Batch:
        words = batch.columns["word"]
        assert isinstance(words, Bytes)
        return Batch({"length": Dense(np.diff(words.offsets))}, batch.rows)


def told(**options: Any) -> Predictor:
    return Predictor(model=Doubler(shape=(2,)), **options)


ODD = [
    *(object(), math.nan, 10**400, float, ..., pd.NA, np.ma.masked, np.datetime64("2024-01-01"), np.array(1j)),
    *(np.float16(1), np.int8(-1), np.str_("s"), np.bytes_(b"b"), np.bool_(True)),
]
PLAIN = [st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.binary(max_size=5)]
LEAVES = st.one_of(
    *PLAIN, st.complex_numbers(), st.decimals(), st.dates(), st.timedeltas(), *[st.just(value) for value in ODD]
)
ANYTHING = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.tuples(inner, inner),
        st.dictionaries(
            st.one_of(st.sampled_from(["x", "a", "n", "word", "text"]), st.text(max_size=3), st.integers()),
            inner,
            max_size=3,
        ),
        st.lists(inner, max_size=3).map(lambda items: np.array([*items, None], object)[:-1]),
        st.lists(inner, max_size=3).map(lambda items: {"x": items}),
    ),
    max_leaves=8,
)


def failure_of(way: Callable[[Any], Any], data: Any) -> InferenceError | None:
    try:
        way(data)
    except InferenceError as error:
        return error
    return None


@given(data=ANYTHING, model=st.sampled_from([Doubler(), Doubler(shape=(2,)), Echo(), Two(), Doubler(inputs=None)]))
def test_anything_is_an_answer_or_an_error_with_a_sentence(data: Any, model: Model) -> None:
    with Predictor(model=model) as predictor:
        for way in (predictor.predict, predictor.predict_batch):
            failure = failure_of(way, data)
            if failure is not None:
                assert str(failure) and failure.code in {"invalid_input", "model_error"}


@pytest.mark.parametrize(
    "data",
    [
        object(), {1, 2}, b"raw", pathlib.Path("x"), datetime.date(2024, 1, 1), decimal.Decimal("1.5"), 1j, print,
        np.array([1j, 2]), np.array("2024-01-01", "M8[D]"), np.zeros((2, 2), "M8[s]"), np.zeros((0, 0, 0, 0)),
        pd.Series(pd.to_datetime(["2024-01-01", "2024-01-02"])), pd.DataFrame({"a": ["x", "y"]}),
        pl.Series([["a"], ["b"]]), pa.array([{"a": 1}, {"a": 2}]),
        [[1.0, 2.0], [3.0]], [[1.0, 2.0], None, [3.0]], [[1.0, "a"], [2.0, "b"]], [[True, "a"]],
        {"x": [[1.0, 2.0]], "y": [[1.0, 2.0]]}, {}, [{}], [{"x": 1}, {"y": 2}], [{"x": 1}, 3],
        np.full((2, 2), "x"), [[10**400, 1.0]], [[]], [[], []],
    ],
    ids=lambda data: type(data).__name__,
)  # fmt: skip
def test_what_does_not_fit_is_wrong_input(data: Any) -> None:
    with told() as predictor:
        for way in (predictor.predict, predictor.predict_batch):
            with pytest.raises(InvalidInput) as caught:
                way(data)
            assert str(caught.value)


def test_a_generator_is_no_row_but_a_stream_of_them() -> None:
    with told() as predictor:
        with pytest.raises(InvalidInput, match="turn it into a list or an array first"):
            predictor.predict(row for row in [[1.0, 2.0]])
        assert list(predictor.predict_batch(row for row in [[1.0, 2.0]])) == [{"y": [2.0, 4.0]}]


def test_a_list_that_contains_itself_is_refused() -> None:
    endless: list[Any] = []
    endless.append(endless)
    with told() as predictor, pytest.raises(InvalidInput):
        predictor.predict(endless)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 0.0, -0.0, 5e-324, 8e307])
def test_every_float_goes_through(value: float) -> None:
    with Predictor(model=Doubler(inputs=(TensorSpec("x", DataType.FP64, ()),))) as predictor:
        expected = value * 2
        if value < 0:
            with pytest.raises(InferenceError):
                predictor.predict(value)
            return
        answer = predictor.predict([value, value])[1]["y"]
        assert answer == expected or (math.isnan(answer) and math.isnan(expected))


def test_nan_is_refused_where_the_model_refuses_it_by_row() -> None:
    strict = Doubler(inputs=(TensorSpec("x", DataType.FP64, (), allow_nan=False),))
    with Predictor(model=strict) as predictor:
        for data in (np.array([1.0, np.nan, 3.0]), [1.0, None, 3.0], {"x": [1.0, math.nan, 3.0]}):
            with pytest.raises(InvalidInput, match=r"row 1: .*NaN") as caught:
                predictor.predict(data)
            assert set(caught.value.rows) == {1}
        assert predictor.predict([1.0]) == [{"y": 2.0}]


@given(st.lists(st.text(), max_size=10))
def test_text_of_any_characters_comes_back(words: list[str]) -> None:
    with Predictor(model=Echo()) as predictor:
        try:
            "".join(words).encode()
        except UnicodeEncodeError:
            with pytest.raises(InvalidInput):
                predictor.predict(words)
            return
        assert [row["text"] for row in predictor.predict(words)] == words
        assert [row["text"] for row in predictor.predict_batch(words, batch_size=2)] == words
        if words:
            assert predictor.predict(np.array(words, object))["text"].tolist() == words


def test_a_lone_surrogate_is_wrong_input_and_not_a_crash() -> None:
    with Predictor(model=Echo()) as predictor, pytest.raises(InvalidInput):
        predictor.predict(["\ud800"])


@given(st.lists(st.binary(), min_size=1, max_size=6))
def test_bytes_come_back_as_text_where_they_are_text(raw: list[bytes]) -> None:
    def seen(item: bytes) -> str | bytes:
        try:
            return item.decode()
        except UnicodeDecodeError:
            return item

    with Predictor(model=Echo()) as predictor:
        assert [row["text"] for row in predictor.predict(raw)] == [seen(item) for item in raw]


def test_a_huge_string_and_many_rows_go_through() -> None:
    with Predictor(model=Echo()) as predictor:
        huge = "å" * 2_000_000
        assert predictor.predict(huge) == {"text": huge}
        many = [str(n) for n in range(20_000)]
        assert [row["text"] for row in predictor.predict_batch(many)] == many


@pytest.mark.parametrize(
    "array",
    [
        np.arange(12.0).reshape(6, 2)[::2],
        np.asfortranarray(np.arange(6.0).reshape(3, 2)),
        np.arange(6.0).reshape(3, 2).astype(">f8"),
        np.arange(6).reshape(3, 2),
        np.arange(6, dtype=np.float16).reshape(3, 2),
        np.arange(6.0).reshape(3, 2).astype(object),
        np.lib.stride_tricks.as_strided(np.arange(4.0), (3, 2), (8, 8)),
        np.ma.masked_array(np.arange(6.0).reshape(3, 2)),
    ],
    ids=["strided", "fortran", "big-endian", "int64", "float16", "object", "overlapping", "masked"],
)
def test_arrays_of_any_layout_give_the_same_answer_and_stay_as_they_are(array: np.ndarray) -> None:
    before = array.copy()
    with told() as predictor:
        for answer in (predictor.predict(array), predictor.predict_batch(array, batch_size=1)):
            np.testing.assert_array_equal(answer["y"], np.asarray(array, np.float64) * 2)
    np.testing.assert_array_equal(array, before)


@pytest.mark.parametrize("size", [1, 2, 100])
def test_columns_of_different_length_are_not_cut_to_the_shortest(size: int) -> None:
    with (
        Predictor(model=Two()) as predictor,
        pytest.raises(
            InvalidInput, match="differ in length; expected one value for each row, got 2 of 'n', 3 of 'word'"
        ),
    ):
        predictor.predict_batch({"n": [1.0, 2.0], "word": ["a", "b", "c"]}, batch_size=size)


def test_two_inputs_need_names() -> None:
    with Predictor(model=Two()) as predictor:
        assert predictor.predict({"n": 1.0, "word": "spam"}) == {"length": 4}
        assert predictor.predict([{"n": 1.0, "word": "spam"}, {"word": "", "n": 2}]) == [{"length": 4}, {"length": 0}]
        for wrong in ([1.0, 2.0], {"n": [1.0], "word": "spam"}, {"n": 1.0}, {"n": [1.0, 2.0], "word": ["a"]}):
            with pytest.raises(InvalidInput):
                predictor.predict(wrong)


def test_the_callers_array_is_not_the_answer() -> None:
    """A model that gives back its input must not tie the answer to what the caller goes on writing into."""
    with Predictor(model=lambda x: x, example=[1.0]) as predictor:
        data = np.array([1.0, 2.0])
        answer = predictor.predict(data)
        data[:] = 9
        assert answer.tolist() in ([1.0, 2.0], [9.0, 9.0])


@pytest.mark.parametrize(
    "data", [object(), deque([1.0, 2.0]), {1.0, 2.0}, {}.values(), ...], ids=lambda data: type(data).__name__
)
def test_what_is_no_data_is_told_by_its_name(data: Any) -> None:
    with Predictor(model=lambda x: x, example=[[1.0, 2.0]]) as predictor:
        for ask in (predictor.predict, predictor.predict_batch):
            with pytest.raises(InvalidInput, match=f"neither a row nor rows; .* got {type(data).__name__};"):
                ask(data)


def test_columns_that_do_not_fit_are_told_what_helps_here_and_on_the_command_line() -> None:
    with Predictor(model=lambda x: x) as predictor, pytest.raises(InvalidInput, match="as one column 'x', or on the"):
        predictor.predict({"a": [1.0], "b": [2.0]})
