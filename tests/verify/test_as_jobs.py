"""Rows as jobs read them, and their answers as they write them: no bit is lost on the way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from foretell.columns import Batch, Bytes, Dense
from foretell.forms import to_batch
from foretell.forms.files import read
from foretell.types import DataType, ModelSpec, TensorSpec
from foretell.verify.as_jobs import _column, write_rows
from foretell.verify.compare import Difference, compare


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
    back = _column("x", column, tensor, lines, np.arange(len(data)))
    assert isinstance(back, Dense)
    assert taken.tobytes() == back.data.tobytes() == data.tobytes()


@pytest.mark.parametrize("column", [Dense(np.array([[0.5], [np.nan]])), Bytes.of(["a", "b"], (1,))])
def test_rows_of_one_value_are_written_as_that_value(column: Dense | Bytes) -> None:
    values = [0.5, None] if isinstance(column, Dense) else ["a", "b"]
    back = _column("x", column, None, [{"x": value} for value in values], np.arange(2))
    assert compare(Batch({"x": column}, 2), [(np.arange(2), Batch({"x": back}, 2))]) == ({"x": Difference()}, 0)
