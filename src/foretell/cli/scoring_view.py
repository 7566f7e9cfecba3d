"""What a job shows while it runs: a live view in a terminal, plain lines elsewhere."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from foretell.batch.stages import ALWAYS, STAGES
from foretell.cli.notes import counted, visible
from foretell.clock import Clock, SystemClock
from foretell.errors import RowError

if TYPE_CHECKING:
    from foretell.batch.progress import Onlooker, Progress
    from foretell.batch.report import Duplicates, Report

_LINE_S = 10.0
_CANNOT_DRAW = ("dumb", "unknown")


@contextmanager
def onlooker(*, json: bool) -> Iterator[Onlooker]:
    """A live view on a terminal that can draw; lines on standard error elsewhere, and beside JSON."""
    if sys.stderr.isatty() and not json and os.environ.get("TERM", "dumb") not in _CANNOT_DRAW:
        from foretell.cli.live_view import LiveView

        with LiveView() as view:
            yield view
    else:
        yield Lines()


class Lines:
    """A line every ten seconds, and one for whatever is unusual."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._next = self._clock.monotonic() + _LINE_S

    def queried(self, rows: int) -> None:
        if self._is_time():
            say(f"{rows:,} rows of the query are read")

    def began(self, progress: Progress) -> None:
        done = f", {progress.shards_done:,} of them done before" if progress.shards_done else ""
        rows = f"{counted(progress.total_rows, 'row')} in " if progress.total_rows is not None else ""
        shards = counted(progress.shards, "shard")
        say(f"{rows}{shards}{done}; {processes(progress)}")

    def went_on(self, progress: Progress) -> None:
        if self._is_time():
            say(line_of(progress))

    def crashed(self, how: str, rows: str) -> None:
        say(crash_line(how, rows))

    def left_out(self, rows: str, why: RowError) -> None:
        say(left_out_line(rows, why))

    def checks_keys(self) -> None:
        say("all rows are scored; some keys may stand more than once: they are read again")

    def publishes(self) -> None:
        """The report says so soon."""

    def _is_time(self) -> bool:
        now = self._clock.monotonic()
        if now < self._next:
            return False
        self._next = now + _LINE_S
        return True


def line_of(progress: Progress) -> str:
    """How far a job is, in one line."""
    done = progress.rows + progress.quarantined
    of = f" of {progress.total_rows:,}" if progress.total_rows is not None else ""
    parts = [f"{done:,}{of} rows", f"{progress.rate:,.0f} rows/s"]
    if progress.left_s is not None:
        parts.append(left(progress.left_s))
    stages = [f"{stage} {share:.0%}" for stage, share in shares(progress).items()]
    if stages:
        parts.append(", ".join(stages))
    if progress.quarantined:
        parts.append(f"{progress.quarantined:,} without an answer")
    return "; ".join(parts)


def crash_line(how: str, rows: str) -> str:
    """A process is gone."""
    return f"a process {how} in {rows}: what it had is scored again"


def left_out_line(rows: str, why: RowError) -> str:
    """A row ends processes, and is not tried any more."""
    return f"left out: {rows}: {why.message}"


def processes(progress: Progress) -> str:
    """How many there are."""
    return "1 process" if progress.processes == 1 else f"{progress.processes} processes"


def left(seconds: float) -> str:
    """Of time, as nearly as anybody can tell."""
    return "a moment left" if seconds < 1 else f"about {duration(round(seconds))} left"


def shares(progress: Progress) -> dict[str, float]:
    """Of the time of all processes, idle included. Stages of one process that overlap add up to more."""
    shown = [stage for stage in STAGES if stage in ALWAYS or progress.stages.get(stage)]
    given: dict[str, float] = {stage: progress.stages.get(stage, 0.0) for stage in shown}
    return {**given, "idle": max(0.0, 1 - sum(given.values()))} if progress.stages else {}


def duration(seconds: float) -> str:
    """For people: 4.2 s, 7 s where it is a whole number, 3 min 10 s, 2 h 5 min."""
    if seconds < 60:
        return f"{seconds} s" if isinstance(seconds, int) else f"{seconds:.1f} s"
    if seconds < 3600:
        return f"{int(seconds) // 60} min {int(seconds) % 60} s"
    return f"{int(seconds) // 3600} h {int(seconds) % 3600 // 60} min"


def duplicates_line(duplicates: Duplicates) -> str:
    """What is told of keys that stand more than once."""
    stand = "1 key stands" if duplicates.keys == 1 else f"{duplicates.keys:,} keys stand"
    return f"{stand} more than once, in {duplicates.rows:,} rows: {duplicates.file}"


def say(line: str) -> None:
    """To people, beside the output of the command. Where nobody can be told, a job goes on all the same."""
    with suppress(OSError):
        print(f"foretell: {visible(line)}", file=sys.stderr, flush=True)


def say_report(report: Report) -> None:
    """The end of a job."""
    if not report.shards_now and not report.scored_now and (report.rows or not report.seconds):
        print(f"{report.out}: nothing to do, all {report.rows:,} rows are there")
        if report.read_at is not None:
            print(f"the query was read at {report.read_at}; --fresh reads it again")
    else:
        now = "" if report.scored_now == report.rows else f", {report.scored_now:,} of them now"
        rows = counted(report.rows, "row")
        print(f"{report.out}: {rows}{now} in {duration(report.seconds)} ({report.rate:,.0f} rows/s)")
    if report.quarantined:
        reasons = ", ".join(f"{count:,} {code}" for code, count in sorted(report.reasons.items()))
        from foretell.batch.limits import without_answer

        print(f"{without_answer(report.quarantined)} ({reasons}): {report.quarantine}")
    if report.duplicates is not None and report.duplicates.keys:
        print(duplicates_line(report.duplicates))
    if report.cost_per_million is not None:
        print(f"cost: {report.cost_per_million:,.3g} for a million rows, {report.cost:,.3g} for this run")
    if report.html is not None:
        print(f"report: {report.html}")
