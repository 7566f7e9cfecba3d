"""An output without rows has the columns of one with rows, so that who reads it every day can read it that day, too."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import foretell
from foretell import DataType, TensorSpec


class Many:
    """Outputs of every sort that a model may tell."""

    inputs = (TensorSpec("x", DataType.FP32, (2,)),)
    outputs = (
        TensorSpec("sum", DataType.FP32, ()), TensorSpec("one", DataType.INT64, (1,)),
        TensorSpec("scores", DataType.FP32, (3,)), TensorSpec("text", DataType.BYTES, ()),
        TensorSpec("any", DataType.FP64, (None,)), TensorSpec("half", DataType.FP16, (2, 2)),
    )  # fmt: skip

    def predict(self, x: np.ndarray) -> dict[str, Any]:
        rows = len(x)
        return {"sum": x.sum(axis=1), "one": np.ones((rows, 1), np.int64), "scores": np.ones((rows, 3), np.float32),
                "text": np.array(["a"] * rows), "any": np.ones((rows, 4)),
                "half": np.ones((rows, 2, 2), np.float16)}  # fmt: skip


class Untold(Many):
    outputs = None


def write_parquet(folder: Path, rows: int) -> Path:
    days = pa.array(range(rows), pa.date32())
    words = pa.array(["a"] * rows).dictionary_encode()
    columns = {"id": pa.array(range(rows), pa.int16()), "day": days, "word": words}
    pq.write_table(pa.table({**columns, "a": np.ones(rows), "b": np.ones(rows)}), folder / "data.parquet")
    return folder / "data.parquet"


def write_arrow(folder: Path, rows: int) -> Path:
    table = pq.read_table(write_parquet(folder, rows))
    with pa.ipc.new_file(folder / "data.arrow", table.schema) as writer:
        writer.write_table(table)
    return folder / "data.arrow"


def write_csv(folder: Path, rows: int) -> Path:
    (folder / "data.csv").write_text("id,day,word,a,b\n" + "1,2026-01-01,a,1,1\n" * rows)
    return folder / "data.csv"


def write_lines(folder: Path, rows: int) -> Path:
    row = {"id": 1, "day": "2026-01-01", "word": True, "a": 1, "b": 0.5}
    (folder / "data.jsonl").write_text((json.dumps(row) + "\n") * rows)
    return folder / "data.jsonl"


WRITERS = {"parquet": write_parquet, "arrow": write_arrow, "csv": write_csv, "jsonl": write_lines}
ASK: dict[str, Any] = {"mapping": {"x": ["a", "b"]}, "stamp": True, "version": "1"}


def score(data: Path, out: Path, model: Any = None, **more: Any) -> Any:
    return foretell.score(model or Many(), data, out, **{**ASK, **more})


@pytest.mark.parametrize("key", [("id", "day", "word", "a"), ()])
@pytest.mark.parametrize("kind", WRITERS)
def test_columns_are_those_of_an_output_with_rows(kind: str, key: tuple[str, ...], tmp_path: Path) -> None:
    data = WRITERS[kind](tmp_path, 5)
    for top in (None, 1, 2) if key else (None,):
        for ending in ("parquet", "csv"):
            whole, none = tmp_path / f"{top}.{ending}", tmp_path / f"none-{top}.{ending}"
            score(data, whole, key=key, top=top)
            assert score(data, none, key=key, top=top, where="a > 1000").rows == 0
            if ending == "csv":
                assert none.read_bytes() == whole.read_bytes().partition(b"\n")[0] + b"\n"
                continue
            made = pq.read_table(none)
            assert made.num_rows == 0
            assert made.schema.equals(pq.read_table(whole).schema, check_metadata=True)


@pytest.mark.parametrize("write", [write_parquet, write_arrow, write_csv])
def test_data_without_rows_gives_a_part_without_rows(write: Callable[[Path, int], Path], tmp_path: Path) -> None:
    data = write(tmp_path, 0)
    assert score(data, tmp_path / "out", key="id").rows == 0
    assert score(data, tmp_path / "out", key="id").scored_now == 0
    table = pq.read_table(tmp_path / "out" / "data")
    assert table.num_rows == 0
    assert table.column_names[:3] == ["id", "sum", "one"]
    told = json.loads((tmp_path / "out" / "data" / "_foretell.json").read_text())
    assert [part["rows"] for part in told["parts"]] == [0]
    assert told["columns"].startswith("id: ")


def test_rows_without_an_answer_only_leave_a_part_without_rows_until_they_have_one(tmp_path: Path) -> None:
    class Late(Many):
        mended = False

        def predict(self, x: np.ndarray) -> dict[str, Any]:
            if not self.mended:
                raise ValueError("not there")
            return super().predict(x)

    model, data = Late(), write_csv(tmp_path, 2)
    assert score(data, tmp_path / "out", model, key="id").quarantined == 2
    assert pq.read_table(tmp_path / "out" / "data").num_rows == 0
    model.mended = True
    assert score(data, tmp_path / "out", model, key="id", retry=True).rows == 2
    assert pq.read_table(tmp_path / "out" / "data").num_rows == 2
    assert len(list((tmp_path / "out" / "data").glob("part-*"))) == 1


def test_where_the_model_tells_nothing_there_are_no_columns(tmp_path: Path) -> None:
    data = write_parquet(tmp_path, 5)
    assert score(data, tmp_path / "o.parquet", Untold(), where="a > 1000").rows == 0
    assert pq.read_table(tmp_path / "o.parquet").column_names == []
