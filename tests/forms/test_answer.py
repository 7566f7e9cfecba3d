"""`Batch` -> answers in the form of the question."""

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from foretell.columns import Batch, Bytes, Dense, Ragged
from foretell.errors import RowError
from foretell.forms import Form, Kind, from_batch, to_batch
from foretell.types import DataType, ModelSpec, TensorSpec

COLUMNS = {
    "label": Bytes.of(["cat", "dog"]),
    "count": Dense(np.array([7, 8])),
    "sure": Dense(np.array([True, False])),
    "score": Dense(np.array([[0.5], [0.25]], np.float32)),
    "probabilities": Dense(np.array([[0.1, 0.9], [0.8, 0.2]])),
    "tokens": Ragged(Dense(np.array([1, 2, 3])), np.array([0, 2, 3])),
}
WHOLE = Batch(COLUMNS, 2)
BROKEN = Batch(COLUMNS, 2, {1: RowError("model_error", "no")})
FIRST = {"label": "cat", "count": 7, "sure": True, "score": [0.5], "probabilities": [0.1, 0.9], "tokens": [1, 2]}
SECOND = {"label": "dog", "count": 8, "sure": False, "score": [0.25], "probabilities": [0.8, 0.2], "tokens": [3]}
NOTHING = dict.fromkeys(FIRST)


def answer(batch, kind, single=False, bare=False, **form):
    return from_batch(batch, Form(kind, **form), single=single, bare=bare)


def test_rows_get_a_dict_each():
    assert answer(WHOLE, Kind.LIST) == [FIRST, SECOND]
    assert answer(BROKEN, Kind.LIST) == [FIRST, NOTHING]
    assert answer(WHOLE.slice(0, 1), Kind.LIST, single=True) == FIRST
    assert answer(Batch({}, 2), Kind.LIST) == [{}, {}]


def test_columns_get_columns():
    assert answer(WHOLE, Kind.DICT) == {name: [FIRST[name], SECOND[name]] for name in FIRST}
    assert answer(BROKEN, Kind.DICT) == {name: [FIRST[name], None] for name in FIRST}
    assert answer(WHOLE.slice(1, 2), Kind.DICT, single=True) == SECOND
    arrays = answer(WHOLE, Kind.DICT, arrays=True)
    assert all(isinstance(values, np.ndarray) for values in arrays.values())


def test_arrays_get_arrays():
    made = answer(WHOLE, Kind.NUMPY)
    assert made["score"] is COLUMNS["score"].data
    assert made["label"].tolist() == ["cat", "dog"]
    assert [row.tolist() for row in made["tokens"]] == [[1, 2], [3]]
    one = answer(WHOLE.slice(0, 1), Kind.NUMPY, single=True)
    assert one["probabilities"].tolist() == [0.1, 0.9]
    assert one["count"] == 7
    broken = answer(BROKEN, Kind.NUMPY)
    assert broken["count"].tolist() == [7, None]
    assert broken["label"].tolist() == ["cat", None]
    assert broken["tokens"][1] is None
    assert broken["score"].dtype == np.float32
    assert np.isnan(broken["score"][1, 0])
    assert COLUMNS["score"].data[1, 0] == 0.25


def test_an_output_without_a_name_is_the_value_itself():
    batch = Batch({"anything": COLUMNS["count"]}, 2)
    assert answer(batch, Kind.NUMPY, bare=True).tolist() == [7, 8]
    assert answer(batch, Kind.LIST, bare=True) == [7, 8]
    assert answer(batch, Kind.LIST, bare=True, single=True) == 7
    assert answer(batch, Kind.DICT, bare=True) == [7, 8]
    assert list(answer(batch, Kind.PANDAS, bare=True).columns) == ["output"]
    assert answer(batch, Kind.POLARS, bare=True).columns == ["output"]
    assert answer(batch, Kind.ARROW, bare=True).column_names == ["output"]


def test_pandas_keeps_its_index_and_types():
    made = answer(WHOLE, Kind.PANDAS, index=pd.Index(["r", "q"]))
    assert made.index.tolist() == ["r", "q"]
    assert made["score"].dtype == np.float32
    assert made["count"].dtype == np.int64
    assert made.loc["q", "probabilities"].tolist() == [0.8, 0.2]
    assert made.loc["r", "tokens"].tolist() == [1, 2]
    broken = answer(BROKEN, Kind.PANDAS)
    assert broken.isna().to_numpy().tolist() == [[False] * 6, [True] * 6]
    assert (broken["count"].dtype, broken["sure"].dtype) == (pd.Int64Dtype(), pd.BooleanDtype())


