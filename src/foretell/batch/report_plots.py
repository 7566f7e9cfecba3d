"""Plots of the report for people: SVG that stretches, with its labels beside it in HTML, so that they stay readable on
a narrow screen. No script: what a place of a plot says is in its title.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from foretell.batch.report_text import count, escaped, lasted, short
from foretell.batch.timeline import Span

_WIDE, _HIGH = 1000, 200
SHOWN = ("predict", "preprocess", "decode", "read", "write")
"""Stages from the bottom up."""
_TICKS = 5


@dataclass(frozen=True, slots=True)
class Axis:
    """From 0 to `most`, with labels at `ticks`."""

    most: float
    ticks: tuple[tuple[float, str], ...]


def scale(most: float, least_step: float = 0.0) -> Axis:
    """For quantities: steps of 1, 2 or 5."""
    step = max(least_step, _step(most / _TICKS))
    top = max(1, math.ceil(most / step - 1e-9)) * step
    return Axis(top, tuple((at * step, short(at * step)) for at in range(round(top / step) + 1)))


def times(most_s: float) -> Axis:
    """For time: up to its very end, with labels in one unit."""
    unit, size = next(((unit, size) for unit, size in (("h", 3600.0), ("min", 60.0)) if most_s >= 3 * size), ("s", 1.0))
    if most_s < 1:
        unit, size = "ms", 0.001
    step = _step(most_s / size / 5)
    ticks = [(at * step * size, f"{at * step:g} {unit}") for at in range(int(most_s / size / step + 1e-9) + 1)]
    return Axis(most_s, tuple(ticks))


def _step(about: float) -> float:
    if about <= 0:
        return 1.0
    size = 10.0 ** math.floor(math.log10(about))
    return next(step * size for step in (1, 2, 5, 10) if step * size >= about * (1 - 1e-9))


def rate_plot(spans: Sequence[Span], mean: float) -> str:
    """Rows a second over time."""
    across, up = times(spans[-1].stop_s), scale(max(mean, *(span.rate for span in spans)))
    points = [(_x(across, (span.start_s + span.stop_s) / 2), _y(up, span.rate)) for span in spans]
    points = [(0.0, points[0][1]), *points, (float(_WIDE), points[-1][1])]
    line = "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
    drawn = (
        f'<path class="area" d="M0 {_HIGH}L{line}L{_WIDE} {_HIGH}Z"/><path class="line" d="M{line}"/>'
        f'<path class="mean" d="M0 {_y(up, mean):.1f}H{_WIDE}"/>'
    )
    hits = [(span.start_s, span.stop_s, f"{_from_to(span)}: {count(span.rate)} rows/s") for span in spans]
    least, most = min(span.rate for span in spans), max(span.rate for span in spans)
    said = f"Between {count(least)} and {count(most)} rows a second; {count(mean)} on average."
    return _frame("rate", "Rows per second over time", said, drawn + _hits(across, hits), across, up)


def stages_plot(spans: Sequence[Span]) -> str:
    """The share of the processes' time of each stage, over time."""
    across = times(spans[-1].stop_s)
    up = Axis(1.0, ((0.0, "0%"), (0.5, "50%"), (1.0, "100%")))
    drawn, below = [], [0.0] * len(spans)
    for stage in SHOWN:
        above = [base + span.shares[stage] for base, span in zip(below, spans, strict=True)]
        drawn.append(f'<path class="{stage}" d="M{_stairs(across, up, spans, above)}'
                     f'L{_stairs(across, up, spans[::-1], below[::-1], back=True)}Z"/>')  # fmt: skip
        below = above
    hits = [(span.start_s, span.stop_s, f"{_from_to(span)}: {_said(span)}") for span in spans]
    there = [stage for stage in SHOWN[::-1] if any(span.shares[stage] for span in spans)]
    said = f"Shares of {', '.join([*there, 'idle'])} for each part of the run."
    name = "Where the time of the processes went, over time"
    return _frame("stages", name, said, "".join(drawn) + _hits(across, hits), across, up)


def steps_plot(name: str, title: str, moments: Sequence[float], values: Sequence[float], unit: str) -> str:
    """A number that was changed now and then."""
    across, up = times(moments[-1]), scale(max(values), 1)
    path = f"M0 {_y(up, values[0]):.1f}"
    for moment, value in zip(moments, values, strict=True):
        path += f"H{_x(across, moment):.1f}V{_y(up, value):.1f}"
    hits = [(start, stop, f"{lasted(start)}: {count(value)} {unit}")
            for start, stop, value in zip(moments, moments[1:], values, strict=False)]  # fmt: skip
    said = f"From {count(values[0])} to {count(values[-1])} {unit}; {count(max(values))} at most."
    return _frame(name, title, said, f'<path class="line" d="{path}"/>' + _hits(across, hits), across, up, low=True)


