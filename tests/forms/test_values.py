"""`to_column`, `to_numpy` and `to_python`: what is read, what is converted, what is refused."""

import datetime
import math
from decimal import Decimal

import numpy as np
import pytest

from foretell.columns import Bytes, Dense, Ragged
from foretell.errors import InvalidInput
from foretell.forms import to_column, to_numpy, to_python
from foretell.forms.fit import bfloat16_floats
from foretell.types import DataType, TensorSpec

WHERE = "input 'x'"


def spec(datatype, *shape):
    return TensorSpec("x", DataType(datatype), shape)


def column(value, tensor=None):
    return to_column(value, where=WHERE, spec=tensor)


@pytest.mark.parametrize(
    ("value", "kind", "dtype"),
    [
        ([1, 2], Dense, np.int64),
        ((1.5, 2), Dense, np.float64),
        (range(3), Dense, np.int64),
        ([True, False], Dense, np.bool_),
        ([2**63, 1], Dense, np.uint64),
        ([np.float32(1), np.float32(2)], Dense, np.float32),
        ([[1, 2], [3, 4]], Dense, np.int64),
        ([[[1.0], [2.0]]], Dense, np.float64),
        ([np.zeros(2, np.float32), np.ones(2, np.float32)], Dense, np.float32),
        ([np.array(1), np.array(2)], Dense, np.int64),
        (np.array([[1, 2]], object), Dense, np.int64),
        (["a", b"b"], Bytes, None),
        (np.array([["a"], ["b"]]), Bytes, None),
        (np.array([b"a"]), Bytes, None),
        ([[1, 2], [3]], Ragged, None),
        ([["a"], ["b", "c"]], Ragged, None),
        (np.array([np.zeros(2), np.zeros(3)], object), Ragged, None),
        ([[[1, 2]], [[3, 4], [5, 6]]], Ragged, None),
    ],
)
def test_values_find_their_column_without_a_spec(value, kind, dtype):
    made = column(value)
    assert type(made) is kind
    assert len(made) == len(value)
    if dtype is not None:
        assert made.data.dtype == dtype
    plain = [row.tolist() if isinstance(row, np.ndarray) else row for row in value]
    assert to_python(made) == [[b.decode() if isinstance(b, bytes) else b][0] for b in plain]


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6.0).reshape(2, 3).astype(">f4"),
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.arange(24.0).reshape(4, 6)[::2, ::2],
        np.arange(6).reshape(3, 2).T,
        np.arange(6, dtype=np.float16).reshape(2, 3),
        np.arange(6, dtype=np.uint8).reshape(2, 3),
    ],
    ids=["big-endian", "fortran", "strided", "transposed", "half", "bytes"],
)
def test_any_layout_and_byte_order_keeps_its_values(array):
    made = column(array, spec("FP32", 3))
    assert made.data.dtype == np.float32
    assert made.data.dtype.isnative
    np.testing.assert_array_equal(made.data, array.astype(np.float32))


def test_an_array_that_fits_is_not_copied():
    array = np.zeros((1000, 20), np.float32)
    assert column(array, spec("FP32", 20)).data is array
    assert column(array, TensorSpec("x", None, None)).data is array


def test_nulls_are_nan_in_floats_and_marked_elsewhere():
    assert column([1.5, None]).valid is None
    assert np.isnan(column([1.5, None]).data[1])
    assert np.isnan(column([1, None], spec("FP32")).data[1])
    assert column([1, None]).valid.tolist() == [True, False]
    assert column(["a", None]).valid.tolist() == [True, False]
    assert column([True, None], spec("BOOL")).valid.tolist() == [True, False]
    assert column([[1, None], [3, 4]], spec("INT64", 2)).valid.tolist() == [False, True]
    assert column([None, [3, 4]], spec("INT64", 2)).valid.tolist() == [False, True]
    assert to_python(column([[1, None], [3, 4]], spec("FP32", 2)))[1] == [3.0, 4.0]


def test_nan_is_a_null_where_the_model_takes_integers():
    assert to_python(column(np.array([1.0, np.nan]), spec("INT32"))) == [1, None]


def test_nan_among_strings_is_a_null_as_pandas_has_it():
    assert to_python(column(np.array(["a", np.nan], object))) == ["a", None]


@pytest.mark.parametrize("datatype", ["BYTES", "BOOL", "INT8", "FP32", "BF16"])
def test_nothing_but_nulls_takes_the_kind_that_is_wanted(datatype):
    made = column([None, None], spec(datatype))
    cells = to_numpy(made, DataType(datatype)).tolist()
    assert all(cell is None or np.isnan(cell) for cell in cells)
    assert len(made) == 2


