"""What a batch must be before a model sees it."""

import numpy as np
import pytest

from foretell.columns import Batch, Bytes, Dense, Ragged
from foretell.engine.check import check_batch
from foretell.errors import InvalidInput, RowError
from foretell.types import DataType, ModelSpec, TensorSpec


def spec(*inputs: TensorSpec) -> ModelSpec:
    return ModelSpec(inputs=inputs)


X = TensorSpec("x", DataType.FP32, (3,))
WORDS = TensorSpec("words", DataType.BYTES, ())
INDEX = TensorSpec("index", DataType.INT32, ())


def test_a_batch_that_fits_is_passed_on_as_it_is() -> None:
    batch = Batch({"x": Dense(np.zeros((2, 3), np.float32)), "words": Bytes.of(["a", "b"])}, 2)
    assert check_batch(batch, spec(X, WORDS)) is batch


def test_unknown_inputs_are_not_checked() -> None:
    batch = Batch.of(anything=np.zeros((2, 9)))
    assert check_batch(batch, ModelSpec()) is batch


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (np.arange(3), DataType.FP32),
        (np.arange(3.0), DataType.FP32),
        (np.arange(3, dtype=np.int64), DataType.INT32),
        (np.arange(3, dtype=">f4"), DataType.FP32),
        (np.arange(3, dtype=np.float16), DataType.FP64),
    ],
)
def test_numbers_of_one_kind_are_converted(data: np.ndarray, kind: DataType) -> None:
    column = check_batch(Batch.of(x=data), spec(TensorSpec("x", kind, ()))).dense("x")
    assert column.dtype == kind.numpy
    assert column.dtype.isnative
    assert column.tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("column", "kind", "got"),
    [
        (Dense(np.zeros(2)), DataType.INT64, "FP64"),
        (Dense(np.zeros(2, np.bool_)), DataType.FP32, "BOOL"),
        (Dense(np.zeros(2)), DataType.BOOL, "FP64"),
        (Dense(np.zeros(2)), DataType.BYTES, "FP64"),
        (Dense(np.zeros(2, np.float32)), DataType.BF16, "FP32"),
        (Dense(np.zeros(2, np.complex64)), DataType.FP32, "complex64"),
        (Bytes.of(["1", "2"]), DataType.FP32, "BYTES"),
    ],
)
def test_another_kind_of_value_is_refused(column: Dense | Bytes, kind: DataType, got: str) -> None:
    with pytest.raises(InvalidInput, match=rf"^input 'x': wrong datatype; expected {kind}, got {got}"):
        check_batch(Batch({"x": column}, 2), spec(TensorSpec("x", kind, ())))


@pytest.mark.parametrize("data", [np.zeros((2, 4)), np.zeros(2), np.zeros((2, 3, 1))])
def test_rows_of_another_shape_are_refused(data: np.ndarray) -> None:
    with pytest.raises(InvalidInput, match=r"^input 'x': wrong shape; expected FP32\[-1, 3\], got \[2"):
        check_batch(Batch.of(x=data), spec(X))


def test_a_free_dimension_takes_any_size_but_not_another_rank() -> None:
    free = spec(TensorSpec("x", DataType.FP64, (None, 2)))
    assert check_batch(Batch.of(x=np.zeros((1, 7, 2))), free).dense("x").shape == (1, 7, 2)
    with pytest.raises(InvalidInput, match="wrong shape"):
        check_batch(Batch.of(x=np.zeros((1, 2))), free)


def test_an_extra_column_names_the_nearest_input() -> None:
    with pytest.raises(InvalidInput, match=r"no input 'word'; .* did you mean 'words'\?"):
        check_batch(Batch({"word": Bytes.of(["a"])}, 1), spec(WORDS))


def test_a_missing_column_is_named() -> None:
    with pytest.raises(InvalidInput, match=r"^input 'words' is missing; expected 'x', 'words', got 'x'"):
        check_batch(Batch.of(x=np.zeros((1, 3), np.float32)), spec(X, WORDS))


def test_columns_must_have_as_many_rows_as_the_batch() -> None:
    with pytest.raises(InvalidInput, match="wrong number of rows; expected 5, got 2"):
        check_batch(Batch({"x": Dense(np.zeros((2, 3), np.float32))}, 5), spec(X))


def test_a_value_without_an_axis_of_rows_is_refused() -> None:
    with pytest.raises(InvalidInput, match="a single value is no column"):
        check_batch(Batch({"x": Dense(np.array(1.0))}, 1), spec(X))


