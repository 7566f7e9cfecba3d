"""What a run did over time, in few points however long it takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise

from foretell.batch.stages import STAGES

MOST_POINTS = 240
_FIRST_STEP_S = 0.1
_NEARLY = 0.99
"""Of a step: what is missing by rounding is no reason to wait for one more point."""


@dataclass(frozen=True, slots=True)
class Point:
    """A moment of a run, `at_s` seconds after its first shard was given out.

    `rows`, `quarantined` and the seconds of the stages, of all processes together, are counted from there on;
    `processes` and `call_rows` are those of the moment.
    """

    at_s: float
    rows: int
    quarantined: int
    read_s: float
    decode_s: float
    preprocess_s: float
    predict_s: float
    write_s: float
    processes: int
    call_rows: int


class Timeline:
    """At most `most` points. Once it is full, every other one goes: what is counted stays right, only coarser."""

    def __init__(self, most: int = MOST_POINTS) -> None:
        self._most, self._step_s = most, _FIRST_STEP_S
        self._points: list[Point] = []
        self._last: Point | None = None

    def add(self, point: Point) -> None:
        """Points come in order of time; of those that are nearer than a step only the latest is kept."""
        if self._last is not None:
            point = _after(self._last, point)
        self._last = point
        if self._points and point.at_s - self._points[-1].at_s < self._step_s:
            return
        self._points.append(point)
        if len(self._points) >= self._most:
            self._points = self._points[::2]
            self._step_s *= 2

    def columns(self) -> dict[str, list[float]]:
        """The points, each field a list; the last one is the latest that was added."""
        points = list(self._points)
        if self._last is not None and self._last is not points[-1]:
            points.append(self._last)
        made = [asdict(point) for point in points]
        return {name: [each[name] for each in made] for name in Point.__dataclass_fields__} if made else {}


def _after(before: Point, point: Point) -> Point:
    """What is counted never goes back: rows that were seen under way are scored again after a crash."""
    return Point(
        max(before.at_s, point.at_s),
        max(before.rows, point.rows),
        max(before.quarantined, point.quarantined),
        max(before.read_s, point.read_s),
        max(before.decode_s, point.decode_s),
        max(before.preprocess_s, point.preprocess_s),
        max(before.predict_s, point.predict_s),
        max(before.write_s, point.write_s),
        point.processes,
        point.call_rows,
    )


@dataclass(frozen=True, slots=True)
class Span:
    """What a run did from `start_s` to `stop_s`: rows a second, and the share of the processes' time of each stage."""

    start_s: float
    stop_s: float
    rate: float
    shares: Mapping[str, float]


def spans(columns: Mapping[str, Sequence[float]], most: int = MOST_POINTS) -> list[Span]:
    """Between the points of `Timeline.columns`, or so few of them that there are about `most` spans at most."""
    times = columns.get("at_s", ())
    chosen = _chosen(times, most)
    made = []
    for before, at in pairwise(chosen):
        took = times[at] - times[before]
        spent: dict[str, float] = {name: columns[f"{name}_s"][at] - columns[f"{name}_s"][before] for name in STAGES}
        there = max(columns["processes"][before], columns["processes"][at], 1)
        whole = max(sum(spent.values()), took * there)
        shares = {name: seconds / whole for name, seconds in spent.items()}
        rate = (columns["rows"][at] - columns["rows"][before]) / took
        made.append(Span(times[before], times[at], rate, {**shares, "idle": max(0.0, 1 - sum(shares.values()))}))
    return made


def _chosen(times: Sequence[float], most: int) -> list[int]:
    """Numbers of points that are about equally far from each other; the first and the last are among them."""
    if len(times) < 2 or times[-1] <= times[0]:
        return []
    step = (times[-1] - times[0]) / most
    chosen = [0]
    for at in range(1, len(times)):
        if times[at] - times[chosen[-1]] >= step * _NEARLY:
            chosen.append(at)
    if len(chosen) > 1:
        chosen[-1] = len(times) - 1
    return chosen if len(chosen) > 1 else [0, len(times) - 1]
