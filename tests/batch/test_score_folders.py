"""Columns in the names of folders: as keys, as inputs and in --where, for every kind of table."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

import foretell
from foretell import DataType, TensorSpec
from foretell.batch.folders import folder_kinds
from foretell.batch.shards import InputFile
from foretell.errors import InvalidInput

FOLDERS = ("year=2020/land=%C3%96%2FT", "year=2021/land=DE", "year=__HIVE_DEFAULT_PARTITION__/land=DE")
EXPECTED = [("2020", "Ö/T"), ("2021", "DE"), (None, "DE")]


class Sum:
    inputs = (TensorSpec("x", DataType.FP32, (2,)),)
    outputs = (TensorSpec("output", DataType.FP32, ()),)

    def predict(self, x: np.ndarray) -> np.ndarray:
        return x.sum(axis=1)


class Year:
    """Takes a column of the files, and two of the folders."""

    inputs = (TensorSpec("a", DataType.FP32, ()), TensorSpec("year", DataType.FP32, ()),
              TensorSpec("land", DataType.BYTES, ()))  # fmt: skip

    def predict(self, a: np.ndarray, year: np.ndarray, land: Any) -> np.ndarray:
        return a + np.nan_to_num(year) + np.array([len(each) for each in land])


def write_lines(table: Any, path: Path) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in table.to_pylist()))


def write_arrow(table: Any, path: Path) -> None:
    with pa.ipc.new_file(path, table.schema) as writer:
        writer.write_table(table)


WRITERS: dict[str, Callable[[Any, Path], None]] = {
    "parquet": pq.write_table, "csv": pyarrow.csv.write_csv, "jsonl": write_lines, "arrow": write_arrow,
}  # fmt: skip


@pytest.fixture(params=WRITERS)
def data(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return written(tmp_path, request.param)


def written(folder: Path, kind: str = "parquet", **more: Any) -> Path:
    for number, each in enumerate(FOLDERS):
        (folder / "data" / each).mkdir(parents=True)
        values = np.array([number, number + 0.5])
        table = pa.table({"id": [2 * number, 2 * number + 1], "a": values, "b": values, **more})
        WRITERS[kind](table, folder / "data" / each / f"part.{kind}")
    return folder / "data"


def score(data: Path | str, out: Path, model: Any = None, **more: Any) -> list[dict[str, Any]]:
    """The rows of the output. Two columns of numbers in the files are the input, whatever stands beside them."""
    foretell.score(model or Sum(), data, out, **more, version="1")
    rows: list[dict[str, Any]] = pq.read_table(out).to_pylist()
    return rows


def test_a_key_is_a_number_where_all_values_are_and_null_where_there_is_none(data: Path, tmp_path: Path) -> None:
    ask = {"mapping": {"x": ["a", "b"]}}
    rows = score(data, tmp_path / "o.parquet", key=("year", "land", "id"), **ask)
    told = [(None if row["year"] is None else str(row["year"]), row["land"]) for row in rows]
    assert told == [each for each in EXPECTED for _ in range(2)]
    assert pq.read_schema(tmp_path / "o.parquet").field("year").type == pa.int64()
    assert [row["output"] for row in rows] == [0, 1, 2, 3, 4, 5]
    score(data, tmp_path / "none.parquet", key=("year", "land", "id"), **ask, where="year > 3000")
    made = pq.read_schema(tmp_path / "none.parquet")
    assert made.field("year").type == pa.int64() and made.field("land").type == pa.string()


def test_inputs_by_their_names(data: Path, tmp_path: Path) -> None:
    rows = score(data, tmp_path / "o.parquet", Year(), key="id")
    assert [row["output"] for row in rows[:4]] == [2023, 2023.5, 2024, 2024.5]
    mapped = {"x": ["a", "year"]}
    rows = score(data, tmp_path / "p.parquet", key="land", mapping=mapped, where=["land = DE", "year < 2022"])
    assert rows == [{"land": "DE", "output": 2022.0}, {"land": "DE", "output": 2022.5}]


def test_files_without_a_row_that_is_asked_for_are_not_read(data: Path, tmp_path: Path) -> None:
    ask = {"key": ("id",), "mapping": {"x": ["a", "b"]}}
    for number, where in enumerate(
        (["year >= 2021"], ["land = DE", "year = 2021"], ["land in DE, FR", "year != 2020"])
    ):
        report = foretell.score(Sum(), data, tmp_path / f"{number}", where=where, **ask)
        assert (report.rows, report.shards) == (2, 1)
    report = foretell.score(Sum(), data, tmp_path / "both", where=["year >= 2020", "id != 1"], **ask)
    assert (report.rows, report.shards) == (3, 2)


def test_nobody_is_given_what_nobody_has_asked_for(tmp_path: Path) -> None:
    """Numbers in the names of folders are no columns of a model that takes as many as the files have."""
    data = written(tmp_path)
    rows = score(data, tmp_path / "o.parquet", key="id", where="year = 2021")
    assert [row["output"] for row in rows] == [2, 3]
    assert list(rows[0]) == ["id", "output"]


def test_a_column_of_the_files_is_that_of_the_files(tmp_path: Path) -> None:
    data = written(tmp_path, year=["x", "y"])
    rows = score(data, tmp_path / "o.parquet", key=("year",), mapping={"x": ["a", "b"]}, where="year = y")
    assert [row["year"] for row in rows] == ["y", "y", "y"]


def test_keys_that_stand_twice_are_found_where_folders_tell_them(tmp_path: Path) -> None:
    report = foretell.score(Sum(), written(tmp_path), tmp_path / "out", key="land", mapping={"x": ["a", "b"]})
    assert report.duplicates is not None
    assert (report.duplicates.keys, report.duplicates.rows) == (2, 6)


def test_a_name_that_not_all_folders_have_is_no_column(tmp_path: Path) -> None:
    data = written(tmp_path)
    pq.write_table(pq.read_table(f"{data}/{FOLDERS[0]}/part.parquet"), data / "zz.parquet")
    with pytest.raises(InvalidInput, match=r"no column 'year' for the key.* not in those of all files"):
        score(data, tmp_path / "o.parquet", key="year", mapping={"x": ["a", "b"]})
    assert (
        len(score(data / "*" / "*" / "*.parquet", tmp_path / "o.parquet", key="year", mapping={"x": ["a", "b"]})) == 6
    )


@pytest.mark.parametrize(
    ("values", "kind"),
    [(("01", "-2"), "int"), (("1", "x"), "text"), (("1.5",), "text"), (("2020-01-01",), "text"), (("1_0",), "text"),
     (("",), "text"), (("", "7"), "int"), (("٣",), "text"), (("9" * 19,), "text"), (("%31",), "int"),
     (("%FF",), "text")],
)  # fmt: skip
def test_what_values_are(values: tuple[str, ...], kind: str) -> None:
    files = [InputFile(f"s3://box/a=b=c/k={value}/x=1.csv", 1, "") for value in values]
    assert folder_kinds(files) == {"a": "text", "k": kind}
