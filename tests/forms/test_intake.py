"""Rows in every form -> `Batch`, and the one rule for single rows."""

import subprocess
import sys

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from foretell.errors import InvalidInput
from foretell.forms import Kind, is_single, to_batch, to_python
from foretell.types import DataType, ModelSpec, TensorSpec

WIDE = ModelSpec((TensorSpec("x", DataType.FP32, (3,)),), features={"x": ("a", "b", "c")})
MIXED = ModelSpec((TensorSpec("n", DataType.FP64, (1,)), TensorSpec("s", DataType.BYTES, (1,))))
TEXT = ModelSpec((TensorSpec("t", DataType.BYTES, ()),))
TEXTS = ModelSpec((TensorSpec("t", DataType.BYTES, (1,)),))
WIDE_AND_ONE = ModelSpec((TensorSpec("w", DataType.FP32, (2,)), TensorSpec("n", DataType.FP32, (1,))))
TOKENS = ModelSpec((TensorSpec("ids", DataType.INT64, (None,)),))
WHOLE = ModelSpec((TensorSpec("x", DataType.FP32, (2, 2)),), batch=None)
UNKNOWN = ModelSpec()


def cells(intake):
    return {name: to_python(column) for name, column in intake.batch.columns.items()}


@pytest.mark.parametrize(
    ("data", "spec", "single", "expected"),
    [
        ([1, 2, 3], WIDE, True, {"x": [[1, 2, 3]]}),
        ([[1, 2, 3]], WIDE, False, {"x": [[1, 2, 3]]}),
        ((1, 2, 3), WIDE, True, {"x": [[1, 2, 3]]}),
        (np.arange(3), WIDE, True, {"x": [[0, 1, 2]]}),
        (np.arange(3)[None], WIDE, False, {"x": [[0, 1, 2]]}),
        ([np.arange(3), np.arange(3)], WIDE, False, {"x": [[0, 1, 2]] * 2}),
        ({"x": [1, 2, 3]}, WIDE, True, {"x": [[1, 2, 3]]}),
        ({"x": [[1, 2, 3]]}, WIDE, False, {"x": [[1, 2, 3]]}),
        ({"b": 2, "a": 1, "c": 3}, WIDE, True, {"x": [[1, 2, 3]]}),
        ({"b": [2], "a": [1], "c": [3]}, WIDE, False, {"x": [[1, 2, 3]]}),
        ([{"b": 2, "a": 1, "c": 3}], WIDE, False, {"x": [[1, 2, 3]]}),
        ([{"x": [1, 2, 3]}], WIDE, False, {"x": [[1, 2, 3]]}),
        ({"p": 2, "q": 1, "r": 3}, WIDE, True, {"x": [[2, 1, 3]]}),
        ({"n": 1, "s": "a"}, MIXED, True, {"n": [[1]], "s": [["a"]]}),
        ({"n": [1], "s": ["a"]}, MIXED, False, {"n": [[1]], "s": [["a"]]}),
        ({"n": [[1]], "s": [["a"]]}, MIXED, False, {"n": [[1]], "s": [["a"]]}),
        ({"n": 1, "s": ["a"]}, MIXED, True, {"n": [[1]], "s": [["a"]]}),
        ({"w": [1, 2], "n": [3]}, WIDE_AND_ONE, True, {"w": [[1, 2]], "n": [[3]]}),
        ({"w": [[1, 2]], "n": [3]}, WIDE_AND_ONE, False, {"w": [[1, 2]], "n": [[3]]}),
        ([{"s": "a", "n": 1}], MIXED, False, {"n": [[1]], "s": [["a"]]}),
        ("hi", TEXT, True, {"t": ["hi"]}),
        (b"hi", TEXT, True, {"t": ["hi"]}),
        (["hi"], TEXT, False, {"t": ["hi"]}),
        ("hi", TEXTS, True, {"t": [["hi"]]}),
        (["hi"], TEXTS, False, {"t": [["hi"]]}),
        ([["hi"]], TEXTS, False, {"t": [["hi"]]}),
        (np.array(["hi", "ho"]), TEXTS, False, {"t": [["hi"], ["ho"]]}),
        ([7, 8], TOKENS, True, {"ids": [[7, 8]]}),
        ([[7, 8], [9]], TOKENS, False, {"ids": [[7, 8], [9]]}),
        ([[1, 2], [3, 4]], WHOLE, True, {"x": [[[1, 2], [3, 4]]]}),
        ([[[1, 2], [3, 4]]] * 2, WHOLE, False, {"x": [[[1, 2], [3, 4]]] * 2}),
        ("hi", UNKNOWN, True, {"input": ["hi"]}),
        (5, UNKNOWN, True, {"input": [5]}),
        (np.float32(5), UNKNOWN, True, {"input": [5.0]}),
        ([5, 6], UNKNOWN, False, {"input": [5, 6]}),
        ({"a": 5, "b": "c"}, UNKNOWN, True, {"a": [5], "b": ["c"]}),
        ({"a": [5]}, UNKNOWN, False, {"a": [5]}),
        ([{"a": 5}], UNKNOWN, False, {"a": [5]}),
        ([5, 6], ModelSpec(batch=None), True, {"input": [[5, 6]]}),
        ([], WIDE, False, {"x": []}),
        ([], UNKNOWN, False, {"input": []}),
        (np.zeros((0, 3)), WIDE, False, {"x": []}),
        (np.zeros(0), WIDE, False, {"x": []}),
        ({"x": []}, WIDE, False, {"x": []}),
    ],
)
def test_one_row_or_rows(data, spec, single, expected):
    made = to_batch(data, spec)
    assert made.single is single
    assert is_single(data, spec) is single
    assert cells(made) == expected
    assert made.batch.rows == len(next(iter(expected.values())))
    assert all(len(column) == made.batch.rows for column in made.batch.columns.values())


