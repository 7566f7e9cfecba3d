"""Rows as jobs read them, and their answers as they write them: no bit is lost on the way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from foretell.columns import Batch, Bytes, Column, Dense
from foretell.compare import Difference, compare, difference
from foretell.forms import to_batch
from foretell.forms.files import read
from foretell.forms.fit import bfloat16_floats
from foretell.types import DataType, ModelSpec, TensorSpec
from foretell.verify.as_jobs import _read, column_of, write_rows


@pytest.mark.parametrize("kind", [DataType.FP16, DataType.BF16])
def test_numbers_of_16_bits_go_through_json(tmp_path: Path, kind: DataType) -> None:
    bits = np.arange(0, 2**16, 7, np.uint16)
    finite = bits[(bits & 0x7C00 != 0x7C00) & (bits & 0x7F80 != 0x7F80)]
    data = finite[: len(finite) // 3 * 3].reshape(-1, 3)
    column = Dense(data if kind is DataType.BF16 else data.view(np.float16))
    tensor = TensorSpec("x", kind, (3,))
    spec = ModelSpec((tensor,), (tensor,))
    write_rows(Batch({"x": column}, len(data)), tmp_path / "rows.jsonl", spec, numbered=False)
    lines: Any = read(tmp_path / "rows.jsonl")
    taken = to_batch(lines, spec).batch.dense("x")
    meant = bfloat16_floats(data) if kind is DataType.BF16 else data.view(np.float16)
    back = column_of(Dense(meant), [line["x"] for line in lines])
    assert isinstance(back, Dense)
    assert taken.tobytes() == data.tobytes()
    assert back.data.tobytes() == meant.tobytes()


@pytest.mark.parametrize("column", [Dense(np.array([[0.5], [np.nan]])), Bytes.of(["a", "b"], (1,))])
def test_rows_of_one_value_are_written_as_that_value(column: Dense | Bytes) -> None:
    values = [0.5, None] if isinstance(column, Dense) else ["a", "b"]
    assert difference(column, column_of(column, values), np.arange(2), np.arange(2)) == Difference()


def test_a_null_may_be_an_infinity_or_no_value_at_all() -> None:
    rows = np.arange(3)
    floats, whole = Dense(np.array([np.inf, -np.inf, 1.0])), Dense(np.arange(3), np.array([False, True, True]))
    assert difference(floats, column_of(floats, [None, None, 1.0]), rows, rows) == Difference()
    assert difference(floats, column_of(floats, [None, None, None]), rows, rows) == Difference(1, None, None, 2)
    assert difference(whole, column_of(whole, [None, 1, 2]), rows, rows) == Difference()
    assert difference(whole, column_of(whole, [0, 1, 2]), rows, rows) == Difference(1, None, None, 0)


@pytest.mark.parametrize(
    ("column", "values"),
    [
        (Dense(np.array([1, 2])), [1.5, 2]),  # a fraction is not cut off to fit
        (Dense(np.array([1, 2])), [True, 2]),
        (Dense(np.array([1, 2], np.uint8)), [257, 2]),
        (Dense(np.array([True, True])), [1, True]),
        (Dense(np.array([1.0, 2.0])), ["1", 2.0]),
        (Bytes.of(["1", "2"]), [1, "2"]),
    ],
)
def test_what_is_of_another_kind_is_not_made_to_fit(column: Column, values: list[Any]) -> None:
    assert difference(column, column_of(column, values), np.arange(2), np.arange(2)).absolute is None


def test_rows_that_json_cannot_hold_have_no_line(tmp_path: Path) -> None:
    rows = Batch({"x": Dense(np.array([1.0, np.inf, np.nan, 4.0])), "t": Bytes.of([b"a", b"b", b"c", b"\xff"])}, 4)
    assert write_rows(rows, tmp_path / "rows.jsonl") == 2
    assert read(tmp_path / "rows.jsonl") == [
        {"foretell_row": 0, "x": 1.0, "t": "a"}, {"foretell_row": 2, "x": None, "t": "c"}
    ]  # fmt: skip


def test_outputs_that_are_not_there_or_not_expected(tmp_path: Path) -> None:
    data, out, reference = tmp_path / "rows.jsonl", tmp_path / "out.jsonl", Batch.of(x=np.array([np.nan, 1.0]))
    write_rows(reference, data)
    out.write_text('{"foretell_row": 1, "x": 1.0}\n{"foretell_row": 0, "y": 1.0}\n')
    found, failed = compare(reference, _read(out, data, reference))
    assert found["x"].rows == 2
    out.write_text('{"foretell_row": 1, "x": 1.0, "y": 2.0}\n')
    found, failed = compare(reference, _read(out, data, reference))
    assert (found["x"].rows, found["y"].rows, failed) == (0, 1, 1)
