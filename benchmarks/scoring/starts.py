"""How soon a job has something to show for it, and how soon a job that is done says so."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import partial

from benchmarks.models import small
from benchmarks.report import Goal, Row
from benchmarks.run import Run, middle, ratios
from benchmarks.scoring import data, models
from benchmarks.scoring.contest import Contestant, out_of
from benchmarks.scoring.jobs import run_job
from benchmarks.scoring.ours import OURS, needs_score, score
from benchmarks.scoring.ray_data import RAY, with_ray

_COMMITTED = "_foretell/*/shards/*.json"
_ROWS, _MOST_FIRST_S = 5_000_000, 1.5
_SHARDS, _SHARD_ROWS, _MOST_RESUME_S = 10_000, 4, 0.5


def first(run: Run) -> None:
    run.report.title("scoring.first", f"start of the process to the first part of {_ROWS:,} rows: ours committed")
    needs_score()
    source, out = data.parquet(run.folder / "rows.parquet", _ROWS), out_of(run)
    for name, model in (("trees", models.trees(run.folder)), ("small network", small(run.folder))):
        command = score(model, source, out, "--key", data.KEY)
        waits: dict[str, Callable[[], float]] = {OURS: partial(_first_s, run, Contestant(OURS, command), _COMMITTED)}
        if model.stem == "small":
            for peer in with_ray(run, "rows_ray.py", model, source, out):
                waits[RAY] = partial(_first_s, run, peer, "*.parquet")
        times = run.in_turns(waits)
        for of, raw in times.items():
            goals = [Goal.at_most(middle(raw), _MOST_FIRST_S, " s")] if of == OURS else []
            shares = ratios(times[OURS], raw)
            run.report.add(Row(f"first part, {name}", of, raw, "s", ratios=shares, goals=goals))


def _first_s(run: Run, contestant: Contestant, pattern: str) -> float:
    out = out_of(run)
    shutil.rmtree(out, ignore_errors=True)
    command, environ = contestant.command, contestant.environ
    return run_job(command, folder=run.folder, environ=environ, until=lambda: any(out.glob(pattern))).took_s


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
    times = run.in_turns({OURS: lambda: run_job(command, folder=run.folder).took_s})[OURS]
    goals = [] if run.quick else [Goal.at_most(middle(times), _MOST_RESUME_S, " s")]
    run.report.add(Row("the same again", OURS, times, "s", goals=goals))