FRAME = pd.DataFrame({"b": [2, 5], "c": [3.0, None], "a": [1, 4]}, index=["r", "q"])


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (FRAME, Kind.PANDAS),
        (pl.from_pandas(FRAME), Kind.POLARS),
        (pa.Table.from_pandas(FRAME, preserve_index=False), Kind.ARROW),
        (pa.RecordBatch.from_pandas(FRAME, preserve_index=False), Kind.ARROW),
        ({name: FRAME[name].to_numpy() for name in FRAME}, Kind.DICT),
        ({name: FRAME[name] for name in FRAME}, Kind.DICT),
    ],
)
def test_frames_are_rows_of_the_model_s_features(data, kind):
    made = to_batch(data, WIDE)
    assert (made.form.kind, made.single, made.batch.rows) == (kind, False, 2)
    np.testing.assert_array_equal(made.batch.dense("x"), np.array([[1, 2, 3], [4, 5, np.nan]], np.float32))
    assert made.batch.dense("x").dtype == np.float32


def test_frames_without_rows_have_no_rows():
    for data in (FRAME[:0], pl.from_pandas(FRAME)[:0], pa.Table.from_pandas(FRAME, preserve_index=False)[:0]):
        made = to_batch(data, WIDE)
        assert made.batch.rows == 0
        assert made.batch.dense("x").shape == (0, 3)


@pytest.mark.parametrize("series", [pd.Series([1.0, 2.0]), pl.Series([1.0, 2.0]), pa.array([1.0, 2.0])])
def test_a_series_of_numbers_is_no_row_and_is_told_how_to_be_one(series):
    spec = ModelSpec(inputs=(TensorSpec("x", DataType.FP32, (2,)),))
    with pytest.raises(InvalidInput, match=r"a series of numbers is a column; .* got 2 values; .*frame.iloc\[\[0\]\]"):
        to_batch(series, spec)


@pytest.mark.parametrize(
    "series", [pd.Series(["a", None], name="other"), pl.Series(["a", None]), pa.array(["a", None]),
               pa.chunked_array([["a"], [None]])]
)  # fmt: skip
def test_a_series_is_rows_of_the_only_input(series):
    made = to_batch(series, TEXT)
    assert (made.single, cells(made)) == (False, {"t": ["a", None]})
    assert cells(to_batch(series, UNKNOWN)) == {"input": ["a", None]}


def test_mixed_columns_are_one_tensor_each():
    data = {"n": [1, 2], "s": ["a", None]}
    for frame in (pd.DataFrame(data), pl.DataFrame(data), pa.table(data), data):
        assert cells(to_batch(frame, MIXED)) == {"n": [[1.0], [2.0]], "s": [["a"], None]}


def test_vectors_in_one_column_named_as_the_input():
    rows = [[1, 2, 3], [4, 5, 6]]
    for frame in (
        pd.DataFrame({"x": rows}),
        pl.DataFrame({"x": rows}),
        pa.table({"x": rows}),
        pa.table({"x": pa.array(rows, pa.list_(pa.int32(), 3))}),
        pl.DataFrame({"x": pl.Series(rows, dtype=pl.Array(pl.Float64, 3))}),
    ):
        assert cells(to_batch(frame, WIDE)) == {"x": rows}


def test_columns_are_stacked_into_the_shape_of_a_row():
    image = ModelSpec((TensorSpec("x", DataType.FP32, (2, 2)),))
    assert cells(to_batch({"a": [1], "b": [2], "c": [3], "d": [4]}, image)) == {"x": [[[1, 2], [3, 4]]]}
    words = ModelSpec((TensorSpec("x", DataType.BYTES, (2,)),), features={"x": ("p", "q")})
    assert cells(to_batch({"q": ["2", None], "p": ["1", "3"]}, words)) == {"x": [["1", "2"], None]}


