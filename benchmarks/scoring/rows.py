"""Millions of rows, Parquet to Parquet: ours beside the scripts that people write and beside Ray Data."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from benchmarks import models as small_models
from benchmarks.process import Unavailable
from benchmarks.report import Goal, Row
from benchmarks.run import Run, middle
from benchmarks.scoring import data, models
from benchmarks.scoring.check import check_rows
from benchmarks.scoring.contest import Contestant, Task, contest, once, out_of
from benchmarks.scoring.jobs import interpreter_s
from benchmarks.scoring.ours import OURS, needs_score, score
from benchmarks.scoring.ray_data import RAY, with_ray

ROWS = 5_000_000
TIMES, FILES = 10, 10
SCRIPT, SCRIPT_ALONE, TUNED = "script, 2 processes", "script, 1 process", "script tuned here, 2 processes"
_PEERS = Path(__file__).parent / "peers"
PLAIN_PATH, TUNED_PATH = _PEERS / "rows_plain.py", _PEERS / "rows_script.py"
_MOST_MB = 500.0
_NOT_COUNTED = "imports are counted, the start of Python itself is not"


def trees(run: Run) -> None:
    what = "100 boosted trees of depth 6"
    run.report.title("scoring.trees", f"{ROWS:,} rows x 20 float32, {what}; {_NOT_COUNTED}")
    _case(run, models.trees(run.folder), {SCRIPT: 0.95, RAY: 1.8})


def network(run: Run) -> None:
    run.report.title("scoring.network", f"{ROWS:,} rows x 20 float32, a small network; {_NOT_COUNTED}")
    _case(run, small_models.small(run.folder), {SCRIPT: 0.9, RAY: 6.0})


def large(run: Run) -> None:
    """Ten times the rows: as many a second, and no more memory."""
    rows = ROWS * TIMES
    run.report.title(
        "scoring.large", f"{rows:,} rows in {FILES} files beside {ROWS:,}, a small network; {_NOT_COUNTED}"
    )
    if run.quick:
        raise Unavailable("it takes two minutes, and this run is quick")
    needs_score()
    model, start_s = small_models.small(run.folder), interpreter_s()
    few = data.parquet(run.folder / "few.parquet", ROWS)
    many = data.parquet_folder(run.folder / "many", rows, FILES)
    jobs = run.in_turns(
        {
            f"{count:,} rows": partial(once, run, _task(model, source, count, {}), _ours(run, model, source))
            for source, count in ((few, ROWS), (many, rows))
        }
    )
    (small, of_small), (big, of_big) = jobs.items()
    rates = {
        small: [ROWS / (job.took_s - start_s) for job in of_small],
        big: [rows / (job.took_s - start_s) for job in of_big],
    }
    more_mb = middle([job.pss_mb for job in of_big]) / middle([job.pss_mb for job in of_small])
    speed = middle(rates[big]) / middle(rates[small])
    goals = {big: [Goal.at_least(speed, 0.95, " of the rate"), Goal.at_most(more_mb, 1.1, " of the memory")]}
    for name, of in jobs.items():
        pss_mb, rss_mb = middle([job.pss_mb for job in of]), middle([job.rss_mb for job in of])
        run.report.add(
            Row(name, OURS, rates[name], "rows/s", rss_mb=rss_mb, goals=goals.get(name, ()), more={"pss_mb": pss_mb})
        )


def _case(run: Run, model: Path, least: Mapping[str, float]) -> None:
    source = data.parquet(run.folder / "rows.parquet", ROWS)
    script: list[str | Path] = [sys.executable, PLAIN_PATH, model, source, out_of(run)]
    every = [
        Contestant(SCRIPT, script),
        Contestant(SCRIPT_ALONE, [*script, "--processes", "1", "--threads", "2"]),
        Contestant(TUNED, [sys.executable, TUNED_PATH, model, source, out_of(run)]),
    ]
    with run.unless_unavailable(OURS):
        needs_score()
        every.insert(0, _ours(run, model, source))
    every += with_ray(run, "rows_ray.py", model, source, out_of(run))
    contest(run, _task(model, source, ROWS, least), every)


def _task(model: Path, source: Path, rows: int, least: Mapping[str, float]) -> Task:
    def check(out: Path) -> None:
        check_rows(model, source, out, rows)

    return Task(f"{rows:,} rows", rows, "rows", check, least, _MOST_MB)


def _ours(run: Run, model: Path, source: Path) -> Contestant:
    return Contestant(OURS, score(model, source, out_of(run), "--key", data.KEY))
