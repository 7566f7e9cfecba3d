"""Properties: whatever goes in comes out, in every form and in any pieces."""

import hypothesis.strategies as st
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
from hypothesis import given, settings
from hypothesis.extra import numpy as npst

from foretell.columns import concat_columns
from foretell.forms import chunks, from_batch, is_single, to_batch, to_column, to_numpy, to_python
from foretell.types import DataType, ModelSpec, TensorSpec

INTS = st.integers(-(2**63), 2**63 - 1)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
CELLS = st.sampled_from([INTS, st.floats(allow_nan=False), st.booleans(), TEXT])
DTYPES = st.one_of(npst.boolean_dtypes(), npst.integer_dtypes(), npst.unsigned_integer_dtypes(), npst.floating_dtypes())


def columns(min_rows=0):
    lists = CELLS.flatmap(lambda cells: st.lists(st.one_of(st.none(), cells), min_size=min_rows, max_size=8))
    return lists.filter(lambda cells: not cells or any(cell is not None for cell in cells))


def same(left, right):
    """Equal, where the null of a float column is NaN."""
    absent = lambda cell: cell is None or cell != cell  # noqa: E731, PLR0124
    return len(left) == len(right) and all(
        (absent(a) and absent(b)) or (a == b and not absent(a)) for a, b in zip(left, right, strict=True)
    )


def frame(cells):
    """As objects: pandas would make floats of whole numbers with a null among them, and round the large ones."""
    return pd.DataFrame({"c": pd.Series(cells, dtype=object)})


@given(columns())
def test_lists_come_back(cells):
    assert same(to_python(to_column(cells, where="x")), cells)


@given(npst.arrays(DTYPES.filter(lambda d: d.itemsize <= 8), npst.array_shapes(max_dims=4, min_side=0, max_side=4)))
def test_arrays_come_back_in_any_byte_order_and_layout(array):
    made = to_numpy(to_column(array.T if array.ndim == 2 else array, where="x"))
    np.testing.assert_array_equal(made, array.T if array.ndim == 2 else array)
    assert made.dtype == array.dtype.newbyteorder("=")


@given(st.lists(st.lists(st.integers(-9, 9), max_size=4), min_size=1, max_size=6))
def test_rows_of_any_length_come_back(rows):
    tensor = TensorSpec("x", DataType.INT64, (None,))
    for form in (rows, pd.Series(rows), pl.Series(rows, dtype=pl.List(pl.Int64)), pa.array(rows, pa.list_(pa.int32()))):
        assert to_python(to_column(form, where="x", spec=tensor)) == rows


@given(columns(min_rows=1), st.integers(1, 5))
@settings(max_examples=60)
def test_every_form_gives_the_same_rows_whole_or_in_pieces(cells, size):
    spec = ModelSpec()
    forms = [{"c": cells}, [{"c": cell} for cell in cells], frame(cells), pl.DataFrame({"c": cells}),
             pa.table({"c": cells})]  # fmt: skip
    for data in forms:
        whole = to_batch(data, spec).batch.columns["c"]
        assert same(to_python(whole), cells)
    kinds = {type(to_batch(piece, spec).batch.columns["c"]) for piece in chunks(forms[3], size)}
    assert kinds == {type(to_batch(forms[3], spec).batch.columns["c"])}
    joined = concat_columns([to_batch(piece, spec).batch.columns["c"] for piece in chunks(forms[4], size)])
    assert same(to_python(joined), cells)


@given(columns(min_rows=1))
@settings(max_examples=60)
def test_answers_in_every_form_hold_the_same_rows(cells):
    for data in ({"c": cells}, frame(cells), pl.DataFrame({"c": cells}), pa.table({"c": cells})):
        intake = to_batch(data, ModelSpec())
        answer = from_batch(intake.batch, intake.form, single=False)
        back = to_batch(answer, ModelSpec())
        assert same(to_python(back.batch.columns["c"]), cells)


@given(npst.arrays(np.float32, npst.array_shapes(min_dims=1, max_dims=3, max_side=4)), st.booleans())
def test_a_row_alone_is_the_row_among_rows(row, as_list):
    spec = ModelSpec((TensorSpec("x", DataType.FP32, row.shape),))
    alone, among = (row.tolist(), [row.tolist()]) if as_list else (row, row[None])
    assert not is_single(among, spec)
    assert is_single(alone, spec) == (row.shape != (1,))
    one, many = to_batch(alone, spec).batch, to_batch(among, spec).batch
    np.testing.assert_array_equal(one.dense("x"), many.dense("x"))


@given(st.lists(st.integers(-(2**64), 2**65), min_size=1, max_size=4), st.sampled_from(sorted(DataType)))
def test_integers_are_kept_exactly_or_refused(numbers, name):
    from foretell.errors import InvalidInput

    datatype = DataType(name)
    try:
        made = to_column(numbers, where="x", spec=TensorSpec("x", datatype, ()))
    except InvalidInput:
        info = np.iinfo(datatype.numpy) if datatype.is_integer else None
        fits = info is not None and all(info.min <= n <= info.max for n in numbers)
        assert not fits
        return
    if datatype.is_integer:
        assert to_python(made) == numbers
    else:
        np.testing.assert_allclose(to_numpy(made, datatype).astype(float), np.array(numbers, float), rtol=0.01)