def test_a_mapping_and_a_key_choose_the_columns():
    data = {"key": [9], "p": [1], "q": [2], "r": [3]}
    assert cells(to_batch(data, WIDE, {"x": ["r", "q", "p"]})) == {"x": [[3, 2, 1]]}
    assert cells(to_batch(data, WIDE, ignore=["key"])) == {"x": [[1, 2, 3]]}
    with pytest.raises(InvalidInput, match="a mapping needs named columns"):
        to_batch([[1, 2, 3]], WIDE, {"x": ["a"]})


def test_arrays_that_fit_are_not_copied():
    array = np.zeros((1000, 3), np.float32)
    assert to_batch(array, WIDE).batch.dense("x") is array
    assert to_batch({"x": array}, WIDE).batch.dense("x") is array


def test_records_are_columns():
    records = np.array([(1, 2, 3)], [("c", "i4"), ("a", "f4"), ("b", "i8")])
    assert cells(to_batch(records, WIDE)) == {"x": [[2, 3, 1]]}


@pytest.mark.parametrize(
    ("data", "spec", "words"),
    [
        ([1, 2], WIDE, r"input 'x': wrong shape; expected FP32\[-1, 3\], got FP32\[1, 2\]; give rows of 3 values"),
        (5.0, WIDE, "wrong rank.*got 0 axes"),
        ([[[1, 2, 3]]], WIDE, "wrong rank.*got 3 axes"),
        ([1, "a"], MIXED, r"expected inputs 'n' FP64\[-1, 1\], 's' BYTES\[-1, 1\].*give a dict"),
        ({"n": 1, "s": ["a", "b"]}, MIXED, "'n' is one row and 's' is rows"),
        ({"n": [1, 2], "s": ["a"]}, MIXED, "column 's' has another length; expected 2 rows"),
        ({"a": [1], "b": "c"}, UNKNOWN, "column 'b' has another length"),
        ({"n": [1]}, MIXED, r"missing \['s'\]"),
        ({}, WIDE, "the dict is empty"),
        (None, WIDE, "neither a row nor rows.*got NoneType"),
        ({1, 2}, WIDE, "got set"),
        (iter([1]), WIDE, "got list_iterator"),
        ([{"a": 1}, {"b": 1}], UNKNOWN, "row 1 has other keys than row 0"),
        ([{"a": 1}, 5], UNKNOWN, "row 1 is no dict"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), UNKNOWN, "two columns are named 'a'"),
        (
            pd.DataFrame({"a": ["1"], "b": [1], "c": [1]}),
            WIDE,
            "column 'a': wrong datatype; expected FP32, got strings",
        ),
        ({"q": pd.DataFrame({"a": [1]})}, WIDE, r"extra \['q'\]"),
        (pl.DataFrame({"x": [1]}).lazy(), UNKNOWN, "got LazyFrame"),
    ],
)
def test_input_that_does_not_fit_is_refused_in_one_sentence(data, spec, words):
    with pytest.raises(InvalidInput, match=words) as caught:
        to_batch(data, spec)
    assert "\n" not in str(caught.value)


def test_the_rows_with_other_keys_are_told_apart():
    with pytest.raises(InvalidInput) as caught:
        to_batch([{"a": 1}, {"b": 1}, {"a": 2}, {}], UNKNOWN)
    assert sorted(caught.value.rows) == [1, 3]


def test_no_form_is_imported_to_find_another():
    code = (
        "import sys, numpy as np; from foretell.forms import *; from foretell.types import *\n"
        "made = to_batch([{'a': 1.5, 'b': 'c'}], ModelSpec()); from_batch(made.batch, made.form, single=False)\n"
        "list(chunks(np.zeros((3, 2)), 2))\n"
        "print([m for m in ('pandas', 'polars', 'pyarrow', 'PIL') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_flags_of_a_frame_are_numbers_beside_others():
    spec = ModelSpec((TensorSpec("x", DataType.FP32, (2,)),), features={"x": ("a", "ok")})
    cells = {"a": [0.5, 1.5, 2.5], "ok": [True, None, False]}
    for frame in (pd.DataFrame(cells).astype({"ok": "boolean"}), pl.DataFrame(cells), pa.table(cells)):
        batch = to_batch(frame, spec).batch
        np.testing.assert_array_equal(batch.dense("x")[[0, 2]], [[0.5, 1], [2.5, 0]])
        assert np.isnan(batch.dense("x")[1, 1])
    assert to_batch({"a": [0.5], "ok": [True]}, spec).batch.dense("x").tolist() == [[0.5, 1]]
