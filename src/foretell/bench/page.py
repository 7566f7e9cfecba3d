"""The figures as a page for people: no script, nothing from elsewhere."""

from __future__ import annotations

from collections.abc import Sequence

from foretell.batch.report_plots import points_plot
from foretell.batch.report_style import STYLE
from foretell.batch.report_text import count, escaped
from foretell.bench.advice import Advice
from foretell.bench.measure import Point


def page(
    name: str, version: str, machine: str, points: Sequence[Point], advice: Sequence[Advice], price: float | None
) -> str:
    """The whole document. `price`: of this machine for an hour, for the cost of a million rows."""
    calls = [point for point in points if point.mode != "micro-batched" and not point.threads]
    together = [point for point in points if point.together]
    parts = [
        f'<header><p class="about"><bdi>{escaped(name)}</bdi> <span class="soft">version {escaped(version)}</span></p>'
        f"<h1>{escaped(_sentence(calls, together))}</h1><p>{escaped(machine)}</p></header>",
        _section("What to set", "From the figures below.", _advice(advice)),
        _plots("Calls of several rows", "batch", calls, "rows in a call"),
        _plots("Single rows of many callers", "callers", together, "callers at a time"),
        _section("All figures", "Latency is what one caller waits for a call.", _table(points, price)),
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark"><meta name="referrer" content="no-referrer">'
        f"<title>{escaped(name)}: what it does here</title><style>{STYLE}</style></head>\n"
        f"<body><main>{''.join(parts)}</main></body></html>\n"
    )


def _sentence(calls: Sequence[Point], together: Sequence[Point]) -> str:
    best = max(calls, key=lambda point: point.rows_per_s)
    said = f"{count(best.rows_per_s)} rows a second in calls of {best.size}"
    if together:
        many = max(together, key=lambda point: point.rows_per_s)
        said += f", {count(many.rows_per_s)} for {many.size} callers at a time"
    return f"{said}."


def _plots(title: str, name: str, points: Sequence[Point], across: str) -> str:
    if len(points) < 2:
        return ""
    labels = [str(point.size) for point in points]
    rate = points_plot(
        f"{name}-rate", "Rows a second", labels, [point.rows_per_s for point in points], "rows/s", across
    )
    wait = points_plot(f"{name}-wait", "Latency, 99 of 100", labels, [point.p99_ms for point in points], "ms", across)
    return _section(title, f"By {across}.", f"<h3>Rows a second</h3>{rate}<h3>Milliseconds, 99 of 100</h3>{wait}")


def _advice(advice: Sequence[Advice]) -> str:
    rows = [f"<dt>{f'<code>{escaped(each.flag)}</code>' if each.flag else '-'}</dt><dd>{escaped(each.why)}</dd>"
            for each in advice]  # fmt: skip
    return f'<dl class="facts">{"".join(rows)}</dl>'


def _table(points: Sequence[Point], price: float | None) -> str:
    heads = [
        "way",
        "rows or callers",
        "threads",
        "rows/s",
        "p50 ms",
        "p99 ms",
        *(["cost of a million"] if price else []),
    ]
    rows = []
    for point in points:
        cells = [point.way, str(point.size), str(point.threads or ""), count(point.rows_per_s), f"{point.p50_ms:.3g}",
                 f"{point.p99_ms:.3g}", *([f"{point.cost_per_million(price):.4g}"] if price else [])]  # fmt: skip
        numbers = "".join(f'<td class="number">{escaped(cell)}</td>' for cell in cells[1:])
        rows.append(f"<tr><th>{escaped(cells[0])}</th>{numbers}</tr>")
    head = "".join(f"<th>{escaped(each)}</th>" for each in heads)
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'


def _section(title: str, said: str, body: str) -> str:
    return f"<section><h2>{escaped(title)}</h2><p>{escaped(said)}</p>{body}</section>"
