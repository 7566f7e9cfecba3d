"""Pieces of big data, and their answers put together again."""

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from foretell.columns import Batch, Bytes, Dense, concat_columns
from foretell.errors import InvalidInput, RowError
from foretell.forms import Form, Kind, chunks, count_rows, from_batch, join, to_batch, to_python
from foretell.types import DataType, ModelSpec, TensorSpec

SPEC = ModelSpec((TensorSpec("x", DataType.FP64, (2,)),), features={"x": ("a", "b")})
ARRAY = np.arange(14.0).reshape(7, 2)
FRAME = pd.DataFrame(ARRAY, columns=["a", "b"], index=list("tuvwxyz"))
FORMS = [
    ARRAY,
    ARRAY.tolist(),
    FRAME.to_dict("records"),
    {"a": ARRAY[:, 0], "b": ARRAY[:, 1]},
    {"x": ARRAY.tolist()},
    FRAME,
    pl.DataFrame({"a": ARRAY[:, 0], "b": ARRAY[:, 1]}),
    pa.table({"a": ARRAY[:, 0], "b": ARRAY[:, 1]}),
]
IDS = ["array", "list", "records", "dict of arrays", "dict of lists", "pandas", "polars", "arrow"]


@pytest.mark.parametrize("data", FORMS, ids=IDS)
def test_pieces_answer_as_the_whole(data):
    pieces = list(chunks(data, 3))
    taken = [to_batch(piece, SPEC) for piece in pieces]
    assert [intake.batch.rows for intake in taken] == [3, 3, 1]
    assert count_rows(data, SPEC) == 7
    together = concat_columns([intake.batch.columns["x"] for intake in taken])
    assert to_python(together) == ARRAY.tolist()
    whole = to_batch(data, SPEC)
    parts = [from_batch(intake.batch, intake.form, single=False) for intake in taken]
    joined, expected = join(parts), from_batch(whole.batch, whole.form, single=False)
    if isinstance(expected, pd.DataFrame):
        assert joined.index.tolist() == list("tuvwxyz")
    if isinstance(expected, pa.Table):
        joined, expected = joined.to_pylist(), expected.to_pylist()
    assert str(joined) == str(expected)


def test_series_are_cut_too():
    spec = ModelSpec((TensorSpec("x", DataType.INT64, ()),))
    for data in (pd.Series([1, 2, 3]), pl.Series([1, 2, 3]), pa.array([1, 2, 3]), pd.array([1, 2, 3])):
        pieces = [to_batch(piece, spec).batch.columns["x"] for piece in chunks(data, 2)]
        assert [to_python(piece) for piece in pieces] == [[1, 2], [3]]


def test_pieces_of_arrays_are_views():
    assert all(piece.base is ARRAY.base or piece.base is ARRAY for piece in chunks(ARRAY, 3))
    cut = next(chunks({"x": ARRAY}, 3))
    assert np.shares_memory(cut["x"], ARRAY)


def test_no_rows_give_one_empty_piece():
    for data in ([], np.zeros((0, 2)), FRAME[:0], {"a": [], "b": []}):
        pieces = list(chunks(data, 3))
        assert len(pieces) == 1
        assert to_batch(pieces[0], SPEC).batch.rows == 0


def test_a_piece_needs_rows():
    with pytest.raises(InvalidInput, match="at least 1, got 0"):
        list(chunks([1], 0))


def test_rows_are_counted_where_they_can_be():
    assert count_rows([1.0, 2.0], SPEC) == 1
    assert count_rows({"a": 1, "b": 2}, SPEC) == 1
    assert count_rows("text", ModelSpec()) == 1
    assert count_rows({"a": [1, 2]}, ModelSpec()) == 2
    assert count_rows(iter([[1, 2]]), SPEC) is None


@pytest.mark.parametrize("kind", list(Kind))
def test_answers_that_differ_between_pieces_join(kind):
    def part(width, broken):
        columns = {"v": Dense(np.ones((2, width))), "n": Dense(np.array([1, 2])), "s": Bytes.of(["a", "b"])}
        errors = {1: RowError("model_error", "no")} if broken else {}
        return from_batch(Batch(columns, 2, errors), Form(kind), single=False)

    joined = join([part(2, False), part(3, True), part(2, False)])
    if kind is Kind.LIST:
        numbers, lengths = [row["n"] for row in joined], [None if row["v"] is None else len(row["v"]) for row in joined]
    elif kind is Kind.ARROW:
        numbers = joined["n"].to_pylist()
        lengths = [None if row is None else len(row) for row in joined["v"].to_pylist()]
    else:
        numbers, lengths = list(joined["n"]), [None if row is None else len(row) for row in joined["v"]]
    assert [None if n is pd.NA else n for n in numbers] == [1, 2, 1, None, 1, 2]
    assert lengths[:3] + lengths[4:] == [2, 2, 3, 2, 2]


def test_bare_values_join():
    batch = Batch({"y": Dense(np.array([1, 2]))}, 2)
    for kind in (Kind.LIST, Kind.NUMPY):
        parts = [from_batch(batch, Form(kind), single=False, bare=True)] * 2
        assert list(join(parts)) == [1, 2, 1, 2]
    with pytest.raises(ValueError, match="nothing to join"):
        join([])


def test_frames_that_count_their_rows_anew_are_counted_through():
    counted = join([pd.DataFrame({"a": [1, 2]}), pd.DataFrame({"a": [3]})])
    assert counted.index.tolist() == [0, 1, 2]
    named = join([pd.DataFrame({"a": [1, 2]}, index=[7, 7]), pd.DataFrame({"a": [3]}, index=[0])])
    assert named.index.tolist() == [7, 7, 0]
