"""Commands that do the same job, in turns: how fast each was, what it held, and ours divided by each."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from benchmarks.report import Goal, Row
from benchmarks.run import Run, middle, ratios
from benchmarks.scoring.jobs import Job, interpreter_s, run_job
from benchmarks.scoring.ours import OURS


@dataclass(frozen=True)
class Contestant:
    """`command` writes the folder `out_of(run)`, which is not there when it starts.

    `python`: the interpreter that it runs in, whose bare start does not count.
    """

    name: str
    command: Sequence[str | Path]
    python: str | Path = sys.executable
    environ: Mapping[str, str | None] = field(default_factory=dict)


@dataclass(frozen=True)
class Task:
    """`count` items of one `unit`. `check` raises RuntimeError where an output is wrong.

    `least`: for each peer, what ours divided by it has to reach. `most_mb`: what our processes may hold together.
    """

    measure: str
    count: int
    unit: str
    check: Callable[[Path], None]
    least: Mapping[str, float]
    most_mb: float | None = None


def out_of(run: Run) -> Path:
    return run.folder / "out"


def contest(run: Run, task: Task, contestants: Iterable[Contestant]) -> dict[str, list[float]]:
    """A row in the report for each contestant; its items a second, without the start of Python."""
    every = list(contestants)
    jobs = run.in_turns({each.name: partial(once, run, task, each) for each in every})
    starts = {each.name: interpreter_s(each.python) for each in every}
    rates = {name: [task.count / (job.took_s - starts[name]) for job in of] for name, of in jobs.items()}
    for name, of in jobs.items():
        shares = ratios(rates[OURS], rates[name]) if OURS in rates else []
        goals = [Goal.at_least(middle(shares), task.least[name], " of this")] if shares and name in task.least else []
        pss_mb = middle([job.pss_mb for job in of])
        if name == OURS and task.most_mb is not None:
            goals.append(Goal.at_most(pss_mb, task.most_mb, " MB"))
        run.report.add(
            Row(task.measure, name, rates[name], f"{task.unit}/s", rss_mb=middle([job.rss_mb for job in of]),
                ratios=shares, goals=goals, more={"pss_mb": pss_mb})
        )  # fmt: skip
    return rates


def once(run: Run, task: Task, contestant: Contestant) -> Job:
    """One run, whose output was looked at."""
    out = out_of(run)
    shutil.rmtree(out, ignore_errors=True)
    job = run_job(contestant.command, folder=run.folder, environ=contestant.environ)
    task.check(out)
    if job.left:
        run.report.note(f"{contestant.name} left {job.left} processes running")
    return job
