"""`foretell score` from tables to tables: the answers are those of `foretell predict`, whatever the formats."""

from __future__ import annotations

import csv
import gzip
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import numpy as np
import onnx_build
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from foretell.batch.inputs import FORMATS
from foretell.cli.score import Format

NAMES = ["a", "b", "c", "d"]
HOW = ["--key", "id", "--map", "X=a,b,c,d", "--processes", "1"]


def flowers() -> list[list[float]]:
    rows: list[list[float]] = onnx_build.iris()[0].tolist()
    return rows


def records() -> list[dict[str, Any]]:
    rows = [dict(zip(NAMES, row, strict=True)) for row in flowers()]
    return [{"id": f"{number:03}", **row, "note": "a,b"} for number, row in enumerate(rows)]


def write_csv(path: Path) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(records()[0]), delimiter="\t" if path.suffix == ".tsv" else ",")
        writer.writeheader()
        writer.writerows(records())


def write_jsonl(path: Path) -> None:
    path.write_text("".join(json.dumps(record) + "\n" for record in records()))


def write_parquet(path: Path) -> None:
    pq.write_table(pa.Table.from_pylist(records()), path)


WRITERS: dict[str, Callable[[Path], None]] = {
    "data.csv": write_csv, "data.tsv": write_csv, "data.jsonl": write_jsonl, "data.parquet": write_parquet,
}  # fmt: skip


@pytest.fixture
def expected(foretell: Any, folder: Path) -> list[dict[str, Any]]:
    (folder / "rows.json").write_text(json.dumps(flowers()))
    answers: list[dict[str, Any]] = foretell("predict", "iris.onnx", "rows.json", "--json").json
    return answers


@pytest.mark.parametrize(
    ("data", "out"),
    [*((data, "out.csv") for data in WRITERS), ("data.csv", "out.jsonl"), ("data.csv", "out.parquet")],
)
def test_every_table_gives_the_same_answers(foretell: Any, folder: Path, expected: Any, data: str, out: str) -> None:
    WRITERS[data](folder / data)
    result = foretell("score", "iris.onnx", data, "-o", out, *HOW)
    assert result.code == 0, result.err
    rows = read(folder / out)
    assert [row["id"] for row in rows] == [f"{number:03}" for number in range(150)]
    assert [row["label"] for row in rows] == [answer["label"] for answer in expected]
    scores = np.array([row["probabilities"] for row in rows], np.float32)
    np.testing.assert_allclose(
        scores, np.array([answer["probabilities"] for answer in expected], np.float32), rtol=1e-6
    )


def read(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".parquet":
        rows: list[dict[str, Any]] = pq.read_table(path).to_pylist()
        return rows
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text().splitlines()]
    with path.open(newline="") as file:
        cells = list(csv.DictReader(file))
    for row in cells:
        row["probabilities"] = [float(row.pop(name)) for name in list(row) if name.startswith("probabilities_")]
    return cells


def test_compressed_csv_with_semicolons_gives_the_same_answers(foretell: Any, folder: Path, expected: Any) -> None:
    write_csv(folder / "data.csv")
    rows = list(csv.reader(io.StringIO((folder / "data.csv").read_text())))
    with gzip.open(folder / "ä b.csv.gz", "wt") as file:
        csv.writer(file, delimiter=";").writerows(rows)
    result = foretell("score", "iris.onnx", "ä b.csv.gz", "-o", "out.csv", *HOW)
    assert result.code == 1 and "say --delimiter ';'" in result.err
    result = foretell("score", "iris.onnx", "ä b.csv.gz", "-o", "out.csv", *HOW, "--delimiter", ";")
    assert result.code == 0, result.err
    assert [row["label"] for row in read(folder / "out.csv")] == [answer["label"] for answer in expected]


def test_csv_to_csv_needs_no_pyarrow(folder: Path, foretell: Any) -> None:
    """As in an installation without extras: pyarrow cannot be imported, here and in the processes that score."""
    write_csv(folder / "data.csv")
    (folder / "pyarrow.py").write_text("raise ModuleNotFoundError('hidden')")
    import os
    import subprocess

    path = os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, "-m", "foretell", "score", "iris.onnx", "data.csv", "-o", "hidden.csv", *HOW]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, capture_output=True,
                          text=True, check=False, timeout=110)  # fmt: skip
    assert done.returncode == 0, done.stderr
    foretell("score", "iris.onnx", "data.csv", "-o", "seen.csv", *HOW)
    assert (folder / "hidden.csv").read_bytes() == (folder / "seen.csv").read_bytes()


