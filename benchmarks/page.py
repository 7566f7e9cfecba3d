"""The figures of a run as a part of a page of the documents, between two marks; the words around it stay."""

from __future__ import annotations

import platform
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.process import ROOT
from benchmarks.report import Report, Row, cores, number
from foretell.processor import processor

BEGIN, END = "<!-- figures: written by the benchmarks -->", "<!-- end of figures -->"
_COLUMNS = ("measure", "server", "figure", "p50 ms", "p99 ms", "CPU us", "ours / this", "wanted", "more")
_TOLD_ELSEWHERE = {"cpu_us"}


def around(path: Path) -> tuple[str, str]:
    """What stands before the figures and after them. Raises ValueError where the page has no place for them."""
    before, begin, rest = path.read_text("utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{path.name} does not have the marks {BEGIN} and {END}")
    return before + begin, end + after


def write(path: Path, report: Report, command: str, seconds: float) -> None:
    before, after = around(path)
    path.write_text(f"{before}\n\n{figures(report, command, seconds)}\n{after}", "utf-8")


def figures(report: Report, command: str, seconds: float) -> str:
    lines = [f"`{command}` took {seconds / 60:.0f} minutes on {time.strftime('%Y-%m-%d')}: {_machine()}.", ""]
    for case, title in report.titles.items():
        rows = [row for of, row in report.rows if of == case]
        if rows:
            lines += [f"### {case}", "", f"{_upper(title)}.", "", _line(_COLUMNS), _line(["---"] * len(_COLUMNS))]
            lines += [_row(row) for row in rows] + [""]
    missed = report.missed()
    goals = sum(len(row.goals) for _, row in report.rows)
    lines += ["### What falls short", "", f"{goals - len(missed)} of {goals} goals were reached."]
    if missed:
        lines += ["Not reached:", ""]
        lines += [
            f"- {case}, {row.measure}, {row.server}: wanted {goal.text}, got {number(goal.value)}"
            for case, row, goal in missed
        ]
    if report.notes or report.failures:
        lines += ["", "### Notes", ""]
        lines += [f"- {text}" for text in report.notes]
        lines += [f"- failed: {text}" for text in report.failures]
    return "\n".join([*lines, ""])


def _row(row: Row) -> str:
    more = {name: value for name, value in row.more.items() if name not in _TOLD_ELSEWHERE}
    wanted = ", ".join(goal.text + ("" if goal.met else " (**missed**)") for goal in row.goals)
    figure = f"{_spread(row.raw)} {row.unit}".strip()
    return _line(
        (
            row.measure, row.server, figure, number(row.p50_ms), number(row.p99_ms), number(row.more.get("cpu_us")),
            _spread(row.ratios), wanted, ", ".join(f"{name} {number(value)}" for name, value in more.items()),
        )
    )  # fmt: skip


def _spread(values: Sequence[float]) -> str:
    """The middle, and the least and the most around it."""
    if not values:
        return ""
    ordered = sorted(values)
    middle = number(ordered[len(ordered) // 2] if len(ordered) % 2 else sum(ordered[len(ordered) // 2 - 1 :][:2]) / 2)
    least, most = number(ordered[0]), number(ordered[-1])
    return middle if least == most else f"{middle} ({least} to {most})"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]


def _machine() -> str:
    named = f"{cores()} cores ({processor() or platform.machine()})"
    return f"{named}, {platform.system()}, Python {platform.python_version()}, {_commit()}"


def _commit() -> str:
    command = ["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"]
    try:
        done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return "no commit"
    return f"commit {done.stdout.strip()}"
