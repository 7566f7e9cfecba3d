"""Rows that fail, hang, or end their process: each ends alone, and the job goes on."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import scoring


def test_rows_that_fail_are_put_aside_with_their_reason(folder: Path) -> None:
    bad = dict.fromkeys([3, 4, 399, 400, 801, 1599], -22.0)
    scoring.write_files(folder, bad=bad)
    done = scoring.score(folder, "--key", "id", code=3)
    assert scoring.answers(scoring.table(folder)) == scoring.expected(without=list(bad))
    lines = scoring.quarantine(folder)
    assert [line["key"]["id"] for line in lines] == sorted(bad)
    assert lines[3] == {
        "file": str(folder / "data" / "01.parquet"), "row": 0, "key": {"id": 400}, "code": "model_error",
        "error": "Sum.predict: ValueError: minus twenty-two", "attempts": 1,
    }  # fmt: skip
    assert "6 rows have no answer (6 model_error)" in done.stdout


def test_of_a_million_rows_only_the_hundred_that_fail_have_no_answer(folder: Path) -> None:
    rows, most = 500_000, 100
    bad = {at * 10_007: -22.0 for at in range(most)}
    scoring.write_files(folder, files=2, rows=rows, bad=bad)
    scoring.score(folder, "--key", "id", code=3)
    ids = scoring.table(folder)["id"].to_numpy()
    assert np.array_equal(ids, np.setdiff1d(np.arange(2 * rows), list(bad)))
    assert [line["key"]["id"] for line in scoring.quarantine(folder)] == sorted(bad)


def test_rows_that_end_their_process_are_found_and_left_out(folder: Path) -> None:
    bad = dict.fromkeys([7, 1001], -11.0)
    scoring.write_files(folder, bad=bad)
    done = scoring.score(folder, "--key", "id", "--json", code=3)
    assert scoring.answers(scoring.table(folder)) == scoring.expected(without=list(bad))
    lines = scoring.quarantine(folder)
    assert [(line["key"]["id"], line["attempts"]) for line in lines] == [(7, 2), (1001, 2)]
    assert "ended with signal 11" in lines[0]["error"]
    assert json.loads(done.stdout)["crashes"] >= 6
    assert "left out" in done.stderr


def test_rows_that_leave_a_device_of_no_use_are_found_and_left_out(folder: Path) -> None:
    bad = dict.fromkeys([7, 401], -88.0)
    scoring.write_files(folder, files=2, bad=bad)
    done = scoring.score(folder, "--key", "id", code=3)
    assert scoring.answers(scoring.table(folder)) == scoring.expected(files=2, without=list(bad))
    assert [line["key"]["id"] for line in scoring.quarantine(folder)] == list(bad)
    assert "a process of the job ends: its GPU computes nothing more in this process" in done.stderr


def test_a_row_that_never_ends_is_found_and_left_out(folder: Path) -> None:
    scoring.write_files(folder, files=1, bad={5: -33.0})
    scoring.score(folder, "--key", "id", "--call-timeout-s", "0.5", "--row-attempts", "1", code=3)
    assert scoring.answers(scoring.table(folder)) == scoring.expected(files=1, without=[5])
    (line,) = scoring.quarantine(folder)
    assert (line["code"], line["key"]) == ("deadline_exceeded", {"id": 5})


def test_what_passes_is_tried_again_before_it_is_put_aside(folder: Path) -> None:
    scoring.write_files(folder, files=1, rows=3, bad={1: -44.0})
    scoring.score(folder, "--key", "id", "--batch-size", "1", "--retries", "2", "--retry-delay-s", "0", code=3)
    (line,) = scoring.quarantine(folder)
    assert (line["code"], line["attempts"], line["key"]) == ("transient", 3, {"id": 1})


def test_memory_that_runs_out_makes_calls_smaller(folder: Path) -> None:
    scoring.write_files(folder, files=1, bad={5: -55.0})
    scoring.score(folder, "--key", "id", "--max-quarantined", "0")
    assert len(scoring.table(folder)) == scoring.ROWS


def test_too_many_bad_rows_stop_the_job_with_their_count(folder: Path) -> None:
    bad = dict.fromkeys(range(10, 20), -22.0)
    scoring.write_files(folder, bad=bad)
    done = scoring.score(folder, "--key", "id", "--max-quarantined", "9", code=1)
    assert "10 rows have no answer (10 model_error)" in done.stderr
    assert "expected at most 9" in done.stderr
    assert f"such as {folder / 'data' / '00.parquet'}, row 10: Sum.predict: ValueError: minus twenty-two" in done.stderr
    assert [line["key"]["id"] for line in scoring.quarantine(folder)] == list(bad)
    assert not (folder / "out" / "data").exists()
    scoring.score(folder, "--key", "id", "--max-quarantined", "10", code=3)
    assert scoring.answers(scoring.table(folder)) == scoring.expected(without=list(bad))


def test_a_model_that_fails_on_everything_stops_the_job_soon(folder: Path) -> None:
    scoring.write_files(folder)
    done = scoring.score(folder, "--key", "id", model="models.py:Broken", code=1)
    assert "rows have no answer" in done.stderr


def test_a_model_that_ends_its_process_on_everything_stops_the_job(folder: Path) -> None:
    scoring.write_files(folder, files=1, bad=dict.fromkeys(range(scoring.ROWS), -11.0))
    done = scoring.score(folder, "--key", "id", "--max-crashes", "4", code=1)
    assert "processes ended 5 times, the last one with signal 11" in done.stderr


@pytest.mark.parametrize("value", [-11.0, -22.0])
def test_bad_rows_at_both_ends_of_a_shard_are_found(folder: Path, value: float) -> None:
    scoring.write_files(folder, files=1, bad={0: value, scoring.ROWS - 1: value})
    scoring.score(folder, "--key", "id", "--row-attempts", "1", code=3)
    assert scoring.answers(scoring.table(folder)) == scoring.expected(files=1, without=[0, scoring.ROWS - 1])
