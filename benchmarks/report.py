"""What benchmarks say: one table of what was measured, what stood beside it and what was wanted; also as JSON."""

from __future__ import annotations

import dataclasses
import json
import os
import platform
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

_COLUMNS = ("measure", "server", "median", "unit", "p50 ms", "p99 ms", "CPU", "RSS MB", "ours/this", "wanted", "raw")
_WIDTHS = (38, 24, 11, 11, 8, 8, 5, 7, 9, 20, 0)
_RIGHT = {"median", "p50 ms", "p99 ms", "CPU", "RSS MB", "ours/this"}
_BUSY, _WATCHED_S = 0.15, 0.5
"""So much of all cores, over so long before a case, tells of somebody else who is at work."""


@dataclass(frozen=True)
class Goal:
    """What was asked for, what came, and whether that is enough."""

    text: str
    value: float
    met: bool

    @classmethod
    def at_least(cls, value: float, floor: float, unit: str = "") -> Goal:
        return cls(f">= {floor:,g}{unit}", value, value >= floor)

    @classmethod
    def at_most(cls, value: float, ceiling: float, unit: str = "") -> Goal:
        return cls(f"<= {ceiling:,g}{unit}", value, value <= ceiling)


@dataclass(frozen=True)
class Row:
    """One server in one measurement. `ratios`: ours divided by this one, for each round, which had both."""

    measure: str
    server: str
    raw: Sequence[float]
    unit: str
    p50_ms: float | None = None
    p99_ms: float | None = None
    cpu_cores: float | None = None
    """Of all processes of the server, while it was measured."""
    rss_mb: float | None = None
    ratios: Sequence[float] = ()
    goals: Sequence[Goal] = ()
    more: Mapping[str, Any] = field(default_factory=dict)
    """Further figures: they stand in the JSON and, for people, at the end of the line."""

    @property
    def median(self) -> float:
        return statistics.median(self.raw)

    @property
    def ratio(self) -> float | None:
        return statistics.median(self.ratios) if self.ratios else None


class Report:
    """Prints each row as it comes, and keeps all for the end."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, Row]] = []
        self.notes: list[tuple[str, str]] = []
        self.failures: list[str] = []
        self.titles: dict[str, str] = {}
        self._case = ""

    def title(self, case: str, text: str) -> None:
        self._case = case
        self.titles[case] = text
        print(f"\n== {case}: {text}   ({cores()} cores, {platform.machine()}, Python {platform.python_version()})")
        busy = psutil.cpu_percent(_WATCHED_S) / 100  # a load average would count the case before
        if busy > _BUSY:
            self.note(f"{case}: something else took {busy:.0%} of the cores before; do not trust these figures")
        print(_joined(_COLUMNS), flush=True)

    def add(self, row: Row) -> None:
        self.rows.append((self._case, row))
        print(_line(row), flush=True)

    def note(self, text: str) -> None:
        """Something that the reader must know, such as a peer that could not be had."""
        self.notes.append((self._case, text))
        print(f"   note: {text}", flush=True)

    def failed(self, case: str, error: BaseException) -> None:
        """A case that ended with an error; the others go on."""
        self.failures.append(f"{case}: {error}")
        print(f"   FAILED {case}: {error}", file=sys.stderr, flush=True)

    def missed(self) -> list[tuple[str, Row, Goal]]:
        return [(case, row, goal) for case, row in self.rows for goal in row.goals if not goal.met]

    def of(self, case: str) -> tuple[list[Row], list[str]]:
        """Its rows and its notes."""
        return [row for of, row in self.rows if of == case], [text for of, text in self.notes if of == case]

    def end(self) -> None:
        """Every goal again that was missed, and every note."""
        missed = self.missed()
        goals = sum(len(row.goals) for _, row in self.rows)
        print(f"\n{goals - len(missed)} of {goals} goals reached")
        for case, row, goal in missed:
            print(f"   missed: {case}, {row.measure}, {row.server}: wanted {goal.text}, got {number(goal.value)}")
        for _, text in self.notes:
            print(f"   note: {text}")
        for text in self.failures:
            print(f"   FAILED: {text}")

    def write(self, path: Path, options: Mapping[str, Any]) -> None:
        rows = [
            {"case": case, "median": row.median, **{k: v for k, v in dataclasses.asdict(row).items() if v is not None}}
            for case, row in self.rows
        ]
        document = {
            "machine": {"cores": cores(), "architecture": platform.machine(), "python": platform.python_version(),
                        "kernel": platform.release()},
            "options": options,
            "rows": rows,
            "notes": [text for _, text in self.notes],
            "failures": self.failures,
        }  # fmt: skip
        path.write_text(json.dumps(document, indent=1) + "\n", "utf-8")


def cores() -> int:
    """That this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _line(row: Row) -> str:
    wanted = ", ".join(goal.text + ("" if goal.met else " MISSED") for goal in row.goals)
    more = " ".join(f"{name}={number(value)}" for name, value in row.more.items())
    raw = " ".join(number(value) for value in row.raw)
    return _joined(
        (
            row.measure, row.server, number(row.median), row.unit, number(row.p50_ms), number(row.p99_ms),
            number(row.cpu_cores), number(row.rss_mb), number(row.ratio), wanted, f"[{raw}] {more}".rstrip(),
        )
    )  # fmt: skip


def _joined(cells: Sequence[str]) -> str:
    aligned = zip(_COLUMNS, cells, _WIDTHS, strict=True)
    return " ".join(cell.rjust(width) if name in _RIGHT else cell.ljust(width) for name, cell, width in aligned)


def number(value: Any) -> str:
    if not isinstance(value, (int, float)):
        return "" if value is None else str(value)
    if value and abs(value) < 0.1:
        return f"{value:.3g}"
    return f"{value:,.2f}" if abs(value) < 100 else f"{value:,.0f}"
