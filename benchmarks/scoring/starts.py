"""How soon a job has something to show for it, and how soon a job that is done says so."""

from __future__ import annotations

import shutil
from pathlib import Path

from benchmarks.models import small
from benchmarks.report import Goal, Row
from benchmarks.run import Run, middle
from benchmarks.scoring import data, models
from benchmarks.scoring.contest import out_of
from benchmarks.scoring.jobs import Job, run_job
from benchmarks.scoring.ours import OURS, needs_score, score

_COMMITTED = "_foretell/*/shards/*.json"
_ROWS, _MOST_FIRST_S = 5_000_000, 1.5
_SHARDS, _SHARD_ROWS, _MOST_RESUME_S = 10_000, 4, 0.5


def first(run: Run) -> None:
    run.report.title("scoring.first", f"start of the process to the first committed shard of {_ROWS:,} rows")
    needs_score()
    source, out = data.parquet(run.folder / "rows.parquet", _ROWS), out_of(run)
    for name, model in (("trees", models.trees(run.folder)), ("small network", small(run.folder))):
        command = score(model, source, out, "--key", data.KEY)

        def once(command: list[str | Path] = command) -> float:
            shutil.rmtree(out, ignore_errors=True)
            return run_job(command, folder=run.folder, until=lambda: any(out.glob(_COMMITTED))).took_s

        times = run.in_turns({OURS: once})[OURS]
        goals = [Goal.at_most(middle(times), _MOST_FIRST_S, " s")]
        run.report.add(Row(f"first committed shard, {name}", OURS, times, "s", goals=goals))


def resume(run: Run) -> None:
    """Each file is a shard at least, so many small files make many shards; that takes longer than all the rest."""
    shards = _SHARDS // 10 if run.quick else _SHARDS
    run.report.title("scoring.resume", f"the same command again, after a job of {shards:,} shards: all of its process")
    needs_score()
    source = data.parquet_folder(run.folder / "rows", shards * _SHARD_ROWS, shards)
    command = score(small(run.folder), source, out_of(run), "--key", data.KEY)
    made = run_job(command, folder=run.folder)
    committed = len(list(out_of(run).glob(_COMMITTED)))
    if committed != shards:
        raise RuntimeError(f"the job has {committed} shards and not {shards}")
    run.report.add(Row(f"{shards:,} small shards", OURS, [made.took_s], "s"))

    def once() -> Job:
        return run_job(command, folder=run.folder)

    times = [job.took_s for job in run.in_turns({OURS: once})[OURS]]
    goals = [] if run.quick else [Goal.at_most(middle(times), _MOST_RESUME_S, " s")]
    run.report.add(Row("the same again", OURS, times, "s", goals=goals))
