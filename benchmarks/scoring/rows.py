"""Millions of rows, Parquet to Parquet: ours beside the scripts that people write and beside Ray Data."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks import models as small_models
from benchmarks.report import Goal, Row
from benchmarks.run import Run, middle, ratios
from benchmarks.scoring import data, models
from benchmarks.scoring.check import check_rows
from benchmarks.scoring.jobs import Job, interpreter_s, run_job
from benchmarks.scoring.ours import OURS, needs_score, score

ROWS = 5_000_000
SCRIPT, SCRIPT_ALONE = "script, 2 processes", "script, 1 process"
_PEERS = Path(__file__).parent / "peers"
_MOST_MB = 500.0


def trees(run: Run) -> None:
    run.report.title(
        "scoring.trees", f"{ROWS:,} rows x 20 float32, 100 boosted trees of depth 6; start of Python not counted"
    )
    _case(run, models.trees(run.folder), {SCRIPT: 0.95})


def network(run: Run) -> None:
    run.report.title("scoring.network", f"{ROWS:,} rows x 20 float32, a small network; start of Python not counted")
    _case(run, small_models.small(run.folder), {SCRIPT: 0.9})


@dataclass(frozen=True)
class Contestant:
    """A command that scores `data` with a model into the folder `out`, which is not there when it starts."""

    name: str
    command: Callable[[Path, Path, Path], Sequence[str | Path]]
    python: str | Path = sys.executable


def contestants(run: Run) -> list[Contestant]:
    script = [sys.executable, _PEERS / "rows_script.py"]
    every = [
        Contestant(SCRIPT, lambda *paths: [*script, *paths]),
        Contestant(SCRIPT_ALONE, lambda *paths: [*script, *paths, "--processes", "1", "--threads", "2"]),
    ]
    with run.unless_unavailable(OURS):
        needs_score()
        every.insert(0, Contestant(OURS, lambda model, rows, out: score(model, rows, out, "--key", data.KEY)))
    return every


def measure(run: Run, each: Contestant, model: Path, source: Path, rows: int) -> Job:
    """One run, with an output that was looked at."""
    out = run.folder / "out"
    shutil.rmtree(out, ignore_errors=True)
    job = run_job(each.command(model, source, out), folder=run.folder)
    check_rows(model, source, out, rows)
    if job.left:
        run.report.note(f"{each.name} left {job.left} processes running")
    return job


def _case(run: Run, model: Path, least: Mapping[str, float]) -> None:
    source = data.parquet(run.folder / "rows.parquet", ROWS)
    every = contestants(run)
    jobs = run.in_turns({each.name: partial(measure, run, each, model, source, ROWS) for each in every})
    starts = {each.name: interpreter_s(each.python) for each in every}
    rates = {name: [ROWS / (job.took_s - starts[name]) for job in of] for name, of in jobs.items()}
    for name, of in jobs.items():
        shares = ratios(rates[OURS], rates[name]) if OURS in rates else []
        goals = [Goal.at_least(middle(shares), least[name], " of this")] if shares and name in least else []
        pss_mb = middle([job.pss_mb for job in of])
        if name == OURS:
            goals.append(Goal.at_most(pss_mb, _MOST_MB, " MB"))
        run.report.add(
            Row(f"{ROWS:,} rows", name, rates[name], "rows/s", rss_mb=middle([job.rss_mb for job in of]),
                ratios=shares, goals=goals, more={"pss_mb": pss_mb})
        )  # fmt: skip
