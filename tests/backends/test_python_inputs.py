"""What parameters and hints tell of the inputs, and what a Python function is handed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypedDict

import numpy as np
import pandas as pd
import pytest
from live_models import ROWS, TEXTS, answer, inputs, lists, loaded
from numpy.typing import NDArray

from foretell.columns import Batch, Bytes
from foretell.forms.values import to_python
from foretell.model import Context
from foretell.types import DataType, TensorSpec

# What hints tell


def floats32(image: NDArray[np.float32]) -> NDArray[np.float64]:
    return image.astype(np.float64)


def text_and_scores(texts: list[str], scores: list[list[float]]) -> list[int]:
    return [len(text) + len(row) for text, row in zip(texts, scores, strict=True)]


def test_inputs_come_from_parameter_names_and_hints() -> None:
    assert inputs(lambda x: x) == [("x", None, None)]
    assert inputs(floats32) == [("image", DataType.FP32, None)]
    assert inputs(text_and_scores) == [("texts", DataType.BYTES, ()), ("scores", DataType.FP64, (None,))]


def abstract(x: NDArray[np.floating[Any]], y: np.ndarray[Any, Any], z: list[Any]) -> Any: ...


def unresolvable(x: DoesNotExist) -> Any: ...  # type: ignore[name-defined]  # noqa: F821


def test_hints_that_tell_nothing_are_not_guessed_from() -> None:
    assert inputs(abstract) == [("x", None, None), ("y", None, None), ("z", None, None)]
    assert inputs(unresolvable) == [("x", None, None)]


@pytest.mark.parametrize("hint", [bool, int, float, str])
def test_a_list_of_each_kind_of_value_is_a_tensor_of_it(hint: type) -> None:
    def function(x: Any) -> Any: ...

    function.__annotations__["x"] = list[hint]  # type: ignore[valid-type]
    wanted = {bool: DataType.BOOL, int: DataType.INT64, float: DataType.FP64, str: DataType.BYTES}
    assert inputs(function) == [("x", wanted[hint], ())]


def test_optional_strings_are_nullable_and_arrive_as_none() -> None:
    def missing(texts: list[str | None]) -> list[bool]:
        return [text is None for text in texts]

    model = loaded(missing)
    assert model.spec.inputs is not None
    assert model.spec.inputs[0].nullable
    assert lists(answer(model, Batch({"texts": Bytes.of(["a", None])}, 2))) == {"output": [False, True]}


def test_defaults_are_no_inputs_unless_there_is_nothing_else() -> None:
    assert [name for name, *_ in inputs(lambda x, threshold=0.5: x)] == ["x"]
    assert [name for name, *_ in inputs(lambda x=None, y=None: x)] == ["x"]


def test_open_parameters_leave_the_inputs_unknown() -> None:
    def by_name(**columns: Any) -> Any:
        return columns["x"] * 2

    def by_position(*columns: Any) -> Any:
        return columns[0] * 2

    for function in (by_name, by_position):
        model = loaded(function)
        assert model.spec.inputs is None
        assert lists(answer(model)) == {"output": [[0, 2], [4, 6], [8, 10]]}


class Scored(TypedDict):
    label: list[str]
    score: NDArray[np.float32]


def test_a_typed_dict_tells_the_outputs_before_the_first_call() -> None:
    def classify(texts: list[str]) -> Scored:
        return {"label": texts, "score": np.ones(len(texts), np.float32)}

    model = loaded(classify)
    assert model.spec.outputs == (TensorSpec("label", DataType.BYTES, ()), TensorSpec("score", DataType.FP32, None))
    assert not model.bare_output


# What the code is handed


def test_numbers_arrive_as_arrays_and_strings_as_a_list() -> None:
    seen: list[Any] = []

    def look(x: Any, texts: Any) -> Any:
        seen.extend((x, texts))
        return x

    answer(look, Batch({"texts": TEXTS.columns["texts"], "x": ROWS.columns["x"]}, 3))
    assert isinstance(seen[0], np.ndarray) and seen[0].shape == (3, 2)
    assert seen[1] == ["a", "bb", "ccc"]


def test_hinted_lists_and_bytes_are_what_they_say() -> None:
    seen: list[Any] = []

    def look(x: list[list[float]], texts: list[bytes]) -> Any:
        seen.extend((x, texts))
        return x

    answer(look, Batch({"x": ROWS.columns["x"], "texts": TEXTS.columns["texts"]}, 3))
    assert seen == [[[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]], [b"a", b"bb", b"ccc"]]


def test_columns_go_by_name_whatever_their_order() -> None:
    batch = Batch.of(b=np.array([1.0]), a=np.array([10.0]))
    assert lists(answer(lambda a, b: a - b, batch)) == {"output": [9.0]}


def test_whole_batches_dicts_records_and_frames() -> None:
    def whole(batch: Batch) -> Batch:
        return Batch({"y": batch.columns["x"]}, batch.rows)

    def mapping(columns: dict[str, Any]) -> Any:
        return columns["x"][:, 0]

    def records(rows: list[dict[str, Any]]) -> list[float]:
        return [row["x"][0] for row in rows]

    def frame(table: pd.DataFrame) -> pd.DataFrame:
        return table.assign(twice=table["a"] * 2)

    assert lists(answer(whole)) == {"y": [[0, 1], [2, 3], [4, 5]]}
    assert lists(answer(mapping)) == {"output": [0, 2, 4]}
    assert lists(answer(records)) == {"output": [0, 2, 4]}
    assert lists(answer(frame, Batch.of(a=np.array([1, 2])))) == {"a": [1, 2], "twice": [2, 4]}


def test_context_and_params_are_given_where_asked_for() -> None:
    def scaled(ctx: Any, x: Any, params: Mapping[str, Any], other: Context | None = None) -> Any:
        assert isinstance(ctx, Context) and other is ctx
        return x * params["by"]

    assert lists(answer(scaled, by=10)) == {"output": [[0, 10], [20, 30], [40, 50]]}
    assert [name for name, *_ in inputs(scaled)] == ["x"]


def test_a_function_of_one_row_is_called_for_each() -> None:
    def first_letter(texts: str) -> str:
        if texts == "bb":
            raise ValueError("no bees")
        return texts[0]

    model = loaded(first_letter)
    assert model.spec.batch == "any"
    done = answer(model, TEXTS)
    assert to_python(done.columns["output"])[::2] == ["a", "c"]
    assert list(done.errors) == [1]
    assert done.errors[1].code == "model_error" and "ValueError: no bees" in done.errors[1].message


def test_batch_none_hands_over_one_row_without_its_axis() -> None:
    model = loaded(lambda x: x.sum(), batch="none")
    assert model.spec.batch is None
    assert lists(answer(model, ROWS.slice(1, 2))) == {"output": [5.0]}
