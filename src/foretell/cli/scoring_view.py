"""What a job shows while it runs: a live view in a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from foretell.errors import RowError

if TYPE_CHECKING:
    from foretell.batch.progress import Onlooker, Progress
    from foretell.batch.report import Report

_LINE_S = 10.0
_STAGES = ("read", "predict", "write", "idle")


@contextmanager
def onlooker(*, json: bool) -> Iterator[Onlooker]:
    """A live view on a terminal; lines on standard error elsewhere, and beside JSON."""
    if sys.stderr.isatty() and not json:
        from foretell.cli.live_view import LiveView

        with LiveView() as view:
            yield view
    else:
        yield Lines()


class Lines:
    """A line every ten seconds, and one for whatever is unusual."""

    def __init__(self) -> None:
        self._next = time.monotonic() + _LINE_S

    def began(self, progress: Progress) -> None:
        done = f", {progress.shards_done:,} of them done before" if progress.shards_done else ""
        rows = f"{progress.total_rows:,} rows in " if progress.total_rows is not None else ""
        processes = "1 process" if progress.processes == 1 else f"{progress.processes} processes"
        say(f"{rows}{progress.shards:,} shards{done}; {processes}")

    def went_on(self, progress: Progress) -> None:
        if time.monotonic() >= self._next:
            self._next += _LINE_S
            say(line_of(progress))

    def crashed(self, how: str, rows: str) -> None:
        say(f"a process {how} in {rows}; it is scored again with more care")

    def left_out(self, rows: str, why: RowError) -> None:
        say(f"left out: {rows}: {why.message}")

    def publishes(self) -> None:
        """The report says so soon."""


def line_of(progress: Progress) -> str:
    """How far a job is, in one line."""
    done = progress.rows + progress.quarantined
    of = f" of {progress.total_rows:,}" if progress.total_rows is not None else ""
    parts = [f"{done:,}{of} rows", f"{progress.rate:,.0f} rows/s"]
    if progress.left_s is not None:
        parts.append(f"{duration(progress.left_s)} left")
    stages = [f"{stage} {share:.0%}" for stage, share in shares(progress).items()]
    if stages:
        parts.append(", ".join(stages))
    if progress.quarantined:
        parts.append(f"{progress.quarantined:,} without an answer")
    return "; ".join(parts)


def shares(progress: Progress) -> dict[str, float]:
    """Of the time of all processes, idle included."""
    given = {stage: progress.stages.get(stage, 0.0) for stage in _STAGES[:-1]}
    return {**given, "idle": max(0.0, 1 - sum(given.values()))} if progress.stages else {}


def duration(seconds: float) -> str:
    """For people: 4.2 s, 3 min 10 s, 2 h 5 min."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    if seconds < 3600:
        return f"{int(seconds) // 60} min {int(seconds) % 60} s"
    return f"{int(seconds) // 3600} h {int(seconds) % 3600 // 60} min"


def say(line: str) -> None:
    """To people, beside the output of the command."""
    print(f"foretell: {line}", file=sys.stderr, flush=True)


def say_report(report: Report) -> None:
    """The end of a job."""
    if not report.shards_now and not report.scored_now:
        print(f"{report.out}: nothing to do, all {report.rows:,} rows are there")
    else:
        now = "" if report.scored_now == report.rows else f", {report.scored_now:,} of them now"
        print(f"{report.out}: {report.rows:,} rows{now} in {duration(report.seconds)} ({report.rate:,.0f} rows/s)")
    if report.quarantined:
        reasons = ", ".join(f"{count:,} {code}" for code, count in sorted(report.reasons.items()))
        print(f"{report.quarantined:,} rows have no answer ({reasons}): {report.quarantine}")
    if report.cost_per_million is not None:
        print(f"{report.cost_per_million:,.4g} for a million rows")
