"""What a stream shows while it runs, on standard error: one line that changes on a terminal, plain lines elsewhere."""

from __future__ import annotations

import os
import shutil
import sys
import threading
from types import TracebackType
from typing import TYPE_CHECKING, Self, TextIO

from foretell.cli.notes import counted, visible
from foretell.clock import Clock, SystemClock
from foretell.saying import Level

if TYPE_CHECKING:
    from foretell.events.report import Progress, Report

_REDRAW_S, _LINE_S = 0.25, 10.0
_CANNOT_DRAW = ("", "dumb", "unknown")
_CLEAR = "\r\x1b[K"


class StreamView:
    """Events, their rate, and how many had no answer; and whatever is unusual. Safe from any thread."""

    def __init__(self, *, quiet: bool = False, clock: Clock | None = None) -> None:
        """`quiet`: only what is unusual."""
        self._clock = clock or SystemClock()
        self._draws = not quiet and sys.stderr.isatty() and os.environ.get("TERM", "") not in _CANNOT_DRAW
        self._quiet = quiet
        self._next = self._clock.monotonic() + (_REDRAW_S if self._draws else _LINE_S)
        self._lock = threading.Lock()
        self._before = (0, 0.0)
        self._drawn = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            self._clear()

    def went_on(self, progress: Progress) -> None:
        now = self._clock.monotonic()
        if self._quiet or now < self._next:
            return
        with self._lock:
            self._next = now + (_REDRAW_S if self._draws else _LINE_S)
            line = line_of(progress, self._before)
            self._before = progress.events, progress.seconds
            if self._draws:
                self._clear()
                self._write(line[: shutil.get_terminal_size((80, 24)).columns - 1])
                self._drawn = True
            else:
                self._write(f"foretell: {line}\n")

    def noted(self, line: str, level: Level) -> None:
        with self._lock:
            self._clear()
            self._write(f"foretell: {'warning: ' * (level != 'info')}{visible(line)}\n")

    def _clear(self) -> None:
        if self._drawn:
            self._write(_CLEAR)
            self._drawn = False

    def _write(self, text: str) -> None:
        try:
            sys.stderr.write(text)
            sys.stderr.flush()
        except (OSError, ValueError):  # that nobody can read it stops nothing
            self._draws, self._quiet = False, True


def line_of(progress: Progress, before: tuple[int, float]) -> str:
    """How far a stream is. `before`: events and seconds of the line before this one."""
    passed = progress.seconds - before[1]
    rate = (progress.events - before[0]) / passed if passed > 0 else 0.0
    dead = f"; {progress.dead_letters:,} without an answer" if progress.dead_letters else ""
    return f"{counted(progress.events, 'event')}; {rate:,.0f} events/s{dead}"


def told(report: Report, out: TextIO, *, json: bool) -> None:
    """The end of a run."""
    if json:
        import orjson

        out.write(orjson.dumps(report.to_dict(), option=orjson.OPT_INDENT_2).decode() + "\n")
        return
    total = f", {report.events_total:,} since its beginning" if report.resumed else ""
    head = "" if report.sink == "-" else f"{report.sink}: "
    speed = f"{report.seconds:.1f} s ({report.rate:,.0f} events/s)"
    out.write(visible(f"{head}{counted(report.events, 'event')} in {speed}{total}") + "\n")
    if report.dead_letters:
        reasons = ", ".join(f"{count:,} {code}" for code, count in sorted(report.reasons.items()))
        where = f": {report.dead_letter_file}" if report.dead_letter_file else ", in their places"
        have = "1 event has no answer" if report.dead_letters == 1 else f"{report.dead_letters:,} events have no answer"
        out.write(visible(f"{have} ({reasons}){where}") + "\n")
    if report.crashes:
        times = "once" if report.crashes == 1 else f"{report.crashes:,} times"
        out.write(f"the model's process ended {times}, and was replaced\n")
