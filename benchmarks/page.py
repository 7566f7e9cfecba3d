"""The figures of each case as a part of a page of the documents, between two marks; the words around them stay."""

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


def around(path: Path) -> tuple[str, dict[str, str], str]:
    """What stands before the figures, the figures of each case, and what stands after them. Raises ValueError where
    the page has no place for figures."""
    before, begin, rest = path.read_text("utf-8").partition(BEGIN)
    between, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{path.name} does not have the marks {BEGIN} and {END}")
    sections = (section.partition("\n") for section in f"\n{between.strip()}\n".split("\n### ")[1:])
    return before + begin, {case: text.strip() for case, _, text in sections}, end + after


def write(path: Path, report: Report, case: str, seconds: float, order: Sequence[str]) -> None:
    """The figures of one case, in place of those it had; those of the others stay, each with its day and commit."""
    before, sections, after = around(path)
    sections[case] = figures(report, case, seconds)
    known = sorted(sections, key=lambda each: order.index(each) if each in order else len(order))
    text = "\n".join(f"### {each}\n\n{sections[each]}\n" for each in known)
    path.write_text(f"{before}\n\n{text}\n{after}", "utf-8")


def figures(report: Report, case: str, seconds: float) -> str:
    rows, notes = report.of(case)
    goals = [(row, goal) for row in rows for goal in row.goals]
    missed = [(row, goal) for row, goal in goals if not goal.met]
    told = f"{time.strftime('%Y-%m-%d')}, {_commit()}: {max(seconds / 60, 1):.0f} min, {_machine()}"
    lines = [f"{_upper(report.titles[case])}. ({told}.)", "", _line(_COLUMNS), _line(["---"] * len(_COLUMNS))]
    lines += [_row(row) for row in rows]
    if goals:
        lines += ["", f"{len(goals) - len(missed)} of {len(goals)} goals were reached."]
    lines += [f"- {row.measure}, {row.server}: wanted {goal.text}, got {number(goal.value)}" for row, goal in missed]
    if notes:
        lines += ["", "Notes:", *(f"- {text}" for text in notes)]
    return "\n".join(lines)


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
    return f"{named}, {platform.system()}, Python {platform.python_version()}"


def _commit() -> str:
    command = ["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"]
    try:
        done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return "no commit"
    return done.stdout.strip()
