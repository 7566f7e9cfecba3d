"""What every benchmark is given, and how servers are measured in turns."""

from __future__ import annotations

import os
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from benchmarks.process import Unavailable
from benchmarks.report import Report

FigureT = TypeVar("FigureT")


@dataclass(frozen=True)
class Run:
    """`seconds` of each measurement, `rounds` of them for each server in turns; `folder` goes away at the end.

    `quick`: cases leave out what takes long and tells little more.
    """

    report: Report
    folder: Path
    seconds: int = 2
    rounds: int = 3
    peers: bool = True
    quick: bool = False

    def in_turns(
        self, contestants: Mapping[str, Callable[[], FigureT]], rounds: int | None = None
    ) -> dict[str, list[FigureT]]:
        """Measures each once, then each again: what drifts on the machine meets all of them."""
        figures: dict[str, list[FigureT]] = {name: [] for name in contestants}
        for _ in range(rounds or self.rounds):
            for name, measure in contestants.items():
                figures[name].append(measure())
        return figures

    @contextmanager
    def unless_unavailable(self, what: str) -> Iterator[None]:
        """Leaves out, with a note, what needs something that is not there."""
        try:
            yield
        except Unavailable as reason:
            self.report.note(f"skipped {what}: {reason}")


def ratios(ours: Sequence[float], other: Sequence[float]) -> list[float]:
    """Ours divided by the other, round by round."""
    return [a / b for a, b in zip(ours, other, strict=True) if b]


def middle(values: Sequence[float]) -> float:
    return statistics.median(values)


def last_core() -> int:
    """The one that a server and its client share. Raises `Unavailable` where processes cannot be bound to cores."""
    if not hasattr(os, "sched_getaffinity"):
        raise Unavailable("this system cannot bind a process to a core")
    return max(os.sched_getaffinity(0))
