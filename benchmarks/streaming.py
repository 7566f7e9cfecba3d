"""Events a second of `foretell stream`, file to file with resume on, beside the loop that people write, in turns."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

from benchmarks.models import tiny
from benchmarks.report import Goal, Row
from benchmarks.run import Run, middle, ratios
from benchmarks.scoring.jobs import interpreter_s, run_job

_EVENTS, _QUICK_EVENTS = 2_000_000, 400_000
_LEAST_EVENTS_S = 100_000
_OURS, _LOOP = "foretell", "loop: orjson, NumPy, ONNX Runtime"
_SCRIPT = Path(__file__).parent / "streaming_loop.py"


def main(run: Run) -> None:
    count = _QUICK_EVENTS if run.quick else _EVENTS
    run.report.title("streaming", f"{count:,} events of JSON Lines, 4 numbers and a key each, tiny network, to a file")
    model, source = tiny(run.folder), _source(run.folder / "events.jsonl", count)
    ours, loop = run.folder / "ours.jsonl", run.folder / "loop.jsonl"
    words: list[str | Path] = ["stream", model, "--source", source, "--sink", ours, "--key", "id", "--once", "--fresh"]
    command: list[str | Path] = [sys.executable, "-m", "foretell", *words]
    script: list[str | Path] = [sys.executable, _SCRIPT, model, source, loop]
    once = partial(run_job, folder=run.folder)
    jobs = run.in_turns({_OURS: lambda: once(command), _LOOP: lambda: once(script)})
    if ours.read_bytes() != loop.read_bytes():
        raise RuntimeError("the lines differ")
    start_s = interpreter_s()
    rates = {name: [count / (job.took_s - start_s) for job in of] for name, of in jobs.items()}
    for name, raw in rates.items():
        goals = [Goal.at_least(middle(raw), _LEAST_EVENTS_S, " events/s")] if name == _OURS else []
        rss_mb = middle([job.rss_mb for job in jobs[name]])
        shares = ratios(rates[_OURS], raw)
        run.report.add(Row(f"{count:,} events", name, raw, "events/s", rss_mb=rss_mb, ratios=shares, goals=goals))


def _source(path: Path, count: int) -> Path:
    """The same events in every run."""
    with path.open("wb") as file:
        for first in range(0, count, 10_000):
            file.write(b"".join(
                b'{"id":%d,"a":%.6f,"b":%.6f,"c":%.6f,"d":%.6f}\n'
                % (n, n * 0.618 % 1, n * 0.414 % 1, n * 0.732 % 1, n * 0.236 % 1)
                for n in range(first, first + 10_000)
            ))  # fmt: skip
    return path