def test_bad_lines_are_quarantined_with_their_line_and_key(foretell: Any, folder: Path) -> None:
    lines = ["id,a,b,c,d", *(f"k{number},1,2,3,4" for number in range(20))]
    lines[5], lines[9] = "bad,1,two,3,4", "1,2"
    (folder / "data.csv").write_text("\n".join(lines))
    result = foretell(
        "score", "iris.onnx", "data.csv", "-o", "out.jsonl", "--key", "id", "--map", "X=a,b,c,d", "--json"
    )
    assert (result.code, result.json["rows"], result.json["quarantined"]) == (3, 18, 2)
    quarantined = [json.loads(line) for line in Path(result.json["quarantine"]).read_text().splitlines()]
    assert [(line["row"], line["key"]) for line in quarantined] == [(4, {"id": "bad"}), (8, {"id": None})]
    assert "data.csv, line 6: column 'b': not a number: 'two'" in quarantined[0]["error"]
    assert "data.csv, line 10: the line has another number of cells" in quarantined[1]["error"]
    assert [row["id"] for row in read(folder / "out.jsonl")] == [f"k{n}" for n in range(20) if n not in (4, 8)]


def test_text_where_numbers_are_asked_for_is_refused_before_anything_is_scored(foretell: Any, folder: Path) -> None:
    (folder / "data.csv").write_text("a,b,c,d\n1,2,3,x\n1,2,3,y\n")
    result = foretell("score", "iris.onnx", "data.csv", "-o", "out.csv", "--map", "X=a,b,c,d")
    assert "column 'd' does not fit input 'X'" in result.error


@pytest.mark.parametrize("data", ["data.csv", "data.jsonl"])
def test_rows_without_a_key_are_known_by_their_number(foretell: Any, folder: Path, data: str) -> None:
    WRITERS[data](folder / data)
    result = foretell("score", "iris.onnx", data, "-o", "out.jsonl", "--map", "X=a,b,c,d", "--processes", "1")
    assert result.code == 0, result.err
    assert [row["row"] for row in read(folder / "out.jsonl")] == list(range(150))


def test_the_formats_of_the_command_line_are_those_of_the_sources() -> None:
    assert set(get_args(Format)) == set(FORMATS)


def test_arrays_and_arrow_files_give_the_same_answers(foretell: Any, folder: Path, expected: Any) -> None:
    np.save(folder / "data.npy", np.array(flowers(), np.float32))
    with pa.ipc.new_file(folder / "data.arrow", pa.Table.from_pylist(records()).schema) as writer:
        writer.write_table(pa.Table.from_pylist(records()))
    one = foretell("score", "iris.onnx", "data.npy", "-o", "one.jsonl", "--top", "1", "--processes", "1")
    two = foretell("score", "iris.onnx", "data.arrow", "-o", "two.jsonl", "--top", "2", *HOW)
    assert (one.code, two.code) == (0, 0), one.err + two.err
    labels = [answer["label"] for answer in expected]
    assert [row["label"] for row in read(folder / "one.jsonl")] == labels
    assert [row["row"] for row in read(folder / "one.jsonl")] == list(range(150))
    classes = sorted({*labels})
    best = [classes[row["probabilities_label"]] if isinstance(row["probabilities_label"], int)
            else row["probabilities_label"] for row in read(folder / "one.jsonl")]  # fmt: skip
    assert best == labels
    assert [row["probabilities_labels"][0] for row in read(folder / "two.jsonl")] == [
        row["probabilities_label"] for row in read(folder / "one.jsonl")
    ]
    assert [row["id"] for row in read(folder / "two.jsonl")][:2] == ["000", "001"]


@pytest.mark.parametrize("data", ["data.csv", "data.jsonl", "data.parquet"])
def test_only_rows_that_are_asked_for_are_scored(foretell: Any, folder: Path, data: str) -> None:
    WRITERS[data](folder / data)
    where = ["--where", "a >= 6", "--where", "note in x, a,b", "--where", "id != 077"]
    result = foretell("score", "iris.onnx", data, "-o", "out.jsonl", "--json", *where[:2], *where[4:], *HOW)
    assert result.code == 0, result.err
    wanted = [record["id"] for record in records() if np.float32(record["a"]) >= 6 and record["id"] != "077"]
    assert [row["id"] for row in read(folder / "out.jsonl")] == wanted
    assert (result.json["rows"], result.json["quarantined"]) == (len(wanted), 0)


def test_bad_rows_that_nobody_asks_for_are_not_quarantined(foretell: Any, folder: Path) -> None:
    lines = ["1,x,1,2,3,4", "2,y,1,2,3,four", "3,x,1,2,3,four", "4,x", *["5,y,1,2,3,4"] * 30]
    (folder / "data.csv").write_text("\n".join(["id,kind,a,b,c,d", *lines]))
    result = foretell("score", "iris.onnx", "data.csv", "-o", "out.jsonl", "--json", "--where", "kind = x", *HOW)
    assert (result.code, result.json["rows"], result.json["quarantined"]) == (3, 1, 2)
    quarantined = [json.loads(line) for line in Path(result.json["quarantine"]).read_text().splitlines()]
    assert [line["row"] for line in quarantined] == [2, 3]
    assert [row["id"] for row in read(folder / "out.jsonl")] == ["1"]


def test_a_condition_on_a_column_that_is_not_there_is_refused(foretell: Any, folder: Path) -> None:
    write_csv(folder / "data.csv")
    result = foretell("score", "iris.onnx", "data.csv", "-o", "out.csv", "--where", "idd = 1", *HOW)
    assert "there is no column 'idd' for --where; did you mean 'id'?" in result.error
