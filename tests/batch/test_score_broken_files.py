"""Files that cannot be read, among others that can: they are named, and the others are scored."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import scoring
from pyarrow import feather

import foretell

Writer = Callable[[Path, pa.Table], None]


def write_csv(path: Path, table: pa.Table) -> None:
    lines = [",".join(table.column_names), *(",".join(map(str, row.values())) for row in table.to_pylist())]
    path.write_text("\n".join(lines) + "\n")


def write_npy(path: Path, table: pa.Table) -> None:
    np.save(path, np.column_stack([table["a"], table["b"]]).astype(np.float32))


WRITERS: dict[str, Writer] = {
    ".parquet": lambda path, table: pq.write_table(table, path),
    ".arrow": lambda path, table: feather.write_feather(table, str(path)),
    ".csv": write_csv,
    ".npy": write_npy,
}
BROKEN = {".parquet": b"PAR1 and no more", ".arrow": b"ARROW1\0\0 and no more", ".csv": b"", ".npy": b"\x93NUMPY"}


def table(first: int, rows: int = 10) -> pa.Table:
    ids = np.arange(first, first + rows)
    return pa.table({"id": ids, "a": ids.astype(np.float32), "b": np.full(rows, 0.5, np.float32)})


def fill(folder: Path, suffix: str, broken: str) -> None:
    (folder / "data").mkdir()
    for number, name in enumerate("pqr"):
        WRITERS[suffix](folder / "data" / f"{name}{suffix}", table(10 * number))
    (folder / "data" / f"{broken}{suffix}").write_bytes(BROKEN[suffix])


@pytest.mark.parametrize("suffix", WRITERS)
@pytest.mark.parametrize("broken", ["a", "q", "z"])
def test_a_file_that_cannot_be_read_is_named_and_the_others_are_scored(folder: Path, suffix: str, broken: str) -> None:
    fill(folder, suffix, broken)
    asked = [] if suffix == ".npy" else ["--map", "x=a,b"]
    scoring.score(folder, *asked, *scoring.ALONE, code=3)
    expected = [number + 0.5 for number in range(30) if broken != "q" or not 10 <= number < 20]
    assert scoring.table(folder)["output"].to_pylist() == expected
    (line,) = scoring.quarantine(folder)
    path = str(folder / "data" / f"{broken}{suffix}")
    assert (line["file"], line["row"], line["rows"], line["code"]) == (path, 0, None, "invalid_input")
    assert line["error"].startswith(path)
    report = json.loads((folder / "out" / "_foretell" / "report.json").read_text())
    assert (report["rows"], report["quarantined"]) == (len(expected), 1)
    assert path in report["examples"]["invalid_input"]


def test_where_no_file_can_be_read_the_job_says_so(folder: Path) -> None:
    (folder / "data").mkdir()
    for name in "ab":
        (folder / "data" / f"{name}.parquet").write_bytes(b"PAR1")
    done = scoring.score(folder, "--map", "x=a,b", *scoring.ALONE, code=1)
    assert "not a readable Parquet file" in done.stderr


def test_one_file_too_many_that_cannot_be_read_stops_the_job(folder: Path) -> None:
    fill(folder, ".parquet", "z")
    done = scoring.score(folder, "--map", "x=a,b", *scoring.ALONE, "--max-quarantined", "0", code=1)
    assert "1 row has no answer (1 invalid_input)" in done.stderr
    assert "z.parquet" in done.stderr


def test_a_file_whose_end_cannot_be_read_is_scored_as_far_as_it_can(folder: Path) -> None:
    (folder / "data").mkdir()
    good, bad = folder / "data" / "a.parquet", folder / "data" / "b.parquet"
    pq.write_table(table(0, 1000), good)
    pq.write_table(table(1000, 1000), bad, row_group_size=400, use_dictionary=False, compression="none",
                   write_page_checksum=False)  # fmt: skip
    chunk = pq.read_metadata(bad).row_group(1).column(1)
    content = bytearray(bad.read_bytes())
    content[chunk.data_page_offset : chunk.data_page_offset + 40] = b"\xff" * 40
    bad.write_bytes(content)
    scoring.score(folder, "--key", "id", "--map", "x=a,b", *scoring.ALONE, code=3)
    assert scoring.table(folder)["id"].to_pylist() == list(range(1400))
    (line,) = scoring.quarantine(folder)
    assert (line["file"], line["row"], line["rows"]) == (str(bad), 400, 600)
    assert "b.parquet, near row 400: the file cannot be read" in line["error"]
    done = scoring.score(folder, "--key", "id", "--map", "x=a,b", *scoring.ALONE, code=3)
    assert "nothing to do" in done.stdout


def test_files_with_other_columns_are_a_mistake_that_is_told_before_anything_is_scored(folder: Path) -> None:
    fill(folder, ".parquet", "a")
    pq.write_table(table(0).drop_columns("b"), folder / "data" / "s.parquet")
    done = scoring.score(folder, "--map", "x=a,b", *scoring.ALONE, code=1)
    assert "s.parquet: column 'b' is missing" in done.stderr


def test_a_page_whose_checksum_is_wrong_is_not_scored(folder: Path) -> None:
    (folder / "data").mkdir()
    for name in "pq":
        pq.write_table(table(0), folder / "data" / f"{name}.parquet", write_page_checksum=True, use_dictionary=False,
                       compression="none")  # fmt: skip
    content = (folder / "data" / "q.parquet").read_bytes()
    cell = np.float32(7).tobytes()
    assert content.count(cell) == 1
    (folder / "data" / "q.parquet").write_bytes(content.replace(cell, np.float32(8).tobytes()))
    report = foretell.score(lambda x: x, folder / "data", folder / "out", key="id", mapping={"x": ["a", "b"]})
    assert (report.rows, report.quarantined) == (10, 1)
    (line,) = scoring.quarantine(folder)
    assert line["file"].endswith("q.parquet") and "CRC" in line["error"]
