"""Much data: in order, in bounded memory, overlapping, and with bad rows that end alone."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from engine_models import NEGATIVE, WAIT_S, Doubler, Gated
from hypothesis import given
from hypothesis import strategies as st

from foretell import BasePredictor, InvalidInput, InvalidSetting, ModelError, Predictor, RowError
from foretell.columns import Batch
from foretell.errors import DeadlineExceeded
from foretell.model import Context, Model
from foretell.types import DataType, ModelSpec, TensorSpec

Reports = list[tuple[int, RowError]]


@pytest.fixture
def reports() -> Reports:
    return []


def heard(reports: Reports) -> Callable[[int, RowError], None]:
    return lambda row, error: reports.append((row, error))


class TestRowsThatFail:
    @pytest.mark.parametrize("options", [{}, {"timeout_s": 1000.0}, {"cache_size": 10_000}])
    @pytest.mark.parametrize("size", [1, 7, 100, 10_000])
    def test_of_the_model_end_alone(self, size: int, options: dict[str, Any], reports: Reports) -> None:
        data = np.arange(300.0)
        bad = [0, 7, 150, 299]
        data[bad] = -1
        with Predictor(model=Doubler(), **options) as predictor:
            answer = predictor.predict_batch(data, batch_size=size, on_row_error=heard(reports))["y"]
            assert [row for row, _ in reports] == bad
            assert all(error.code == "model_error" and NEGATIVE in error.message for _, error in reports)
            assert np.flatnonzero(np.isnan(answer)).tolist() == bad
            good = np.delete(np.arange(300), bad)
            np.testing.assert_array_equal(answer[good], data[good] * 2)
            with pytest.raises(ModelError, match=NEGATIVE) as caught:
                predictor.predict_batch(data, batch_size=size)
            assert isinstance(caught.value.__cause__, ValueError)

    @given(bad=st.sets(st.integers(0, 59), max_size=5), size=st.integers(1, 70), workers=st.integers(0, 2))
    def test_are_exactly_those_that_are_bad(self, bad: set[int], size: int, workers: int) -> None:
        data, reports = [-1.0 if n in bad else float(n) for n in range(60)], Reports()
        with Predictor(model=Doubler()) as predictor:
            answers = predictor.predict_batch(data, size, workers, heard(reports))
        assert [row for row, _ in reports] == sorted(bad)
        expected = [None if n in bad else 2.0 * n for n in range(60)]
        assert [answer.get("y") for answer in answers] == expected or len(bad) == 60

    @pytest.mark.parametrize("size", [1, 2, 3, 100])
    def test_of_the_reading_end_alone(self, size: int, reports: Reports) -> None:
        data = [1.0, 2.0, "three", 4.0, 5.0, None, [7.0], 8.0]
        with Predictor(model=Doubler()) as predictor:
            answers = predictor.predict_batch(data, batch_size=size, on_row_error=heard(reports))
        assert [row for row, _ in reports] == [2, 6]
        assert all(error.code == "invalid_input" for _, error in reports)
        values = [answer["y"] for answer in answers]
        assert values[:2] + values[3:5] + values[7:] == [2, 4, 8, 10, 16]
        assert values[2] is None and values[6] is None
        assert np.isnan(values[5]), "a null in a column of floats is NaN, which this model takes"

    def test_of_many_bad_values_that_reading_names_are_all_found(self, reports: Reports) -> None:
        model = Doubler(inputs=(TensorSpec("x", DataType.INT8, ()),), outputs=(TensorSpec("y", DataType.INT8, ()),))
        data = np.arange(400) % 200  # every second hundred does not fit into eight bits
        with Predictor(model=model) as predictor:
            answer = predictor.predict_batch(data, batch_size=400, on_row_error=heard(reports))["y"]
        bad = np.flatnonzero(data > 127).tolist()
        assert [row for row, _ in reports] == bad
        assert [row for row, value in enumerate(answer) if value is None] == bad

    def test_of_a_hook_end_alone(self, reports: Reports) -> None:
        class Parses(BasePredictor):
            def preprocess(self, data: Any) -> Any:
                return [float(word) for word in data]

        words = ["1", "2", "x", "4"] * 5
        with Parses(Doubler()) as predictor:
            answers = predictor.predict_batch(words, batch_size=8, on_row_error=heard(reports))
            assert [row for row, _ in reports] == [2, 6, 10, 14, 18]
            assert [answer["y"] for answer in answers] == [2, 4, None, 8] * 5
            with pytest.raises(ModelError, match="could not convert string to float"):
                predictor.predict_batch(words)

    def test_of_a_hook_leave_the_others_in_the_form_the_hook_makes(self, reports: Reports) -> None:
        class Parses(BasePredictor):
            def preprocess(self, data: Any) -> Any:
                return np.array([float(word) for word in data])

            def postprocess(self, outputs: Any) -> Any:
                return outputs["y"] + 1

        words = pd.Series(["1", "x", "3"], index=["a", "b", "c"])
        with Parses(Doubler()) as predictor:
            for given in (words, words.tolist()):
                answer = predictor.predict_batch(given, on_row_error=heard(reports))
                np.testing.assert_array_equal(answer, [3.0, np.nan, 7.0])
        assert [row for row, _ in reports] == [1, 1]

    @pytest.mark.parametrize("way", ["rows", "items", "blocks"])
    @pytest.mark.parametrize("workers", [0, 2])
    def test_of_the_reading_are_raised_by_their_number_over_all_data(self, way: str, workers: int) -> None:
        data = [[float(n), 0.0] for n in range(40)]
        data[27] = [1.0]
        given = {"rows": data, "items": iter(data), "blocks": iter([data[:15], data[15:]])}[way]
        with Predictor(model=lambda x: x, example=[[1.0, 2.0]]) as predictor:
            with pytest.raises(InvalidInput, match="row 27") as caught:
                list(predictor.predict_batch(given, batch_size=6, num_workers=workers))
            assert list(caught.value.rows) == [27]
            assert isinstance(caught.value.__cause__, InvalidInput)

    def test_that_are_null_where_the_model_takes_none(self, reports: Reports) -> None:
        model = Doubler(inputs=(TensorSpec("x", DataType.INT64, ()),), outputs=(TensorSpec("y", DataType.INT64, ()),))
        with Predictor(model=model) as predictor:
            answers = predictor.predict_batch([1, None, 3], on_row_error=heard(reports))
            assert [answer["y"] for answer in answers] == [2, None, 6]
            assert [row for row, _ in reports] == [1]
            with pytest.raises(InvalidInput, match=r"row 1: .*null") as caught:
                predictor.predict([1, None, None])
            assert set(caught.value.rows) == {1, 2}

    @pytest.mark.parametrize("form", ["list", "dict", "numpy", "pandas", "polars", "arrow"])
    @pytest.mark.parametrize("size", [2, 3, 100])
    def test_hold_a_null_in_the_form_of_the_question(self, form: str, size: int, reports: Reports) -> None:
        values = [-1.0, -1.0, 2.0, -1.0, 4.0]
        data: Any = {
            "list": values,
            "dict": {"x": values},
            "numpy": np.array(values),
            "pandas": pd.DataFrame({"x": values}, index=list("abcde")),
            "polars": pl.DataFrame({"x": values}),
            "arrow": pa.table({"x": values}),
        }[form]
        with Predictor(model=Doubler()) as predictor:
            answer = predictor.predict_batch(data, batch_size=size, on_row_error=heard(reports))
        assert [row for row, _ in reports] == [0, 1, 3]
        if form == "list":
            column = [row["y"] for row in answer]
        else:
            column = answer["y"].to_pylist() if form == "arrow" else list(answer["y"])
        assert [column[2], column[4]] == [4, 8]
        assert all(column[row] is None or np.isnan(column[row]) for row in (0, 1, 3))
        if form == "pandas":
            assert answer.index.tolist() == list("abcde")

    def test_may_be_all_of_them(self, reports: Reports) -> None:
        with Predictor(model=Doubler()) as predictor:
            answer = predictor.predict_batch(np.full(5, -1.0), batch_size=2, on_row_error=heard(reports))
        assert len(reports) == 5
        assert np.isnan(answer["y"]).all() and len(answer["y"]) == 5

    def test_before_any_output_is_known_join_with_those_that_come_later(self, reports: Reports) -> None:
        def doubled(x: Any) -> Any:
            if (np.asarray(x) < 0).any():
                raise ValueError(NEGATIVE)
            return np.asarray(x) * 2

        with Predictor(model=doubled) as predictor:
            answer = predictor.predict_batch([-1.0, -2.0, 3.0, 4.0], batch_size=2, on_row_error=heard(reports))
        assert answer == [None, None, 6.0, 8.0]
        assert [row for row, _ in reports] == [0, 1]

    @pytest.mark.parametrize("value", ["x", [[1.0]], {"z": "w"}, None])
    def test_are_not_the_whole_data_being_of_another_kind(self, value: Any, reports: Reports) -> None:
        with Predictor(model=Doubler()) as predictor, pytest.raises(InvalidInput):
            predictor.predict_batch([value, value, value] if value is not None else None, on_row_error=heard(reports))
        assert reports == []

    def test_of_a_single_row_are_told_of_too(self, reports: Reports) -> None:
        with Predictor(model=Doubler()) as predictor:
            assert predictor.predict_batch(-1.0, on_row_error=heard(reports)) == {"y": None}
            assert [row for row, _ in reports] == [0]
            assert predictor.predict_batch(2.0, on_row_error=heard(reports)) == {"y": 4.0}

    def test_do_not_include_a_model_that_is_not_there_in_time(self, reports: Reports) -> None:
        model = Gated()
        predictor = Predictor(model=model, timeout_s=0.01)
        with pytest.raises(DeadlineExceeded):
            predictor.predict_batch(np.arange(4.0), on_row_error=heard(reports))
        assert reports == []
        model.gate.set()
        predictor.close()


class TestIterators:
    @given(
        blocks=st.lists(st.integers(0, 6), max_size=12),
        size=st.one_of(st.none(), st.integers(1, 8)),
        workers=st.integers(0, 3),
    )
    def test_blocks_and_rows_mixed_have_one_answer_each(
        self, blocks: list[int], size: int | None, workers: int
    ) -> None:
        items: list[Any] = [float(n) if not count else np.arange(count) + float(n) for n, count in enumerate(blocks)]
        with Predictor(model=Doubler()) as predictor:
            answers = list(predictor.predict_batch(iter(items), size, workers))
        assert len(answers) == len(items)
        for item, answer in zip(items, answers, strict=True):
            np.testing.assert_array_equal(answer["y"], np.asarray(item) * 2)
            assert isinstance(answer["y"], np.ndarray) == isinstance(item, np.ndarray)

    def test_rows_travel_together_and_blocks_in_calls_of_the_size_asked_for(self) -> None:
        model = Doubler()
        with Predictor(model=model) as predictor:
            list(predictor.predict_batch(iter(range(10)), batch_size=4, num_workers=0))
            assert model.calls == [4, 4, 2]
            model.calls.clear()
            list(predictor.predict_batch(iter([np.arange(10.0), np.arange(3.0)]), batch_size=4))
            assert model.calls == [4, 4, 2, 3]

    @pytest.mark.parametrize("workers", [0, 1, 3])
    def test_memory_is_bounded_by_the_blocks_that_are_ahead(self, workers: int) -> None:
        live: set[int] = set()
        most = 0

        def source() -> Iterator[np.ndarray]:
            nonlocal most
            for n in range(60):
                block = np.full(1000, float(n))
                live.add(n)
                weakref.finalize(block, live.discard, n)
                most = max(most, len(live))
                yield block
                del block

        with Predictor(model=Doubler()) as predictor:
            for answer in predictor.predict_batch(source(), num_workers=workers):
                del answer
                gc.collect(0)
        assert most <= workers + 3

    def test_nothing_is_read_before_the_first_answer_is_wanted(self) -> None:
        drawn: list[int] = []

        def source() -> Iterator[np.ndarray]:
            for n in range(100):
                drawn.append(n)
                yield np.ones(5)

        with Predictor(model=Doubler()) as predictor:
            answers = predictor.predict_batch(source(), num_workers=2)
            assert drawn == []
            next(answers)
            assert len(drawn) <= 4
            answers.close()
            assert len(drawn) <= 4

    def test_host_work_of_the_next_overlaps_with_the_model(self) -> None:
        next_is_ready = threading.Event()

        class Waits(Doubler):
            def answer(self, batch: Batch, ctx: Context) -> Batch:
                if len(self.calls) == 1:
                    assert next_is_ready.wait(WAIT_S), "the next block was not prepared meanwhile"
                return super().answer(batch, ctx)

        class Prepares(BasePredictor):
            def preprocess(self, data: Any) -> Any:
                if data[0] == 1.0:
                    next_is_ready.set()
                return data

        with Prepares(Waits()) as predictor:
            answer = predictor.predict_batch(np.array([0.0, 1.0]), batch_size=1, num_workers=1)
        assert answer["y"].tolist() == [0, 2]

    @pytest.mark.parametrize("workers", [0, 2])
    def test_a_bad_row_fails_at_its_place(self, workers: int) -> None:
        for bad, kind in [(-1.0, ModelError), ("x", InvalidInput), ([[1.0]], InvalidInput)]:
            seen = []
            with Predictor(model=Doubler()) as predictor:
                answers = predictor.predict_batch(iter([1.0, 2.0, bad, 4.0]), num_workers=workers)
                with pytest.raises(kind):
                    for answer in answers:
                        seen.append(answer["y"])
            assert seen == [2.0, 4.0]

    def test_bad_rows_are_told_of_by_their_number_over_all_items(self, reports: Reports) -> None:
        items = [1.0, -1.0, np.array([3.0, -1.0]), 5.0, "x", -1.0, np.array([-1.0])]
        with Predictor(model=Doubler()) as predictor:
            answers = [answer["y"] for answer in predictor.predict_batch(iter(items), on_row_error=heard(reports))]
        assert [row for row, _ in reports] == [1, 3, 5, 6, 7]
        assert answers[0] == 2 and answers[3] == 10
        assert answers[2][0] == 6 and np.isnan(answers[2][1]) and np.isnan(answers[6][0])
        assert all(answers[at] is None or np.isnan(answers[at]) for at in (1, 4, 5))

    @pytest.mark.parametrize("workers", [0, 2])
    def test_what_the_source_raises_comes_after_the_answers_before_it(self, workers: int) -> None:
        def source() -> Iterator[float]:
            yield from (1.0, 2.0, 3.0)
            raise OSError("the file ends early")

        seen = []
        with Predictor(model=Doubler()) as predictor, pytest.raises(OSError, match="ends early"):
            for answer in predictor.predict_batch(source(), num_workers=workers):
                seen.append(answer["y"])
        assert seen == [2, 4, 6]

    def test_no_items_are_no_answers(self) -> None:
        with Predictor(model=Doubler()) as predictor:
            assert list(predictor.predict_batch(iter([]))) == []


class Ranks(Model):
    """The answer of a row is its share of the whole call: it depends on the rows beside it."""

    spec = ModelSpec(
        inputs=(TensorSpec("x", DataType.FP64, ()),), outputs=(TensorSpec("y", DataType.FP64, ()),), row_wise=False
    )

    def predict(self, batch: Batch, ctx: Context) -> Batch:
        x = batch.dense("x")
        return Batch.of(y=x / x.sum())


class TestModelsWhoseRowsDependOnEachOther:
    def test_are_never_split_unasked(self) -> None:
        data = np.ones(20_000)
        with Predictor(model=Ranks()) as predictor:
            for answer in (predictor.predict(data), predictor.predict_batch(data)):
                np.testing.assert_allclose(answer["y"], 1 / 20_000)

    def test_are_not_split_by_a_batch_size_either(self) -> None:
        with Predictor(model=Ranks()) as predictor:
            with pytest.raises(InvalidSetting, match="depend on the rows beside them"):
                list(predictor.predict_batch(iter([np.ones(10)]), batch_size=5))
            with pytest.raises(InvalidSetting, match="depend on the rows beside them"):
                predictor.predict_batch(np.ones(10), batch_size=5)
            assert predictor.predict_batch(np.ones(10), batch_size=10)["y"].tolist() == [0.1] * 10

    def test_single_rows_of_an_iterator_are_calls_of_their_own(self) -> None:
        with Predictor(model=Ranks()) as predictor:
            assert [answer["y"] for answer in predictor.predict_batch(iter([1.0, 3.0]))] == [1.0, 1.0]


@pytest.mark.parametrize("empty", [[], np.zeros(0), {"x": []}, pd.DataFrame({"x": np.zeros(0)})])
def test_no_rows_have_an_answer_without_rows(empty: Any) -> None:
    with Predictor(model=Doubler()) as predictor:
        for answer in (predictor.predict(empty), predictor.predict_batch(empty), predictor.predict_batch(empty, 5)):
            assert len(answer) == 0 or len(answer["y"]) == 0
            assert type(answer) is type(predictor.predict(empty))
