"""Keys that stand more than once: the job tells, and scores all the same."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import program
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import scoring
from looking import until

import foretell
from foretell.batch.report import Report

ROWS = 300_000
"""Three shards of a file."""


def total(x: np.ndarray) -> np.ndarray:
    return x.sum(axis=1)


def write(folder: Path, *files: Mapping[str, Sequence[Any]]) -> Path:
    """One Parquet file for each, with the inputs of the model beside these columns."""
    data = folder / "data"
    data.mkdir()
    for number, columns in enumerate(files):
        rows = len(next(iter(columns.values())))
        inputs = {name: np.arange(rows, dtype=np.float32) for name in ("a", "b")}
        pq.write_table(pa.table({**columns, **inputs}), data / f"{number}.parquet")
    return data


def lines(folder: Path) -> list[tuple[dict[str, Any], str, int]]:
    """What stands in the file of duplicates: key, name of the file, row."""
    path = folder / "out" / "_foretell" / "duplicates.jsonl"
    if not path.exists():
        return []
    told = [json.loads(line) for line in path.read_text().splitlines()]
    return [(line["key"], Path(line["file"]).name, line["row"]) for line in told]


def report(folder: Path) -> dict[str, Any]:
    told: dict[str, Any] = json.loads((folder / "out" / "_foretell" / "report.json").read_text())
    return told


def counted(folder: Path) -> tuple[int, int]:
    """Keys and rows that the report tells of."""
    told = report(folder)["duplicates"]
    return told["keys"], told["rows"]


def live(folder: Path, **options: Any) -> Report:
    options = {"key": "id", "mapping": {"x": ["a", "b"]}, **options}
    return foretell.score(total, folder / "data", folder / "out", **options)


def looks(folder: Path) -> bool:
    """Whether a job reads keys again, and has done so for a shard."""
    with suppress(FileNotFoundError):
        return any((folder / "out" / "_foretell").glob("tmp/*-keys/*.hashes"))
    return False


def test_keys_that_stand_twice_in_a_file_are_told_and_scored(folder: Path) -> None:
    write(folder, {"id": [1, 2, 3, 2, 5, 1, 2]})
    done = scoring.score(folder, "--key", "id")
    path = folder / "out" / "_foretell" / "duplicates.jsonl"
    assert f"2 keys stand more than once, in 5 rows: {path}" in done.stdout
    assert scoring.table(folder)["id"].to_pylist() == [1, 2, 3, 2, 5, 1, 2]
    assert [(key["id"], row) for key, _, row in lines(folder)] == [(1, 0), (1, 5), (2, 1), (2, 3), (2, 6)]
    told = report(folder)["duplicates"]
    assert (told["keys"], told["rows"], told["file"]) == (2, 5, str(path))
    assert told["examples"][0] == {"key": {"id": 1}, "file": str(folder / "data" / "0.parquet"), "row": 0}
    page = (folder / "out" / "_foretell" / "report.html").read_text()
    assert "Keys that stand more than once" in page
    assert "{&quot;id&quot;:1}" in page


def test_a_finished_job_keeps_telling(folder: Path) -> None:
    write(folder, {"id": [1, 2, 1]})
    scoring.score(folder, "--key", "id")
    again = scoring.score(folder, "--key", "id")
    assert "nothing to do" in again.stdout
    assert "1 key stands more than once, in 2 rows" in again.stdout
    told = json.loads(scoring.score(folder, "--key", "id", "--json").stdout)
    assert (told["duplicates"]["keys"], told["duplicates"]["rows"]) == (1, 2)


def test_keys_of_two_files_are_compared(folder: Path) -> None:
    write(folder, {"id": [1, 2, 3]}, {"id": [3, 4, 5]})
    live(folder)
    assert lines(folder) == [({"id": 3}, "0.parquet", 2), ({"id": 3}, "1.parquet", 0)]


def test_keys_of_distant_shards_are_compared(folder: Path) -> None:
    ids = np.random.default_rng(3).permutation(ROWS)
    ids[100], ids[200_000] = ids[-1], ids[200_001]
    write(folder, {"id": ids})
    found = live(folder)
    assert found.shards > 2
    assert counted(folder) == (2, 4)
    assert [row for _, _, row in lines(folder)] == [100, ROWS - 1, 200_000, 200_001]


def test_keys_in_order_are_not_read_again(folder: Path) -> None:
    write(folder, {"id": np.arange(ROWS)}, {"id": np.arange(ROWS, ROWS + 5)})
    found = live(folder)
    assert found.duplicates is not None
    assert (found.duplicates.keys, found.duplicates.file) == (0, None)
    assert "check" not in found.phases
    assert set(report(folder)["phases"]) == {"start", "score", "publish"}


@pytest.mark.parametrize("kind", ["int64", "text", "date"])
def test_keys_without_order_that_are_unique_are_read_again_and_found_to_be(folder: Path, kind: str) -> None:
    numbers = np.random.default_rng(5).permutation(2000)
    columns = {"int64": numbers, "text": [f"customer-{number}" for number in numbers],
               "date": pa.array(numbers.astype(np.int32)).cast(pa.date32())}  # fmt: skip
    write(folder, {"id": columns[kind]})
    found = live(folder)
    assert found.duplicates is not None
    assert (found.duplicates.keys, found.duplicates.file) == (0, None)
    assert "check" in found.phases
    assert not (folder / "out" / "_foretell" / "duplicates.jsonl").exists()
    assert not (folder / "out" / "_foretell" / "tmp").exists()


@pytest.mark.parametrize(
    ("cells", "twice"),
    [
        (["b", "a", "b"], "b"),
        (["\u00fcber", "x", "\u00fcber"], "\u00fcber"),
        ([7, None, 8, None], None),
        (["x", None, "", None], None),
        ([1.5, 2.5, 1.5], 1.5),
        ([True, False, True], True),
        ([b"\x00\xff", b"\x00", b"\x00\xff"], "\x00\\xff"),
        (["a" * 5000, "b", "a" * 5000], None),
    ],
)
def test_keys_of_many_kinds(folder: Path, cells: list[Any], twice: Any) -> None:
    write(folder, {"id": cells})
    live(folder)
    assert counted(folder) == (1, 2)
    found = lines(folder)
    assert [row for *_, row in found] == [row for row, cell in enumerate(cells) if cells.count(cell) == 2]
    if len(str(cells[0])) < 1000:
        assert [key for key, *_ in found] == [{"id": twice}] * 2
    else:
        assert found[0][0]["id"].startswith("a" * 200 + "... (sha256 ")


def test_several_columns_are_one_key(folder: Path) -> None:
    write(folder, {"shop": ["x", "y", "x", "y"], "order": [1, 1, 2, 1]})
    live(folder, key=["shop", "order"])
    assert [(key, row) for key, _, row in lines(folder)] == [
        ({"shop": "y", "order": 1}, 1), ({"shop": "y", "order": 1}, 3),
    ]  # fmt: skip


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_rows_of_text_files(folder: Path, suffix: str) -> None:
    data = folder / "data"
    data.mkdir()
    ids = [7, 5, 7]
    if suffix == "csv":
        text = "id,a,b\n" + "".join(f"{number},1,2\n" for number in ids)
    else:
        text = "".join(json.dumps({"id": number, "a": 1, "b": 2}) + "\n" for number in ids)
    (data / f"rows.{suffix}").write_text(text)
    live(folder)
    twice = "7" if suffix == "csv" else 7
    assert lines(folder) == [({"id": twice}, f"rows.{suffix}", 0), ({"id": twice}, f"rows.{suffix}", 2)]


def test_rows_without_an_answer_count_and_those_that_were_not_read_do_not(folder: Path) -> None:
    data = folder / "data"
    data.mkdir()
    good = "".join(f"{number},1,1\n" for number in range(60))
    (data / "rows.csv").write_text(f"id,a,b\n{good}7,x,1\n100\n101\n")
    scoring.score(folder, "--key", "id", "--map", "x=a,b", code=3)
    assert [line["row"] for line in scoring.quarantine(folder)] == [60, 61, 62]
    assert lines(folder) == [({"id": "7"}, "rows.csv", 7), ({"id": "7"}, "rows.csv", 60)]


def test_rows_that_nobody_asks_for_do_not_count(folder: Path) -> None:
    write(folder, {"id": [3, 1, 2, 1, 2], "kept": [1, 1, 0, 1, 1]})
    live(folder, where="kept = 1")
    assert lines(folder) == [({"id": 1}, "0.parquet", 1), ({"id": 1}, "0.parquet", 3)]


def test_it_can_be_switched_off(folder: Path) -> None:
    write(folder, {"id": [1, 1]})
    done = scoring.score(folder, "--key", "id", "--no-check-keys")
    assert "more than once" not in done.stdout
    assert report(folder)["duplicates"] is None
    assert lines(folder) == []


def test_row_numbers_and_names_of_files_are_not_looked_at(folder: Path) -> None:
    write(folder, {"id": [1, 1]})
    assert live(folder, key=(), mapping={"x": ["a", "b"]}).duplicates is None


def test_a_job_that_is_killed_while_it_looks_looks_again(folder: Path) -> None:
    ids = np.random.default_rng(3).permutation(4 * ROWS)
    ids[0] = ids[-1]
    write(folder, {"id": ids})
    with scoring.started(folder, "--key", "id") as job:
        until(lambda: looks(folder))
        children = psutil.Process(job.pid).children(recursive=True)
        os.kill(job.pid, signal.SIGKILL)
        job.wait()
    psutil.wait_procs(children, timeout=60)
    done = scoring.score(folder, "--key", "id")
    assert "1 key stands more than once, in 2 rows" in done.stdout
    assert len(lines(folder)) == 2
    assert not (folder / "out" / "_foretell" / "tmp").exists()


def test_a_process_that_is_killed_while_it_looks_is_replaced(folder: Path) -> None:
    ids = np.random.default_rng(3).permutation(4 * ROWS)
    ids[0] = ids[-1]
    write(folder, {"id": ids})
    with scoring.started(folder, "--key", "id", "--processes", "1") as job:
        until(lambda: looks(folder))
        for child in psutil.Process(job.pid).children():
            child.kill()
        said, errors = job.communicate(timeout=60)
    assert job.returncode == 0, errors
    assert "1 key stands more than once, in 2 rows" in said


def test_a_retry_tells_what_is_known(folder: Path) -> None:
    write(folder, {"id": [1, 2, 1]}, {"id": [8, 9]})
    path = folder / "data" / "1.parquet"
    pq.write_table(pq.read_table(path).set_column(1, "a", pa.array([-66.0, 1.0], pa.float32())), path)
    scoring.score(folder, "--key", "id", model="models.py:Outage", code=3)
    (folder / "mended").touch()
    before = lines(folder)
    done = program.run("retry", "out", cwd=folder)
    assert "1 key stands more than once, in 2 rows" in done.stdout
    assert report(folder)["phases"].keys() == {"start", "score", "publish"}
    assert lines(folder) == before
