"""A job keeps within the memory that it was given, and uses processors that processes leave idle."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import program
import pytest
import scoring
from onnx import helper
from onnx_build import build, save, value

from foretell.batch.vitals import idle_seconds
from foretell.cores import usable_cores

MIB = 2**20
LIMIT = 2560 * MIB
"""Of addresses, of which libraries take much that they never use."""
LIBRARIES = 80 * MIB
"""Of a process, what others have too: it counts once, but each process tells it."""

pytestmark = pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="only Linux tells")


def report(folder: Path, out: str = "out") -> dict[str, Any]:
    told: dict[str, Any] = json.loads((folder / out / "_foretell" / "report.json").read_text())
    return told


def calls(folder: Path) -> tuple[list[int], list[int]]:
    """The rows of all calls, and the most memory that each process had. They are forgotten then."""
    rows, peaks = [], []
    for path in folder.glob("calls-*"):
        lines = [[int(each) for each in line.split()] for line in path.read_text().splitlines()]
        rows += [line[0] for line in lines]
        peaks.append(max(line[1] for line in lines))
        path.unlink()
    return rows, peaks


def test_calls_are_as_large_as_the_memory_allows_and_answers_are_the_same(folder: Path) -> None:
    scoring.write_files(folder)
    scoring.score(folder, "--key", "id", "-o", "free", model="models.py:Wide")
    rows, peaks = calls(folder)
    assert max(rows) == scoring.ROWS
    assert max(peaks) > 800 * MIB
    scoring.score(folder, "--key", "id", "--memory", "400MiB", model="models.py:Wide")
    rows, peaks = calls(folder)
    assert max(rows) < scoring.ROWS / 2
    assert sum(peaks) < 400 * MIB + len(peaks) * LIBRARIES
    assert report(folder)["memory_bytes"] < 400 * MIB
    before, after = (sorted((folder / out / "data").glob("part-*")) for out in ("free", "out"))
    assert [path.read_bytes() for path in before] == [path.read_bytes() for path in after]


def test_no_more_processes_are_hired_than_there_is_memory_for(folder: Path) -> None:
    scoring.write_files(folder)
    scoring.score(folder, "--key", "id", "--memory", "300MiB", "--processes", "16", model="models.py:Wide")
    told = report(folder)
    assert 1 <= told["processes"] < 16
    assert told["memory_bytes"] < 300 * MIB
    assert scoring.answers(scoring.table(folder)) == scoring.expected()


def test_memory_that_is_too_small_for_the_model_is_told(folder: Path) -> None:
    scoring.write_files(folder)
    done = scoring.score(folder, "--key", "id", "--memory", "30MiB", code=2)
    assert "the model does not fit into the memory that the job may take; expected" in done.stderr
    done = scoring.score(folder, "--key", "id", "--memory", "much", code=2)
    assert "--memory: wrong value; expected bytes, or a size such as 512MiB or 4GB, got 'much'" in done.stderr


@pytest.mark.skipif(usable_cores() > 8, reason="the job ends before as many processes are tried")
def test_processes_that_wait_are_joined_by_others(folder: Path) -> None:
    files = min(16, max(8, 4 * usable_cores()))
    scoring.write_files(folder, files)
    idle, began = idle_seconds(), time.monotonic()
    scoring.score(folder, "--key", "id", "--batch-size", str(50 // usable_cores()), model="models.py:Waits")
    after, took = idle_seconds(), time.monotonic() - began
    assert idle is not None and after is not None
    if report(folder)["processes"] == usable_cores() and (after - idle) / took < 0.6:
        pytest.skip("other programs kept the processors of this machine busy")
    assert report(folder)["processes"] > usable_cores()
    assert scoring.answers(scoring.table(folder)) == scoring.expected(files)


def test_a_runtime_that_gets_no_memory_is_given_fewer_rows(folder: Path) -> None:
    """Of 8 MiB a row: the system refuses what a call of all rows takes, and nobody had said how much there is."""
    data = scoring.write_files(folder, files=1)
    wide = helper.make_node("Tile", ["x", "times"], ["wide"])
    most = helper.make_node("ReduceMax", ["wide"], ["y"], axes=[1], keepdims=0)
    times = {"times": np.array([1, 2**20])}
    save(build([wide, most], [value("x", ["N", 2])], [value("y", ["N"])], weights=times), folder)
    code = f"""
import resource, sys
from foretell.cli import main
resource.setrlimit(resource.RLIMIT_AS, ({LIMIT}, {LIMIT}))
sys.exit(main(["score", "model.onnx", {str(data)!r}, "-o", "out", "--key", "id", "--processes", "1"]))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False,
                          env=program.environment())  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = scoring.table(folder)
    assert report(folder)["timeline"]["call_rows"][-1] < scoring.ROWS
    assert found["y"].to_pylist() == [max(a, a + 0.5) for a in range(scoring.ROWS)]