@pytest.mark.parametrize(
    ("value", "tensor", "result"),
    [
        ([1, 2], spec("FP32"), [1.0, 2.0]),
        ([1.0, 2.0], spec("INT8"), [1, 2]),
        (np.array([300], np.int64), spec("INT16"), [300]),
        (np.array([np.inf]), spec("FP32"), [np.inf]),
        ([5, 6], spec("FP32", 1), [[5.0], [6.0]]),
        (["a", "b"], spec("BYTES", 1), [["a"], ["b"]]),
        ([[1, 2, 3]], spec("FP32", None), [[1.0, 2.0, 3.0]]),
        ([Decimal("1.5")], spec("FP64"), [1.5]),
        (np.array([2.0**63 - 1024]), spec("INT64"), [2**63 - 1024]),
        (np.ma.array([1, 2], mask=[0, 1]), spec("INT64"), [1, None]),
        ([True, None, False], spec("UINT8"), [1, None, 0]),
        ([[True, 2], [0.5, False]], spec("FP32", 2), [[1, 2], [0.5, 0]]),
        ([[True], [False, True]], spec("INT32", None), [[1], [0, 1]]),
        ([True, 2**63], spec("UINT64"), [1, 2**63]),
        ([True, 2, None], None, [1, 2, None]),
        ([True, math.nan, False], spec("BOOL"), [True, None, False]),
    ],
)
def test_conversion_that_keeps_the_kind(value, tensor, result):
    assert to_python(column(value, tensor)) == result


