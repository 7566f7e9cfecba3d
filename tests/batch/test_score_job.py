"""A job from end to end: every row once, in order, under its key; done is done."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import program
import pyarrow as pa
import pyarrow.parquet as pq
import scoring


def test_every_row_has_its_answer_in_order_under_its_key(folder: Path) -> None:
    scoring.write_files(folder)
    done = scoring.score(folder, "--key", "id", "--json")
    table = scoring.table(folder)
    assert table.column_names == ["id", "output"]
    assert table["id"].to_pylist() == list(range(4 * scoring.ROWS))
    assert scoring.answers(table) == scoring.expected()
    report = json.loads(done.stdout)
    assert report["rows"] == report["scored_now"] == 4 * scoring.ROWS
    assert (report["quarantined"], report["shards"]) == (0, 4)


def test_without_a_key_rows_are_known_by_file_and_number(folder: Path) -> None:
    data = scoring.write_files(folder, files=2)
    scoring.score(folder, *scoring.ALONE, "--map", "x=a,b")
    table = scoring.table(folder)
    assert table.column_names == ["file", "row", "output"]
    assert table["row"].to_pylist() == [*range(scoring.ROWS)] * 2
    assert table["file"].to_pylist()[:: scoring.ROWS] == [str(data / "00.parquet"), str(data / "01.parquet")]


def test_one_file_is_written_whole_where_the_name_says_so(folder: Path) -> None:
    scoring.write_files(folder)
    scoring.score(folder, "--key", "id", "-o", "scores.parquet")
    assert scoring.answers(pq.read_table(folder / "scores.parquet")) == scoring.expected()
    metadata = pq.read_schema(folder / "scores.parquet").metadata
    assert json.loads(metadata[b"foretell.model"])["name"] == "Sum"
    left = {path.name for path in (folder / "scores.parquet.foretell").rglob("part-*")}
    assert left == set()


def test_two_processes_share_two_shards(folder: Path) -> None:
    scoring.write_files(folder, files=2)
    scoring.score(folder, "--key", "id", "--processes", "2", model="models.py:Together")
    assert scoring.answers(scoring.table(folder)) == scoring.expected(files=2)


def test_small_parts_become_files_of_the_size_that_is_asked_for(folder: Path) -> None:
    scoring.write_files(folder)
    names = {}
    for size in ("0", "1", "11kB", "1GiB"):
        scoring.score(folder, "--key", "id", "-o", f"out-{size}", "--file-size", size)
        files = sorted((folder / f"out-{size}" / "data").glob("*.parquet"))
        names[size] = [file.name[:11] for file in files]
        whole = pa.concat_tables([pq.read_table(file) for file in files])
        assert scoring.answers(whole) == scoring.expected()
        manifest = json.loads((folder / f"out-{size}" / "data" / "_foretell.json").read_text())
        told = [(part["file"], part["bytes"], part["sha256"].removeprefix("sha256:")) for part in manifest["parts"]]
        assert told == [(f.name, f.stat().st_size, hashlib.sha256(f.read_bytes()).hexdigest()) for f in files]
        assert sum(part["rows"] for part in manifest["parts"]) == len(whole)
    assert names["0"] == names["1"] == [f"part-00000{number}" for number in range(4)]
    assert names["11kB"] == ["part-000000", "part-000002"]
    assert names["1GiB"] == ["part-000000"]
    done = scoring.score(folder, "--key", "id", "-o", "out-1", "--file-size", "2GB", code=1)
    assert "the job is done, with files of another size" in done.stderr


def test_files_of_many_parts_are_within_a_fifth_of_the_size_that_is_asked_for(folder: Path) -> None:
    scoring.write_files(folder, files=14, rows=4000)
    scoring.score(folder, "--key", "id", "--file-size", "100kB")
    sizes = [file.stat().st_size for file in sorted((folder / "out" / "data").glob("*.parquet"))]
    assert len(sizes) > 3
    assert all(80_000 <= size <= 120_000 for size in sizes[:-1]), sizes


def test_an_output_that_somebody_took_away_is_made_again(folder: Path) -> None:
    scoring.write_files(folder)
    for out in ("out", "scores.parquet"):
        scoring.score(folder, *scoring.ALONE, "--key", "id", "-o", out)
        target = folder / out
        shutil.rmtree(target / "data") if target.is_dir() else target.unlink()
        scoring.score(folder, *scoring.ALONE, "--key", "id", "-o", out)
        assert scoring.answers(pq.read_table(target / "data" if target.is_dir() else target)) == scoring.expected()


def test_a_second_run_finds_nothing_to_do(folder: Path) -> None:
    scoring.write_files(folder)
    scoring.score(folder, *scoring.ALONE, "--key", "id")
    before = scoring.parts(folder)
    again = scoring.score(folder, *scoring.ALONE, "--key", "id")
    assert "nothing to do, all 1,600 rows are there" in again.stdout
    assert scoring.parts(folder) == before


def test_every_row_can_carry_the_identity_of_the_model(folder: Path) -> None:
    scoring.write_files(folder, files=1)
    scoring.score(folder, *scoring.ALONE, "--key", "id", "--stamp")
    table = scoring.table(folder)
    assert table.column_names == ["id", "output", "model", "version", "digest"]
    manifest = json.loads((folder / "out" / "data" / "_foretell.json").read_text())
    assert set(table["digest"].to_pylist()) == {manifest["model"]["artefact_digest"]}
    assert set(table["model"].to_pylist()) == {"Sum"}
    assert set(table["version"].to_pylist()) == {"1"}


def test_columns_that_the_model_does_not_ask_for_are_not_read(folder: Path) -> None:
    data = folder / "data"
    data.mkdir()
    table = pa.table({"id": [1, 2], "x": pa.array([[1.0, 2.0], [3.0, 4.0]], pa.list_(pa.float32(), 2)),
                      "note": ["a", "b"]})  # fmt: skip
    pq.write_table(table, data / "rows.parquet")
    scoring.score(folder, *scoring.ALONE, "--key", "id")
    assert scoring.table(folder).to_pydict() == {"id": [1, 2], "output": [3.0, 7.0]}


def test_two_columns_of_one_name_are_refused_where_they_are_needed(folder: Path) -> None:
    arrays = [pa.array([number], pa.float32()) for number in (1, 2, 3, 4, 5)]
    pq.write_table(pa.Table.from_arrays(arrays, ["id", "a", "a", "b", "c"]), folder / "twice.parquet")
    done = scoring.score(folder, "twice.parquet", *scoring.ALONE, "--key", "id", "--map", "x=a,b", code=1)
    assert "twice.parquet: there are two columns 'a'; rename one of them" in done.stderr
    scoring.score(folder, "twice.parquet", *scoring.ALONE, "--key", "id", "--map", "x=b,c")
    assert scoring.table(folder)["output"].to_pylist() == [9.0]


def test_data_and_model_must_go_together_before_a_row_is_read(folder: Path) -> None:
    data = folder / "data"
    data.mkdir()
    pq.write_table(pa.table({"id": [1], "a": ["one"], "b": ["two"]}), data / "rows.parquet")
    done = scoring.score(folder, *scoring.ALONE, "--key", "id", "--map", "x=a,b", code=1)
    assert "column 'a' does not fit input 'x'" in done.stderr
    assert not (folder / "out" / "data").exists()


def test_a_column_that_is_not_there_is_named(folder: Path) -> None:
    scoring.write_files(folder, files=1)
    assert "there is no column 'ident' for the key" in scoring.score(folder, "--key", "ident", code=1).stderr


def test_files_of_different_columns_are_refused_by_name(folder: Path) -> None:
    data = scoring.write_files(folder, files=1)
    pq.write_table(pa.table({"id": [1], "a": np.ones(1, np.float32)}), data / "09.parquet")
    done = scoring.score(folder, *scoring.ALONE, "--key", "id", code=1)
    assert "09.parquet: column 'b' is missing" in done.stderr


def test_a_truncated_file_is_named(folder: Path) -> None:
    data = scoring.write_files(folder, files=1)
    whole = (data / "00.parquet").read_bytes()
    (data / "00.parquet").write_bytes(whole[: len(whole) // 2])
    done = scoring.score(folder, *scoring.ALONE, "--key", "id", code=1)
    assert "00.parquet: not a readable Parquet file" in done.stderr


def test_an_empty_file_is_no_rows(folder: Path) -> None:
    data = scoring.write_files(folder, files=1)
    empty = pa.table({"id": np.zeros(0, np.int64), "a": np.zeros(0, np.float32), "b": np.zeros(0, np.float32)})
    pq.write_table(empty, data / "00-empty.parquet")
    scoring.score(folder, *scoring.ALONE, "--key", "id")
    assert scoring.answers(scoring.table(folder)) == scoring.expected(files=1)


def test_what_stands_at_the_output_is_not_touched_unasked(folder: Path) -> None:
    scoring.write_files(folder, files=1)
    (folder / "out").mkdir()
    (folder / "out" / "precious.txt").write_text("mine")
    done = scoring.score(folder, "--key", "id", code=2)
    assert "there is something already, and no job of foretell made it" in done.stderr
    assert (folder / "out" / "precious.txt").read_text() == "mine"


def test_no_process_is_left_and_nothing_is_printed_but_the_report(folder: Path) -> None:
    scoring.write_files(folder, files=1)
    done = program.run("score", "models.py:Sum", "data", "-o", "out", "--key", "id", cwd=folder)
    first, second = done.stdout.splitlines()
    assert "400 rows in" in first
    assert second == f"report: {folder / 'out' / '_foretell' / 'report.html'}"