def bars_plot(name: str, title: str, most_s: float, counts: Sequence[int]) -> str:
    """How many shards took how long."""
    across, up = times(most_s), scale(max(counts), 1)
    wide = _WIDE / len(counts)
    drawn = [f'<rect class="bar" x="{at * wide + 2:.1f}" y="{_y(up, each):.1f}" width="{wide - 4:.1f}" '
             f'height="{_HIGH - _y(up, each):.1f}"/>' for at, each in enumerate(counts) if each]  # fmt: skip
    step = most_s / len(counts)
    hits = [(at * step, (at + 1) * step, f"{lasted(at * step)} to {lasted((at + 1) * step)}: {each:,} shards")
            for at, each in enumerate(counts)]  # fmt: skip
    said = f"Shards by the time that they took, from 0 to {lasted(most_s)}."
    return _frame(name, title, said, "".join(drawn) + _hits(across, hits), across, up, low=True)


def points_plot(
    name: str, title: str, labels: Sequence[str], values: Sequence[float], unit: str, across_said: str
) -> str:
    """A value for each of `labels`, which stand side by side at equal distances."""
    up = scale(max(values))
    across = Axis(float(len(labels) - 1), tuple((float(at), label) for at, label in enumerate(labels)))
    line = "L".join(f"{_x(across, at):.1f} {_y(up, value):.1f}" for at, value in enumerate(values))
    drawn = f'<path class="area" d="M0 {_HIGH}L{line}L{_WIDE} {_HIGH}Z"/><path class="line" d="M{line}"/>'
    told = [f"{label} {across_said}: {count(value)} {unit}" for label, value in zip(labels, values, strict=True)]
    hits = [(max(0.0, at - 0.5), min(across.most, at + 0.5), said) for at, said in enumerate(told)]
    return _frame(name, title, "; ".join(told) + ".", drawn + _hits(across, hits), across, up)


def _frame(name: str, title: str, said: str, drawn: str, across: Axis, up: Axis, *, low: bool = False) -> str:
    lines = "".join(f'<path class="grid" d="M0 {_y(up, value):.1f}H{_WIDE}"/>' for value, _ in up.ticks)
    beside = "".join(f'<span style="bottom:{value / up.most:.2%}">{escaped(label)}</span>' for value, label in up.ticks)
    below = "".join(f'<span style="left:{value / across.most:.2%}">{escaped(label)}</span>'
                    for value, label in across.ticks)  # fmt: skip
    return (
        f'<div class="plot{" low" if low else ""}"><div class="beside" aria-hidden="true">{beside}</div>'
        f'<svg viewBox="0 0 {_WIDE} {_HIGH}" preserveAspectRatio="none" role="img" '
        f'aria-labelledby="{name}-title {name}-said"><title id="{name}-title">{escaped(title)}</title>'
        f'<desc id="{name}-said">{escaped(said)}</desc>{lines}{drawn}</svg>'
        f'<div class="below" aria-hidden="true">{below}</div></div>'
    )


def _stairs(across: Axis, up: Axis, spans: Sequence[Span], heights: Sequence[float], *, back: bool = False) -> str:
    """A line that is level within each span."""
    corners = []
    for span, height in zip(spans, heights, strict=True):
        ends = (span.stop_s, span.start_s) if back else (span.start_s, span.stop_s)
        corners += [f"{_x(across, end):.1f} {_y(up, height):.1f}" for end in ends]
    return "L".join(corners)


def _hits(across: Axis, places: Sequence[tuple[float, float, str]]) -> str:
    """What is told of a place that is pointed at."""
    made = []
    for start, stop, said in places:
        left, right = _x(across, start), _x(across, stop)
        made.append(f'<rect class="hit" x="{left:.1f}" y="0" width="{right - left:.1f}" height="{_HIGH}">'
                    f"<title>{escaped(said)}</title></rect>")  # fmt: skip
    return "".join(made)


def _x(axis: Axis, value: float) -> float:
    return value / axis.most * _WIDE if axis.most > 0 else 0.0


def _y(axis: Axis, value: float) -> float:
    return _HIGH - value / axis.most * _HIGH if axis.most > 0 else float(_HIGH)


def _from_to(span: Span) -> str:
    return f"{lasted(span.start_s)} to {lasted(span.stop_s)}"


def _said(span: Span) -> str:
    there = [stage for stage in SHOWN if span.shares[stage]]
    return ", ".join(f"{stage} {span.shares[stage]:.0%}" for stage in (*there, "idle"))