def test_a_null_becomes_nan_in_a_float_column() -> None:
    given = np.ones((2, 3), np.float32)
    checked = check_batch(Batch({"x": Dense(given, np.array([True, False]))}, 2), spec(X))
    assert np.isnan(checked.dense("x")).tolist() == [[False] * 3, [True] * 3]
    assert not checked.errors
    assert (given == 1).all(), "the caller's array was written to"


def test_a_null_ends_its_row_elsewhere() -> None:
    valid = np.array([True, False, True])
    batch = Batch({"index": Dense(np.arange(3, dtype=np.int32), valid), "words": Bytes.of(["a", "b", None])}, 3)
    checked = check_batch(batch, spec(INDEX, WORDS))
    assert set(checked.errors) == {1, 2}
    assert checked.errors[1].code == "invalid_input"
    assert checked.errors[1].message == "input 'index': the row is null; expected INT32[-1]"


def test_a_nullable_input_keeps_its_nulls() -> None:
    batch = Batch({"words": Bytes.of(["a", None])}, 2)
    checked = check_batch(batch, spec(TensorSpec("words", DataType.BYTES, (), nullable=True)))
    assert not checked.errors
    column = checked.columns["words"]
    assert isinstance(column, Bytes) and column.valid is not None and column.valid.tolist() == [True, False]


def test_nan_ends_its_row_only_where_the_model_refuses_it() -> None:
    batch = Batch.of(x=np.array([[1, 2, 3], [1, np.nan, 3]], np.float32))
    assert check_batch(batch, spec(X)) is batch
    refusing = spec(TensorSpec("x", DataType.FP32, (3,), allow_nan=False))
    assert set(check_batch(batch, refusing).errors) == {1}


def test_nan_in_the_bits_of_bfloat16_is_seen() -> None:
    bits = np.array([0x3F80, 0x7FC0, 0x7F80], np.uint16)
    refusing = spec(TensorSpec("x", DataType.BF16, (), allow_nan=False))
    assert set(check_batch(Batch.of(x=bits), refusing).errors) == {1}


def test_a_number_the_datatype_cannot_hold_ends_its_row() -> None:
    checked = check_batch(Batch.of(index=np.array([1, 2**40, -3])), spec(INDEX))
    assert set(checked.errors) == {1}
    assert "a number that INT32 cannot hold" in checked.errors[1].message
    floats = check_batch(Batch.of(x=np.array([1e300, np.inf, 1.0])), spec(TensorSpec("x", DataType.FP32, ())))
    assert set(floats.errors) == {0}


def test_errors_that_a_batch_brings_are_kept() -> None:
    before = RowError("invalid_input", "earlier")
    batch = Batch({"words": Bytes.of([None, None])}, 2, {0: before})
    checked = check_batch(batch, spec(WORDS))
    assert checked.errors[0] is before
    assert set(checked.errors) == {0, 1}


def test_rows_of_different_length_stay_ragged_where_the_length_is_free() -> None:
    ragged = Ragged(Dense(np.arange(3)), np.array([0, 1, 3]))
    column = check_batch(Batch({"x": ragged}, 2), spec(TensorSpec("x", DataType.FP32, (None,)))).columns["x"]
    assert isinstance(column, Ragged) and isinstance(column.values, Dense)
    assert column.values.data.dtype == np.float32


def test_a_row_of_the_wrong_length_ends_alone() -> None:
    ragged = Ragged(Dense(np.array([9, 1, 2, 3, 4, 5, 6], np.float32)), np.array([0, 1, 4, 7]))
    checked = check_batch(Batch({"x": ragged}, 3), spec(X))
    assert set(checked.errors) == {0}
    assert checked.dense("x")[1:].tolist() == [[1, 2, 3], [4, 5, 6]]


def test_rows_that_all_have_the_wrong_length_all_end() -> None:
    ragged = Ragged(Bytes.of(["a", "b", "c"]), np.array([0, 1, 3]))
    checked = check_batch(Batch({"x": ragged}, 2), spec(TensorSpec("x", DataType.BYTES, (5,))))
    assert set(checked.errors) == {0, 1}
    assert len(checked.columns["x"]) == 2


def test_a_null_inside_a_ragged_row_ends_that_row() -> None:
    ragged = Ragged(Bytes.of(["a", None, "c"]), np.array([0, 0, 2, 3]))
    checked = check_batch(Batch({"x": ragged}, 3), spec(TensorSpec("x", DataType.BYTES, (None,))))
    assert set(checked.errors) == {1}
