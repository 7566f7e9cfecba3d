"""The best classes instead of all scores."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from foretell.cli.predict import best as best_of_row
from foretell.columns import Array, Batch, Bytes, Dense, Ragged
from foretell.errors import InvalidSetting
from foretell.forms.top import best, shown
from foretell.forms.values import to_python
from foretell.types import DataType, ModelSpec, TensorSpec

LABELS = ("cat", "dog", "emu")


def spec_of(*tensors: TensorSpec, labels: bool = True) -> ModelSpec:
    return ModelSpec(outputs=tensors, labels={"p": LABELS} if labels else None)


SCORES = TensorSpec("p", DataType.FP32, (3,))
DATA = np.array([[0.1, 0.7, 0.2], [0.4, 0.4, 0.2], [0, np.nan, 0.5]], np.float32)


def answered(data: Array, spec: ModelSpec, top: int) -> dict[str, list[object]]:
    made = best(Batch({"p": Dense(data), "n": Dense(np.arange(len(data)))}, len(data)), spec, top)
    return {name: to_python(column) for name, column in made.columns.items()}


def test_the_best_one_by_name() -> None:
    made = answered(DATA, spec_of(SCORES), 1)
    assert made["p_label"] == ["dog", "cat", "emu"]
    assert made["p_score"] == [pytest.approx(0.7), pytest.approx(0.4), 0.5]
    assert made["n"] == [0, 1, 2]
    assert "p" not in made


def test_several_best_ones_by_name_and_by_index() -> None:
    made = answered(DATA, spec_of(SCORES), 2)
    assert made["p_labels"] == [["dog", "emu"], ["cat", "dog"], ["emu", "cat"]]
    assert made["p_scores"] == [pytest.approx([0.7, 0.2]), pytest.approx([0.4, 0.4]), [0.5, 0.0]]
    assert answered(DATA, spec_of(SCORES, labels=False), 2)["p_labels"] == [[1, 2], [0, 1], [2, 0]]
    assert answered(DATA, spec_of(SCORES, labels=False), 1)["p_label"] == [1, 0, 2]


def test_no_more_than_there_are() -> None:
    assert answered(DATA, spec_of(SCORES), 9)["p_labels"][0] == ["dog", "emu", "cat"]
    tensors = shown(spec_of(SCORES), 9).outputs or ()
    assert [(each.name, each.datatype, each.shape) for each in tensors] == [
        ("p_labels", DataType.BYTES, (3,)), ("p_scores", DataType.FP32, (3,)),
    ]  # fmt: skip


def test_what_is_no_scores_stays() -> None:
    spec = spec_of(SCORES, TensorSpec("n", DataType.INT64, ()))
    assert [each.name for each in shown(spec, 1).outputs or ()] == ["p_label", "p_score", "n"]
    assert shown(spec, None) is spec


def test_bfloat16_scores_are_compared_as_numbers() -> None:
    spec = spec_of(TensorSpec("p", DataType.BF16, (3,)))
    bits = np.array([[0x3F80, 0xC000, 0x4000]], np.uint16)
    made = answered(bits, spec, 1)
    assert (made["p_label"], made["p_score"]) == (["emu"], [2.0])
    assert [each.datatype for each in shown(spec, 1).outputs or ()] == [DataType.BYTES, DataType.FP32]


def test_a_row_without_scores_has_no_best_class() -> None:
    batch = Batch({"p": Dense(DATA, np.array([True, False, True]))}, 3)
    made = best(batch, spec_of(SCORES), 1)
    assert to_python(made.columns["p_label"]) == ["dog", None, "emu"]


@pytest.mark.parametrize(
    "tensor",
    [TensorSpec("y", DataType.FP32, ()), TensorSpec("y", DataType.FP32, (1,)), TensorSpec("y", DataType.INT64, (3,)),
     TensorSpec("y", DataType.FP32, (3, 3)), TensorSpec("y", DataType.BYTES, (3,))],
)  # fmt: skip
def test_a_model_without_class_scores_is_refused_before_anything_is_scored(tensor: TensorSpec) -> None:
    with pytest.raises(InvalidSetting, match=r"--top needs an output of class scores; .*'y'"):
        shown(ModelSpec(outputs=(tensor,)), 2)


def test_a_model_that_tells_nothing_is_refused_once_it_has_answered() -> None:
    assert shown(ModelSpec(), 2) == ModelSpec()
    column = Ragged(Dense(np.ones(3)), np.array([0, 1, 3]))
    with pytest.raises(InvalidSetting, match="--top needs an output of class scores"):
        best(Batch({"y": column, "t": Bytes.of(["a", "b"])}, 2), ModelSpec(), 2)


@example([[math.nan, math.nan, -math.inf], [math.nan, 1.0, math.nan]], 1)
@given(st.lists(st.lists(st.floats(width=32), min_size=3, max_size=3), min_size=1, max_size=8), st.integers(1, 4))
def test_it_is_what_predict_says_of_each_row(rows: list[list[float]], top: int) -> None:
    data = np.array(rows, np.float32)
    made = answered(data, spec_of(SCORES), top)
    labels = made["p_labels"] if top > 1 else [[label] for label in made["p_label"]]
    expected = [best_of_row(row, LABELS, top) for row in data]
    finite = [not np.isnan(row).all() or top > 1 for row in data]
    assert [each for each, use in zip(labels, finite, strict=True) if use] == [
        list(each) for each, use in zip(expected, finite, strict=True) if use
    ]
