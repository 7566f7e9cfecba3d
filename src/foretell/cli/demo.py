"""`foretell demo`."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import sys
import time
import types
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from foretell.certificate import place_of
from foretell.cli.demo_proof import Proven, prove
from foretell.cli.notes import counted
from foretell.cli.output import print_json, print_text, width
from foretell.cores import usable_cores
from foretell.demo.commands import commands
from foretell.demo.compare import Measured
from foretell.demo.run import Report, run
from foretell.demo.task import Task
from foretell.errors import InferenceError, Unavailable

_MORE = " \\"
_NARROW = 70


def demo(*, out: Path = Path("foretell-demo"), quick: bool = False, json: bool = False) -> int:
    """Make small models, predict one by one and in batches, serve them, compare, and prove that every door agrees.

    Parameters
    ----------
    out
        The folder for models, sample inputs and the plot.
    quick
        Few rows, no other frameworks: a shorter look, of half a minute at most on an ordinary machine, whose figures
        mean little.
    json
        Print the table as JSON.
    """
    started = time.monotonic()
    with ended_like_ctrl_c(), _told(out):
        report = run(out, quick=quick, say=_say)
        digits = report.tasks[0]
        proven = prove(report.folder, Path(digits.model), digits.sample, _say, quick=quick)
    table = [asdict(each) for each in report.measured]
    if json:
        print_json(table)
    else:
        _print(report, proven, time.monotonic() - started)
    return 0 if report.agree and proven.keeps else 1


@contextmanager
def ended_like_ctrl_c() -> Iterator[None]:
    """A demo that is told to end takes its server with it.

    It ends the way Ctrl-C does, which asyncio knows: an exception out of nowhere would leave its tasks half done.
    """
    told: list[int] = []

    def end(number: int, frame: types.FrameType | None) -> None:
        told.append(number)
        signal.raise_signal(signal.SIGINT)

    told_by = (signal.SIGTERM, signal.SIGHUP)
    numbers = [each for each in told_by if signal.getsignal(each) is signal.SIG_DFL]  # nohup means what it ignores
    before = [(signal.SIGINT, signal.signal(signal.SIGINT, signal.default_int_handler))]
    before += [(number, signal.signal(number, end)) for number in numbers]
    try:
        yield
    except KeyboardInterrupt:
        if told:
            raise SystemExit(128 + told[0]) from None
        raise
    finally:
        for number, handler in before:
            signal.signal(number, handler)


@contextmanager
def _told(out: Path) -> Iterator[None]:
    """Tells a full disk as one of the folder, and a package that does not load as such. Raises `InferenceError`."""
    try:
        yield
    except OSError as error:
        if error.filename is None and isinstance(error, BrokenPipeError):  # whoever read what is said has gone
            raise
        raise InferenceError("the demo cannot go on", where=str(out), got=error.strerror or str(error)) from error
    except ImportError as error:
        raise Unavailable("a package that the demo needs does not load", got=str(error),
                          fix="pip install --force-reinstall 'foretell[demo]'") from error  # fmt: skip


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _print(report: Report, proven: Proven, lasted_s: float) -> None:
    print_measured(report.measured)
    cores = usable_cores()
    print_text(
        f"Measured now, on {counted(cores, 'core')} that the server and its clients share. Half of the calls took at "
        "most p50, 99 of 100 at most p99; a call is one row, or all rows in the batch. Differences are against one by "
        "one in process, over every number that the model answers for every row."
    )
    print()
    print_text(
        "Every way gave every row the same label." if report.agree else "Some rows got another label: see above."
    )
    for task in report.tasks:
        print_text(_accuracy(task, report.accuracy[task.name]))
    print()
    for curve in report.curves:
        alone, together = (f"{times[-1]:.3g} ms" for times in (curve.real_time_ms, curve.batched_ms))
        print_text(f"{curve.model}: a row takes {alone} alone and {together} in a batch of {curve.sizes[-1]:,}")
    _print_proof(proven)
    print(f"\nThe plot: {report.folder.plot}\nAll of it took {lasted_s:.0f} s.")
    print("\nTo try next:")
    # What is not read on a terminal is not folded: a program, or a person with an editor, wants whole lines.
    columns = width() if sys.stdout.isatty() else sys.maxsize
    for command in commands(_program(), report.folder, report.tasks):
        print(f"\n  # {command.what}")
        print("\n".join(folded(command.line, columns)))


def _print_proof(proven: Proven) -> None:
    """What each certificate says."""
    print()
    print_text("Asked again in Python, of the server, in a batch job and on a stream, and compared bit by bit:")
    for model, found in proven.certificates.items():
        doors, rows = ", ".join(found.doors), found.data["rows"]
        print_text(f"{found.model}: {found.verdict()} through {doors}; {len(found.checks)} checks of {rows} rows")
        print(f"  its certificate: {place_of(model)}")


def _accuracy(task: Task, right: float) -> str:
    asked = len(task.held_out)
    trained = "nothing was trained on them" if task.name == "reviews" else "none of them seen in training"
    again = f"; each was asked {task.rounds} times for the figures above" if task.rounds > 1 else ""
    return f"{task.name}: {right:.1%} of {asked:,} {task.one}s right, {trained}{again}"


def folded(command: str, columns: int) -> list[str]:
    """A command for a shell, indented, in lines that a terminal of `columns` does not break inside a word.

    What fits stays whole. Else a line ends in a backslash, so that all of it can be pasted.
    """
    if len(command) + 2 <= columns:
        return [f"  {command}"]
    lines: list[str] = []
    line = " "
    for word in map(shlex.quote, shlex.split(command)):
        if line.strip() and len(line) + 1 + len(word) + len(_MORE) > columns:
            lines.append(line + _MORE)
            line = "   "
        line += f" {word}"
    return [*lines, line]


def print_measured(measured: tuple[Measured, ...]) -> None:
    """As lines where a table would be cut."""
    if width() < _NARROW:
        for each in measured:
            times = f"p50 {each.p50_ms:,.3f} ms, p99 {each.p99_ms:,.3f} ms, {each.rows_per_s:,.0f} rows/s"
            apart = f"largest difference {_difference(each)}{_labels(each)}"
            print_text(f"{each.model}, {each.way}: {each.rows:,} rows, {times}, {apart}")
        print()
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(header_style="bold")
    for name in ("model", "way"):
        table.add_column(name)
    for name in ("rows", "p50 ms", "p99 ms", "rows/s", "largest difference"):
        table.add_column(name, justify="right")
    last = ""
    for each in measured:
        if last and each.model != last:
            table.add_section()
        table.add_row(
            each.model if each.model != last else "",
            each.way,
            f"{each.rows:,}",
            f"{each.p50_ms:,.3f}",
            f"{each.p99_ms:,.3f}",
            f"{each.rows_per_s:,.0f}",
            f"{_difference(each)}[bold red]{_labels(each)}[/]",
        )
        last = each.model
    Console().print(table)


def _difference(each: Measured) -> str:
    return "0" if not each.largest_difference else f"{each.largest_difference:.1e}"


def _labels(each: Measured) -> str:
    return f", {counted(each.labels_differ, 'other label')}" if each.labels_differ else ""


def _program() -> str:
    """How the reader's shell finds this foretell."""
    script = Path(sys.executable).parent / "foretell"
    known = shutil.which("foretell")
    if not script.exists() or (known is not None and Path(known).absolute() == script.absolute()):
        return "foretell"
    return os.path.relpath(script) if script.is_relative_to(Path.cwd()) else str(script)
