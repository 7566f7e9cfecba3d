"""What a Python function may return, and what is learned from it."""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
from live_models import ROWS, answer, inputs, lists, loaded

from foretell import Predictor
from foretell.columns import Batch, Bytes, Dense, Ragged
from foretell.errors import InferenceError, ModelError, RowError
from foretell.forms.values import to_python
from foretell.types import DataType, ModelSpec, TensorSpec

# What it may return


@pytest.mark.parametrize(
    "returned",
    [np.array([1.0, 2.0, 3.0]), [1.0, 2.0, 3.0], (1.0, 2.0, 3.0), pd.Series([1.0, 2.0, 3.0])],
    ids=lambda value: type(value).__name__,
)
def test_bare_values_become_one_output(returned: object) -> None:
    model = loaded(lambda x: returned)
    assert lists(answer(model)) == {"output": [1.0, 2.0, 3.0]}
    assert model.bare_output
    assert model.spec.outputs == (TensorSpec("output", DataType.FP64, ()),)


class Named(NamedTuple):
    n: Any
    t: Any


@dataclass
class Record:
    n: Any
    t: Any


def test_dicts_and_lists_of_dicts_name_the_outputs() -> None:
    wanted = {"n": [1, 2, 3], "t": ["a", "b", "c"]}
    rows = list(zip(*wanted.values(), strict=True))
    listed = [[make(n=n, t=t) for n, t in rows] for make in (dict, Named, Record)]
    for returned in (wanted, Named(**wanted), Record(**wanted), *listed):
        model = loaded(lambda x, returned=returned: returned)
        assert lists(answer(model)) == wanted
        assert not model.bare_output


@pytest.mark.parametrize("make", [dict, Named, Record])
def test_a_function_of_one_row_may_answer_with_any_kind_of_record(make: Any) -> None:
    def one(x: float) -> Any:
        return make(n=x + 1, t=str(x))

    with Predictor(one) as predictor:
        assert predictor.predict([1.0, 2.0]) == [{"n": 2.0, "t": "1.0"}, {"n": 3.0, "t": "2.0"}]


def test_a_tuple_is_one_value_for_each_declared_output() -> None:
    class Two:
        outputs = (TensorSpec("a"), TensorSpec("b"))

        def predict(self, x: Any) -> Any:
            return x[:, 0], x[:, 1]

    assert lists(answer(Two())) == {"a": [0, 2, 4], "b": [1, 3, 5]}


@pytest.mark.parametrize(
    "returned",
    [
        lambda x: tuple(np.asarray(x, float).T),
        lambda x: (x[:, 0], x[:, 1], pd.Series(x[:, 0])),
        lambda x: pd.DataFrame(x, columns=["a", "a"]),
        lambda x: pd.DataFrame(x, columns=[1, "1"]),
    ],
)
def test_outputs_that_could_be_rows_or_each_other_are_refused(returned: Any) -> None:
    with pytest.raises(ModelError, match=r"may be outputs or rows|two columns of its answer are named '(a|1)'"):
        answer(returned)


def test_a_tuple_of_plain_rows_is_rows() -> None:
    assert lists(answer(lambda x: tuple(map(tuple, x.tolist())))) == {"output": [[0, 1], [2, 3], [4, 5]]}


def test_rows_of_different_length_are_ragged() -> None:
    model = loaded(lambda x: [[1], [1, 2], []])
    assert isinstance(answer(model).columns["output"], Ragged)
    assert model.spec.outputs == (TensorSpec("output", DataType.INT64, (None,)),)


@pytest.mark.parametrize("bad", [ValueError("odd"), RowError("invalid_input", "odd")], ids=["exception", "row error"])
def test_an_error_in_the_place_of_a_value_ends_that_row_alone(bad: object) -> None:
    for returned in ([1, bad, 3], {"output": [1, bad, 3]}, [{"output": 1}, bad, {"output": 3}]):
        done = answer(lambda x, returned=returned: returned)
        assert list(done.errors) == [1] and "odd" in done.errors[1].message
        assert len(done.columns["output"]) == 3
        assert to_python(done.columns["output"])[::2] == [1, 3]


def test_all_rows_may_fail() -> None:
    done = answer(lambda x: [ValueError("no")] * 3)
    assert list(done.errors) == [0, 1, 2] and done.rows == 3


