"""A record batch as a table: the same answers as of its columns one by one."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from foretell.columns import Dense
from foretell.errors import InvalidInput
from foretell.forms.record import Record
from foretell.forms.table import to_batch
from foretell.types import DataType, ModelSpec, TensorSpec

SPEC = ModelSpec(inputs=(TensorSpec("x", DataType.FP32, (2,)),))
PLAN = {"x": ("b", "a")}


def batch(**columns: object) -> pa.RecordBatch:
    return pa.RecordBatch.from_pydict(columns)


def test_columns_are_there_by_name_and_rows_can_be_cut_out() -> None:
    record = Record(batch(a=[1, 2, 3], b=["x", "y", "z"]))
    assert (list(record), len(record), record.rows) == (["a", "b"], 2, 3)
    assert "a" in record
    assert "c" not in record
    part = record.slice(1, 3)
    assert (part["b"].to_pylist(), part.rows, list(part)) == (["y", "z"], 2, ["a", "b"])
    with pytest.raises(KeyError):
        record["c"]


@pytest.mark.parametrize(
    "columns",
    [
        {"a": pa.array([1, 2, 3], pa.float32()), "b": pa.array([4, 5, 6], pa.float32())},
        {"a": pa.array([1, 2, 3], pa.float64()), "b": pa.array([4, 5, 6], pa.float64())},
        {"a": pa.array([1, 2, 3], pa.int64()), "b": pa.array([4, 5, 6], pa.float32())},
        {"a": pa.array([1, None, 3], pa.float32()), "b": pa.array([4, 5, 6], pa.float32())},
        {"a": pa.array([True, False, True]), "b": pa.array([4, 5, 6], pa.float32())},
        {"a": pa.array([], pa.float32()), "b": pa.array([], pa.float32())},
    ],
)
def test_the_input_is_that_of_the_columns_one_by_one(columns: dict[str, pa.Array]) -> None:
    record = Record(pa.RecordBatch.from_pydict(columns))
    made = to_batch(record, record.rows, SPEC, PLAN).columns["x"]
    expected = to_batch(columns, record.rows, SPEC, PLAN).columns["x"]
    assert isinstance(made, Dense) and isinstance(expected, Dense)
    assert made.data.dtype == expected.data.dtype
    assert np.array_equal(made.data, expected.data, equal_nan=True)
    assert made.data.flags.c_contiguous


def test_a_part_of_a_record_gives_its_own_rows() -> None:
    record = Record(batch(a=pa.array([1, 2, 3], pa.float32()), b=pa.array([4, 5, 6], pa.float32()))).slice(1, 3)
    made = to_batch(record, 2, SPEC, PLAN).columns["x"]
    assert isinstance(made, Dense)
    assert made.data.tolist() == [[5, 2], [6, 3]]


def test_another_number_of_rows_is_refused_as_ever() -> None:
    record = Record(batch(a=pa.array([1.0]), b=pa.array([2.0])))
    with pytest.raises(InvalidInput, match="column 'b' has another length"):
        to_batch(record, 2, SPEC, PLAN)
