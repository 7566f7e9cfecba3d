"""The report of a job, for programs and for people, however the job ended."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import program
import psutil
import pytest
import scoring
from looking import until

import foretell
from foretell.batch.timeline import Point


def written(folder: Path, out: str = "out/_foretell") -> tuple[dict[str, Any], str]:
    """Both forms."""
    return json.loads((folder / out / "report.json").read_text()), (folder / out / "report.html").read_text("utf-8")


def test_a_finished_job_has_a_report_for_people_beside_the_one_for_programs(folder: Path) -> None:
    scoring.write_files(folder)
    done = scoring.score(folder, "--key", "id", "--json", "--price-per-hour", "1")
    told, page = written(folder)
    assert told["html"] == str(folder / "out" / "_foretell" / "report.html")
    assert json.loads(done.stdout) == {key: value for key, value in told.items() if key != "timeline"}
    assert (told["outcome"], told["error"], told["files"], told["kind"]) == ("done", "", 4, "parquet")
    assert (told["shards_done"], told["total_rows"]) == (4, 1600)
    assert told["bytes_in"] == sum(path.stat().st_size for path in (folder / "data").iterdir())
    assert told["machine"]["foretell"] == foretell.__version__
    assert told["started_at"] <= told["ended_at"]
    assert sum(told["phases"].values()) == pytest.approx(told["seconds"], abs=0.5)
    assert (told["shard_times"]["shards"], sum(told["shard_times"]["counts"])) == (4, 4)
    assert {each["file"] for each in told["shard_times"]["slowest"]} == {
        str(path) for path in (folder / "data").iterdir()
    }
    for text in ("All 1,600 rows scored.", told["model"]["digest"], told["out"], str(folder / "data" / "00.parquet")):
        assert text in page


def test_the_time_line_is_as_documented(folder: Path) -> None:
    scoring.write_files(folder)
    scoring.score(folder, "--key", "id")
    line = written(folder)[0]["timeline"]
    assert set(line) == set(Point.__dataclass_fields__)
    assert line["rows"] == sorted(line["rows"]) and line["rows"][-1] == 1600
    assert line["predict_s"] == sorted(line["predict_s"]) and line["predict_s"][-1] > 0
    assert line["at_s"] == sorted(line["at_s"])


def test_rows_without_an_answer_stand_there_by_reason_with_one_example_each(folder: Path) -> None:
    scoring.write_files(folder, bad={7: -44.0, 9: -22.0, 1500: -22.0, 801: -11.0})
    scoring.score(folder, "--key", "id", code=3)
    told, page = written(folder)
    first = f"{folder / 'data' / '00.parquet'}, row"
    assert told["reasons"] == {"model_error": 3, "transient": 1}
    assert told["examples"]["model_error"].startswith(f"{first} 9: Sum.predict: ValueError: minus twenty-two")
    assert (
        told["examples"]["transient"].startswith(f"{first} 7: ") and "come back later" in told["examples"]["transient"]
    )
    assert told["crashes"] > 0
    assert any("left out" in event for event in told["events"])
    assert "1,596 rows scored, 4 put aside." in page
    assert "ended before time" in page


def test_a_run_that_goes_on_shows_its_own_time_line(folder: Path) -> None:
    scoring.write_files(folder, bad={399: -22.0})
    gated = "models.py:Gated"  # else the next shard may be done before the job has stopped
    scoring.score(folder, "--key", "id", "--max-quarantined", "0", "--processes", "1", model=gated, code=1)
    stopped, page = written(folder)
    assert (stopped["outcome"], stopped["quarantined"], stopped["shards_now"]) == ("stopped", 1, 1)
    assert "expected at most 0" in stopped["error"]
    assert "Stopped after 399 of 1,600 rows." in page and "minus twenty-two" in page
    assert not (folder / "out" / "data").exists()
    (folder / "go").touch()
    scoring.score(folder, "--key", "id", "--max-quarantined", "1", model=gated, code=3)
    told, page = written(folder)
    assert (told["outcome"], told["rows"], told["scored_now"], told["shards_now"]) == ("done", 1599, 1200, 3)
    assert told["timeline"]["rows"][-1] == 1200
    assert told["shard_times"]["shards"] == 3
    assert "399 rows had been scored before, 1,200 were scored now" in page


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_job_that_is_told_to_end_leaves_a_report(folder: Path, number: signal.Signals, code: int) -> None:
    scoring.write_files(folder)
    with scoring.started(folder, "--key", "id", model="models.py:Gated") as job:
        until(lambda: job.poll() is not None or any((folder / "out").glob("_foretell/*/shards/000000.json")))
        children = psutil.Process(job.pid).children(recursive=True)
        job.send_signal(number)
        assert job.wait(60) == code
    assert psutil.wait_procs(children, timeout=60)[1] == []
    told, page = written(folder)
    assert (told["outcome"], told["rows"], told["shards_done"], told["shards"]) == ("interrupted", 400, 1, 4)
    assert "Interrupted after 400 of 1,600 rows." in page
    (folder / "go").touch()
    scoring.score(folder, "--key", "id", model="models.py:Gated")
    assert written(folder)[0]["outcome"] == "done"


def test_a_terminal_that_closes_does_not_end_a_job_under_nohup(folder: Path) -> None:
    scoring.write_files(folder)
    words = program.command("score", "models.py:Gated", "data", "-o", "out", "--key", "id")
    with subprocess.Popen(["nohup", *words], cwd=folder, env=program.environment(), stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE) as job:  # fmt: skip
        until(lambda: job.poll() is not None or any((folder / "out").glob("_foretell/*/shards/000000.json")))
        job.send_signal(signal.SIGHUP)
        (folder / "go").touch()
        job.communicate(timeout=60)
    assert (job.returncode, written(folder)[0]["outcome"]) == (0, "done")


@pytest.mark.parametrize(("streams", "code"), [("<&- >&- 2>&-", 0), ("2>/dev/full", 0), (">/dev/full", 1)])
def test_a_job_that_can_tell_nobody_is_done_all_the_same(folder: Path, streams: str, code: int) -> None:
    scoring.write_files(folder, files=1)
    words = program.command("score", "models.py:Sum", "data", "-o", "out", "--key", "id")
    done = subprocess.run(["sh", "-c", f'exec "$@" {streams}', "sh", *words], cwd=folder, env=program.environment(),
                          capture_output=True, text=True, timeout=program.WAIT_S, check=False)  # fmt: skip
    assert done.returncode == code and "Traceback" not in done.stderr, done.stderr
    assert ("standard output cannot be written" in done.stderr) == (code == 1)
    assert scoring.answers(scoring.table(folder)) == scoring.expected(files=1)


def test_a_job_that_cannot_begin_says_why(folder: Path) -> None:
    scoring.write_files(folder, files=1)
    said = scoring.score(folder, *scoring.ALONE, "--key", "ident", code=1).stderr
    told, page = written(folder)
    assert (told["outcome"], told["rows"], told["shards"]) == ("stopped", 0, 0)
    assert told["error"] in said
    assert "Stopped before the first row." in page and "there is no column &#x27;ident&#x27;" in page


def test_a_run_that_has_nothing_to_do_leaves_the_report_of_the_one_that_did(folder: Path) -> None:
    scoring.write_files(folder)
    scoring.score(folder, "--key", "id")
    before = written(folder)
    again = scoring.score(folder, "--key", "id", "--json")
    assert written(folder) == before
    told = json.loads(again.stdout)
    assert (told["html"], told["outcome"], told["rows"]) == (before[0]["html"], "done", 1600)
    assert (told["scored_now"], told["crashes"], told["phases"], told["shard_times"]) == (0, 0, {}, None)


def test_a_second_job_on_the_same_output_does_not_touch_the_report(folder: Path) -> None:
    scoring.write_files(folder, files=1)
    scoring.score(folder, "--key", "ident", *scoring.ALONE, code=1)
    with scoring.started(folder, "--key", "id", "--fresh", model="models.py:Waiting") as job:
        until(lambda: job.poll() is not None or any(folder.glob("began-*")))
        before = os.listdir(folder / "out" / "_foretell")
        assert "another job writes here" in scoring.score(folder, "--key", "id", code=1).stderr
        assert os.listdir(folder / "out" / "_foretell") == before


def test_one_file_has_its_report_beside_it(folder: Path) -> None:
    scoring.write_files(folder, files=1)
    done = scoring.score(folder, *scoring.ALONE, "--key", "id", "-o", "scores.csv")
    told, page = written(folder, "scores.csv.foretell")
    assert f"report: {told['html']}" in done.stdout
    assert str(folder / "scores.csv") in page


def test_a_call_of_the_library_writes_it_too(folder: Path) -> None:
    def total(x: np.ndarray) -> np.ndarray:
        return x.sum(axis=1)

    data = scoring.write_files(folder)
    report = foretell.score(total, data, folder / "out", key="id", mapping={"x": ["a", "b"]})
    told, page = written(folder)
    assert report.html == told["html"]
    assert json.loads(report.encoded()) == told
    assert "All 1,600 rows scored." in page


def test_the_start_of_a_job_does_not_wait_for_what_its_end_needs() -> None:
    script = "import sys, foretell.batch.score; print(*(name for name in sys.modules if name.startswith('foretell.')))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    late = {f"foretell.{name}" for name in ("batch.ending", "batch.report_page", "batch.report_plots", "observe")}
    assert late & set(done.stdout.split()) == set()