def test_polars_has_lists_for_vectors():
    made = answer(WHOLE, Kind.POLARS)
    flat = {**FIRST, "score": 0.5}, {**SECOND, "score": 0.25}
    assert made.to_dicts() == list(flat)
    assert made.schema["probabilities"] == pl.List(pl.Float64)
    assert made.schema["score"] == pl.Float32
    broken = answer(BROKEN, Kind.POLARS)
    assert broken.row(1) == (None,) * 6
    assert broken.schema["count"] == pl.Int64


def test_arrow_has_lists_for_vectors():
    made = answer(WHOLE, Kind.ARROW)
    assert made.to_pylist() == [{**FIRST, "score": 0.5}, {**SECOND, "score": 0.25}]
    assert made.schema.field("probabilities").type == pa.list_(pa.float64(), 2)
    broken = answer(BROKEN, Kind.ARROW).to_pylist()
    assert set(broken[1].values()) == {None}


@pytest.mark.parametrize("kind", [Kind.PANDAS, Kind.POLARS, Kind.ARROW])
def test_frames_without_rows_keep_their_columns(kind):
    made = answer(WHOLE.slice(0, 0), kind)
    assert len(made) == 0
    assert list(made.column_names if kind is Kind.ARROW else made.columns) == list(FIRST)


@pytest.mark.parametrize("kind", [Kind.PANDAS, Kind.POLARS, Kind.ARROW])
def test_frames_hold_what_is_not_plain(kind):
    columns = {
        "cube": Dense(np.arange(8.0).reshape(2, 2, 2)),
        "half": Dense(np.array([1, 2], np.float16)),
        "raw": Bytes.of([b"\xff", b"a"]),
        "words": Bytes.of(["a", "b", "c", "d"], (2,)),
        "lists": Ragged(Bytes.of(["a", "b", "c"]), np.array([0, 1, 3])),
        "holes": Dense(np.array([[1, 2], [3, 4]]), np.array([True, False])),
    }
    made = answer(Batch(columns, 2), kind)
    rows = (
        made.to_pylist() if kind is Kind.ARROW else made.to_dict("records") if kind is Kind.PANDAS else made.to_dicts()
    )
    plain = {name: cell.tolist() if isinstance(cell, np.ndarray) else cell for name, cell in rows[1].items()}
    assert plain.pop("raw") in ("a", b"a")
    assert plain == {
        "cube": [[4.0, 5.0], [6.0, 7.0]], "half": 2.0, "words": ["c", "d"], "lists": ["b", "c"], "holes": None
    }  # fmt: skip
    assert rows[0]["raw"] == b"\xff"


def test_bfloat16_leaves_as_numbers():
    spec = ModelSpec(outputs=(TensorSpec("y", DataType.BF16, ()),))
    batch = Batch({"y": Dense(np.array([0x3F80, 0x4000], np.uint16))}, 2, {1: RowError("model_error", "no")})
    made = from_batch(batch, Form(Kind.NUMPY), single=False, spec=spec)
    np.testing.assert_array_equal(made["y"], np.array([1, np.nan], np.float32))


def test_the_form_of_a_question_gives_the_form_of_the_answer():
    spec = ModelSpec((TensorSpec("x", DataType.FP64, ()),))
    frame = pd.DataFrame({"x": [1.0, 2.0]}, index=[5, 6])
    for data, expected in [
        ([1.0, 2.0], [{"x": 1.0}, {"x": 2.0}]),
        (1.0, {"x": 1.0}),
        ({"x": 1.0}, {"x": 1.0}),
        ({"x": [1.0, 2.0]}, {"x": [1.0, 2.0]}),
        ([{"x": 1.0}], [{"x": 1.0}]),
    ]:
        made = to_batch(data, spec)
        assert from_batch(made.batch, made.form, single=made.single) == expected
    made = to_batch(frame, spec)
    pd.testing.assert_frame_equal(from_batch(made.batch, made.form, single=False), frame)
    series = to_batch(frame["x"], spec)
    pd.testing.assert_frame_equal(from_batch(series.batch, series.form, single=False), frame)
    arrays = to_batch({"x": np.array([1.0, 2.0])}, spec)
    assert isinstance(from_batch(arrays.batch, arrays.form, single=False)["x"], np.ndarray)
