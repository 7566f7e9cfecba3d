"""Draws what a row costs in real time and in batches."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from foretell.demo.latency import Curve

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_ALONE, _TOGETHER, _QUIET = "#c2571a", "#1a6fb0", "#4d5964"
_WORTH_SAYING = 2.0


def draw(curves: Sequence[Curve], titles: Sequence[str], file: Path) -> None:
    """One panel for each model, on the same logarithmic axes, as PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 4.8), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(curves), sharey=True, squeeze=False)[0]
    for axes, curve, title in zip(panels, curves, titles, strict=True):
        _panel(axes, curve, title)
    panels[0].set_ylabel("time for one row, ms")
    figure.suptitle("What one prediction costs, asked alone and in a batch", fontsize=14, fontweight="bold")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2, frameon=False, fontsize=11)
    figure.savefig(file)


def _panel(axes: Axes, curve: Curve, title: str) -> None:
    from matplotlib.ticker import FuncFormatter

    axes.plot(curve.sizes, curve.real_time_ms, "o-", color=_ALONE, label="real time: one call for each row")
    axes.plot(curve.sizes, curve.batched_ms, "s-", color=_TOGETHER, label="batched: one call for all rows")
    axes.fill_between(curve.sizes, curve.batched_ms, curve.real_time_ms, color=_TOGETHER, alpha=0.08, linewidth=0)
    axes.set(xscale="log", yscale="log", xlabel="rows")
    axes.set_title(title, fontsize=11)
    plain = FuncFormatter(lambda value, _: f"{value:,g}")
    axes.xaxis.set_major_formatter(plain)
    axes.yaxis.set_major_formatter(plain)
    axes.grid(which="major", color="#d9dee3", linewidth=0.8)
    axes.grid(which="minor", axis="y", color="#eef1f4", linewidth=0.5)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(which="both", length=0, colors=_QUIET)
    if curve.gain >= _WORTH_SAYING:
        _say_gain(axes, curve)


def _say_gain(axes: Axes, curve: Curve) -> None:
    """An arrow from one curve to the other at the largest batch, and what lies between them."""
    last, alone, together = curve.sizes[-1], curve.real_time_ms[-1], curve.batched_ms[-1]
    arrow = {"arrowstyle": "<->", "color": _QUIET, "shrinkA": 6, "shrinkB": 6}
    axes.annotate("", (last, alone), xytext=(last, together), arrowprops=arrow)
    text = f"{curve.gain:,.0f} times less"
    middle = (alone * together) ** 0.5
    axes.annotate(text, (last, middle), xytext=(-8, 0), textcoords="offset points", ha="right", va="center",
                  color=_QUIET, fontsize=11)  # fmt: skip