@pytest.mark.parametrize(
    "returned",
    [None, 3, "abc", np.float64(1), np.array(1), {}, {1: [1, 2, 3]}, [1, 2], [[1], [2]], object(), {"a": None},
     [1, "a", 2], [object()] * 3, [{"a": 1}, {"b": 1}, {"a": 1}], iter([1, 2, 3]), Batch.of(y=np.zeros(2))],
    ids=lambda returned: re.sub(r" at 0x\w+", "", repr(returned)),
)  # fmt: skip
def test_what_is_no_answer_is_one_sentence(returned: object) -> None:
    with pytest.raises(ModelError) as caught:
        answer(lambda x: returned)
    assert "\n" not in str(caught.value)


# Learning and holding to outputs


def test_names_of_outputs_may_not_change() -> None:
    model = loaded(lambda x: {"a": x} if x[0, 0] == 0 else {"b": x})
    answer(model, ROWS)
    with pytest.raises(ModelError, match="changed their names; expected a, got b"):
        answer(model, ROWS.slice(1, 3))


def test_a_later_answer_takes_the_first_datatype_or_fails() -> None:
    answers: list[Any] = [[0.5], [1], ["text"]]
    model = loaded(lambda x: answers.pop(0))
    one = ROWS.slice(0, 1)
    assert lists(answer(model, one)) == {"output": [0.5]}
    assert answer(model, one).columns["output"].data.dtype == np.float64
    with pytest.raises(ModelError, match="changed its type; expected FP64, got BYTES"):
        answer(model, one)


def test_a_dimension_that_varies_becomes_free() -> None:
    widths = [2, 3]
    model = loaded(lambda x: np.zeros((len(x), widths.pop(0))))
    answer(model)
    assert model.spec.outputs == (TensorSpec("output", DataType.FP64, (2,)),)
    answer(model)
    assert model.spec.outputs == (TensorSpec("output", DataType.FP64, (None,)),)


def test_a_declared_output_is_held_to() -> None:
    class Declared:
        outputs = (TensorSpec("y", DataType.FP32, (2,)),)

        def predict(self, x: Any) -> Any:
            return x if x[0, 0] == 0 else x[:, :1]

    model = loaded(Declared)
    assert answer(model).columns["y"].data.dtype == np.float32
    with pytest.raises(ModelError, match="shape"):
        answer(model, ROWS.slice(1, 3))


def test_an_example_tells_inputs_and_outputs_before_the_first_call() -> None:
    model = loaded(lambda x: {"sum": x.sum(axis=1)}, example=np.ones((2, 3), np.float32))
    assert model.spec == ModelSpec((TensorSpec("x", DataType.FP32, (3,)),), (TensorSpec("sum", DataType.FP32, ()),))


def test_an_example_of_several_inputs_is_a_dict_or_frame() -> None:
    rows = {"a": [1, 2], "b": ["x", "y"]}
    for example in (rows, pd.DataFrame(rows)):
        assert inputs(lambda a, b: a, example=example) == [("a", DataType.INT64, ()), ("b", DataType.BYTES, ())]


@pytest.mark.parametrize("example", [[], {"z": [1]}, {"x": [1], "y": [2]}, 3], ids=repr)
def test_an_example_that_does_not_fit_is_refused(example: object) -> None:
    with pytest.raises(InferenceError, match="example"):
        loaded(lambda x: x, example=example)


def test_no_rows_never_reach_code_whose_outputs_are_known() -> None:
    def fragile(x: Any) -> dict[str, Any]:
        return {"largest": x.max(axis=0).repeat(len(x)), "text": ["t"] * len(x)}

    model = loaded(fragile, example=[1.0, 2.0])
    empty = answer(model, Batch.of(x=np.zeros(0)))
    assert empty.rows == 0
    assert isinstance(empty.columns["largest"], Dense) and isinstance(empty.columns["text"], Bytes)


def test_first_answers_from_many_threads_agree_on_the_outputs() -> None:
    class Concurrent:
        concurrent = True

        def predict(self, x: Any) -> Any:
            barrier.wait()
            return {"y": x}

    barrier = threading.Barrier(4)
    model = loaded(Concurrent)
    done: list[Batch] = []
    threads = [threading.Thread(target=lambda: done.append(answer(model))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert model.spec.concurrent and model.spec.outputs == (TensorSpec("y", DataType.FP64, (2,)),)
    assert len(done) == 4


def test_answers_of_an_undeclared_function_follow_the_numbers_it_is_given() -> None:
    with Predictor(lambda x: x * 2) as predictor:
        whole = predictor.predict(np.array([[1, 2]]))
        assert whole.dtype == np.int64
        halves = predictor.predict(np.array([[0.5, 1.5]]))
        np.testing.assert_array_equal(halves, [[1.0, 3.0]])
        assert predictor.predict(np.array([[1, 2]])).dtype == np.int64
        assert predictor.spec.outputs is not None
        assert predictor.spec.outputs[0].datatype is None