@pytest.mark.parametrize(
    ("value", "tensor", "words"),
    [
        ([1.5], spec("INT64"), "row 0: a number has a fraction; expected INT64, got 1.5"),
        ([1, 300], spec("INT8"), "row 1: a number is out of range; expected INT8, got 300"),
        ([-1], spec("UINT64"), "out of range"),
        (np.array([2.0**63]), spec("INT64"), "out of range"),
        (np.array([np.inf]), spec("INT64"), "out of range"),
        ([1e300], spec("FP32"), "row 0: a number is too large; expected FP32, got 1e.300"),
        ([70000], spec("FP16"), "too large"),
        ([3.4e38], spec("BF16"), "too large"),
        (["1"], spec("FP32"), "expected FP32, got strings"),
        ([1], spec("BYTES"), "expected BYTES, got integers"),
        ([True], spec("BYTES"), "expected BYTES, got booleans"),
        ([True, 2], spec("BOOL"), "booleans and numbers are mixed"),
        ([True, 0.5, math.nan], spec("BOOL"), "booleans and numbers are mixed"),
        ([True, "a"], None, "booleans and strings are mixed"),
        ([1], spec("BOOL"), "expected BOOL, got integers"),
        ([[1, 2]], spec("FP32", 3), r"expected FP32\[-1, 3\], got FP32\[1, 2\]; give rows of 3 values"),
        ([[1], [2]], spec("FP32"), "wrong shape"),
        ([[1, 2], [3]], spec("FP32", 2), "row 1 has the wrong length; expected 2 values"),
        ([[1, 2], [3]], spec("FP32"), "rows of different length"),
        ([[1, 2.5], [3]], spec("INT64", None), "row 0: a number has a fraction"),
        ([1, "a"], None, "numbers and strings are mixed"),
        ([[1], 2], None, "rows and single values are mixed"),
        ([[[1], [2, 3]]], None, "only the rows may differ in length"),
        ([[1, 2], [3], None], None, "row 2 is null"),
        ([2**70], None, "too large"),
        ([-1, 2**63], None, "too large"),
        (["\ud800"], None, "not valid Unicode"),
        ([object()], None, "element 0 is no tensor value.*got object"),
        ([1j], None, "got complex"),
        (np.array([1j]), None, "got complex128"),
        ([datetime.date(2020, 1, 1)], None, "dates and times.*got date"),
        (np.array(["2020-01-01"], "M8[D]"), None, r"dates and times.*got datetime64\[D\]"),
        ([Decimal("1.5")], None, "decimal numbers.*convert them to float"),
        ([Decimal("1.5")], spec("INT64"), "decimal numbers"),
        (5, None, "not rows of values"),
        (np.array(5), None, "a single value is not rows"),
        ({"a": 1}, None, "got dict"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_sentence(value, tensor, words):
    with pytest.raises(InvalidInput, match=words) as caught:
        column(value, tensor)
    assert str(caught.value).startswith(WHERE)
    assert "\n" not in str(caught.value)


def test_the_bad_rows_are_told_apart():
    for value, tensor in [
        ([[1.0, 1], [1.5, 1], [2, 2.5]], spec("INT64", 2)),
        ([[1, 2], [3], [4]], spec("INT64", 2)),
        ([[1], [1.5, 2], [1, 2.5]], spec("INT64", None)),
    ]:
        with pytest.raises(InvalidInput) as caught:
            column(value, tensor)
        assert sorted(caught.value.rows) == [1, 2]
        assert all(error.code == "invalid_input" and WHERE in error.message for error in caught.value.rows.values())


def test_lists_without_an_end_are_refused():
    endless: list = []
    endless.append(endless)
    deep: list = []
    for _ in range(5000):
        deep = [deep]
    for value in (endless, deep):
        with pytest.raises(InvalidInput, match="nested too deeply"):
            column(value)


def test_no_rows_take_what_the_model_wants():
    assert column([], spec("FP32", None, 3)).data.shape == (0, 0, 3)
    assert column([], spec("FP32", 4)).data.dtype == np.float32
    assert isinstance(column([], spec("BYTES")), Bytes)
    assert column(np.zeros((0, 4)), spec("FP32", 4)).data.shape == (0, 4)
    with pytest.raises(InvalidInput, match="wrong shape"):
        column(np.zeros((0, 5)), spec("FP32", 4))
    assert column([[]], spec("INT64", None)).data.shape == (1, 0)


@pytest.mark.parametrize("kind", ["INT8", "INT64", "UINT64"])
def test_halves_become_integers_without_a_warning(kind):
    made = to_column(np.float16([1, 0, 100]), where="x", spec=spec(kind))
    assert made.data.tolist() == [1, 0, 100]


def test_bfloat16_is_its_bits_rounded_to_even():
    values = [1.0, -2.5, 1 + 2**-8, 1 + 3 * 2**-8, float("inf"), float("nan")]
    made = column(values, spec("BF16"))
    assert made.data.dtype == np.uint16
    np.testing.assert_array_equal(bfloat16_floats(made.data), [1, -2.5, 1, 1 + 2**-6, np.inf, np.nan])
    np.testing.assert_array_equal(to_numpy(made, DataType.BF16), bfloat16_floats(made.data))
    bits = np.array([0x3F80], np.uint16)
    assert column(bits, spec("BF16")).data is bits


def test_objects_with_an_array_inside_are_read():
    class Tensor:
        def __array__(self, dtype=None, copy=None):
            return np.arange(3.0)

    class Broken:
        def __array__(self, dtype=None, copy=None):
            raise RuntimeError("on another device")

    assert to_python(column(Tensor())) == [0.0, 1.0, 2.0]
    assert to_python(column([Tensor(), Tensor()])) == [[0.0, 1.0, 2.0]] * 2
    with pytest.raises(InvalidInput, match="Broken cannot be read as an array: on another device"):
        column(Broken())


def test_columns_as_arrays():
    assert to_numpy(Dense(np.array([1, 2]), np.array([True, False]))).tolist() == [1, None]
    floats = to_numpy(Dense(np.array([1.0, 2.0]), np.array([True, False])))
    assert floats.dtype == np.float64
    assert np.isnan(floats[1])
    strings = to_numpy(Bytes.of(["a", b"\xff", None, "d"]))
    assert strings.dtype == object
    assert strings.tolist() == ["a", b"\xff", None, "d"]
    assert to_numpy(Bytes.of(["a", "b"], (2,))).shape == (1, 2)
    ragged = to_numpy(column([[1, 2], [3]]))
    assert [row.tolist() for row in ragged] == [[1, 2], [3]]
    assert isinstance(ragged[0], np.ndarray)
    assert to_numpy(column([["a"], []])).tolist() == [["a"], []]


def test_columns_as_python_values():
    assert to_python(Dense(np.zeros((2, 2)), np.array([True, False]))) == [[0.0, 0.0], None]
    assert to_python(column([["a", "b"], []])) == [["a", "b"], []]
    assert to_python(Bytes.of(["a", "b", "c", "d"], (2,))) == [["a", "b"], ["c", "d"]]


@pytest.mark.parametrize("datatype", ["FP32", "INT64", "BYTES", "BOOL"])
@pytest.mark.parametrize("value", [[None, None], np.array([np.nan, np.nan])])
def test_rows_that_are_null_are_as_wide_alone_as_beside_others(datatype, value):
    alone, tensor = column(value, spec(datatype, 2)), spec(datatype, 2)
    other = {"FP32": [1.5, 2], "INT64": [1, 2], "BYTES": ["a", "b"], "BOOL": [True, False]}[datatype]
    beside = column([None, None, other], tensor).slice(0, 2)
    assert alone.row_shape == beside.row_shape == (2,)
    assert to_python(alone) == to_python(beside) == [None, None] or np.isnan(to_numpy(alone)).all()


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.int8, np.bool_])
def test_arrays_of_different_length_keep_their_type(kind):
    """As those of one length do: the type of an answer would else depend on the rows beside it."""
    rows = [np.array([1, 0], kind), np.array([], kind), np.array([1], kind)]
    made = column(rows)
    assert made.values.data.dtype == kind
    assert to_python(made) == [row.tolist() for row in rows]
    assert column([np.zeros((1, 2), kind), np.ones((2, 2), kind)]).values.data.shape == (3, 2)
