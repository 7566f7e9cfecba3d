"""The report of a job as one page for people: no script, nothing from elsewhere, light and dark, for paper too."""

from __future__ import annotations

from foretell.batch.report import Report
from foretell.batch.report_plots import SHOWN, bars_plot, rate_plot, stages_plot, steps_plot
from foretell.batch.report_style import STYLE
from foretell.batch.report_text import count, counted, cut, encoded, escaped, lasted, size
from foretell.batch.stages import ALWAYS
from foretell.batch.timeline import spans

_MOST_SPANS = 80
_MOST_REASONS = 20
_FEW_SPANS = 3
"""Fewer are no plot."""


def page(report: Report) -> str:
    """The whole document."""
    sections = [_head(report), _figures(report), _rate(report), _stages(report), _quarantined(report),
                _duplicates(report), _shards(report), _tuned(report), _events(report), _facts(report)]  # fmt: skip
    title = f"{report.model.get('name', '')}: {_sentence(report)}"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark"><meta name="referrer" content="no-referrer">'
        f"<title>{escaped(cut(title, 120))}</title><style>{STYLE}</style></head>\n"
        f"<body><main>{''.join(sections)}</main></body></html>\n"
    )


def _sentence(report: Report) -> str:
    """The outcome."""
    rows = counted(report.rows, "row")
    if report.outcome != "done":
        of = f" of {report.total_rows:,}" if report.total_rows is not None else ""
        how = "Stopped" if report.outcome == "stopped" else "Interrupted"
        return f"{how} after {report.rows:,}{of} rows." if report.rows or of else f"{how} before the first row."
    if report.quarantined and not report.rows:
        return f"None of {counted(report.quarantined, 'row')} has an answer."
    if report.quarantined:
        return f"{rows} scored, {report.quarantined:,} put aside."
    return f"All {rows} scored." if report.rows > 1 else f"{rows} scored."


def _head(report: Report) -> str:
    mood = {"done": "good" if not report.quarantined else "fair"}.get(report.outcome, "bad")
    word = {"done": "Done", "stopped": "Stopped", "interrupted": "Interrupted"}[report.outcome]
    name, version = report.model.get("name", ""), report.model.get("version", "")
    more = [f'<p class="error">{_text(report.error, 2000)}</p>'] if report.error else []
    before = report.rows - report.scored_now
    if report.outcome != "done":
        more.append("<p>What is committed stays. Run the same command again, and the job goes on where it stopped.</p>")
    elif before > 0:
        more.append(f"<p>This run went on with a job: {counted(before, 'row')} had been scored before, "
                    f"{report.scored_now:,} were scored now.</p>")  # fmt: skip
    return (
        f'<header><p class="about"><span class="mark {mood}">{word}</span> <bdi>{escaped(name)}</bdi> '
        f'<span class="soft">version <bdi>{escaped(version)}</bdi></span>'
        f'<time class="soft" datetime="{escaped(report.ended_at)}">{escaped(_time(report.ended_at))}</time></p>'
        f"<h1>{escaped(_sentence(report))}</h1>{''.join(more)}</header>"
    )


def _figures(report: Report) -> str:
    made = [("Rows", f"{report.rows:,}", "this run" if report.scored_now == report.rows else
             f"{report.scored_now:,} in this run")]  # fmt: skip
    made.append(("Rows per second", count(report.rate), "from start to end"))
    made.append(("Time", lasted(report.seconds), _phases(report)))
    share = report.quarantined / max(1, report.rows + report.quarantined)
    note = f"{share:.2%} of all" if report.quarantined else "every row has one"
    made.append(("Without an answer", f"{report.quarantined:,}", note))
    if report.cost_per_million is not None and report.cost is not None:
        made.append(("Cost of a million rows", f"{report.cost_per_million:,.3g}", f"{report.cost:,.3g} for this run"))
    figures = [f"<div><dt>{escaped(name)}</dt><dd>{escaped(value)}<small>{escaped(note)}</small></dd></div>"
               for name, value, note in made]  # fmt: skip
    return f'<dl class="figures">{"".join(figures)}</dl>'


def _phases(report: Report) -> str:
    phases = report.phases
    return f"{lasted(phases['start'])} of it to start" if phases.get("start") else ""


def _rate(report: Report) -> str:
    known = spans(report.timeline, _spans(report))
    if len(known) < _FEW_SPANS:
        return ""
    mean = report.timeline["rows"][-1] / known[-1].stop_s
    note = f"{count(mean)} on average while shards were scored, the dashed line."
    return _section("Rows per second", note, rate_plot(known, mean))


def _spans(report: Report) -> int:
    """So many that each holds a few calls of each process: else the plot would show the calls and not the speed."""
    rows = report.timeline.get("rows", (0,))[-1]
    call, processes = (max(report.timeline.get(name, (1,))) for name in ("call_rows", "processes"))
    return max(_FEW_SPANS, min(_MOST_SPANS, int(rows / max(1, call) / max(1, processes) / 2)))


def _stages(report: Report) -> str:
    whole = _whole(report)
    if whole <= 0:
        return ""
    shares = {stage: report.stages.get(stage, 0.0) / whole for stage in SHOWN}
    shares["idle"] = max(0.0, 1 - sum(shares.values()))
    bar = "".join(f'<span class="{stage}" style="flex-grow:{share:.4f}"></span>' for stage, share in shares.items()
                  if share > 0.002)  # fmt: skip
    legend = "".join(
        f'<li><i class="{stage}"></i>{stage} <b>{share:.0%}</b> <span class="soft">{lasted(share * whole)}</span></li>'
        for stage, share in shares.items()
        if share or stage in ALWAYS
    )
    known = spans(report.timeline, _spans(report))
    plot = stages_plot(known) if len(known) >= _FEW_SPANS else ""
    drawn = f'<div class="stack" aria-hidden="true">{bar}</div><ul class="legend">{legend}</ul>{plot}'
    return _section("Where the time went", _bottleneck(shares), drawn)


def _whole(report: Report) -> float:
    """Seconds that the processes had, all together."""
    moments, there = report.timeline.get("at_s", ()), report.timeline.get("processes", ())
    had = sum((stop - start) * max(before, after) for start, stop, before, after in
              zip(moments, moments[1:], there, there[1:], strict=False))  # fmt: skip
    return max(had, sum(report.stages.values()))


def _bottleneck(shares: dict[str, float]) -> str:
    stage = max(SHOWN, key=lambda each: shares[each])
    if shares["idle"] > 0.5:
        return f"For more than half of their time the processes were starting or idle; most of the rest was {stage}."
    advice = {"predict": "the model itself", "read": "reading the data", "write": "writing the output",
              "decode": "decoding the data", "preprocess": "what the model does ahead of it"}  # fmt: skip
    return f"The bottleneck is {stage}, {advice[stage]}: {shares[stage]:.0%} of the time of the processes."


def _quarantined(report: Report) -> str:
    if not report.reasons:
        return ""
    most = max(report.reasons.values())
    rows = []
    for code, number in sorted(report.reasons.items(), key=lambda each: -each[1])[:_MOST_REASONS]:
        example = report.examples.get(code, "")
        rows.append(
            f'<tr><th scope="row">{escaped(code.replace("_", " "))}</th><td class="number">{number:,}</td>'
            f'<td class="meter" aria-hidden="true"><span style="width:{number / most:.1%}"></span></td>'
            f"<td>{_text(example)}</td></tr>"
        )
    where = f" All of them are in {_code(report.quarantine)}." if report.quarantine else ""
    more = f"{counted(len(report.reasons), 'reason')}.{where}"
    head = (
        '<thead><tr><th>Reason</th><th class="number">Rows</th><th class="meter" aria-hidden="true"></th>'
        "<th>For example</th></tr></thead>"
    )
    table = f'<div class="wide"><table>{head}<tbody>{"".join(rows)}</tbody></table></div>'
    return _section("Rows without an answer", more, table, is_markup=True)


def _duplicates(report: Report) -> str:
    found = report.duplicates
    if found is None or not found.keys:
        return ""
    rows = "".join(
        f"<tr><td>{_text(encoded(each.get('key')))}</td><td>{_text(str(each.get('file')))}</td>"
        f'<td class="number">{each.get("row", 0):,}</td></tr>'
        for each in found.examples
    )
    head = '<thead><tr><th>Key, for example</th><th>File</th><th class="number">Row</th></tr></thead>'
    table = f'<div class="wide"><table>{head}<tbody>{rows}</tbody></table></div>'
    stand = counted(found.keys, "key stands", "keys stand")
    said = f"{stand} more than once, in {found.rows:,} rows. The first of them are in {_code(found.file)}."
    return _section("Keys that stand more than once", said, table, is_markup=True)


def _shards(report: Report) -> str:
    known = report.shard_times
    if known is None or known.shards < 2:
        return ""
    said = (f"{counted(known.shards, 'shard')} in this run; half of them took {lasted(known.median_s)} or less, "
            f"the slowest {lasted(known.most_s)}.")  # fmt: skip
    plot = bars_plot("shards", "Shards by the time that they took", known.most_s, known.counts)
    rows = []
    for each in known.slowest:
        last = max(each.first_row, each.first_row + each.rows - 1)
        cells = (f"{each.first_row:,} to {last:,}", lasted(each.seconds))
        numbers = "".join(f'<td class="number">{cell}</td>' for cell in cells)
        rows.append(f"<tr><td>{_text(each.file)}</td>{numbers}</tr>")
    head = '<thead><tr><th>The slowest</th><th class="number">Rows</th><th class="number">Time</th></tr></thead>'
    table = f'<div class="wide"><table>{head}<tbody>{"".join(rows)}</tbody></table></div>'
    return _section("Shards", said, (plot if known.shards >= 8 else "") + table)


def _tuned(report: Report) -> str:
    """Plots of what was changed while the job ran; nothing where nothing was."""
    calls = _steps(report, "call_rows", "Rows of a call", "rows a call")
    there = [value for value in report.timeline.get("processes", ()) if value]
    more = there and max(there) > there[0]  # fewer of them are those that ended, or had nothing left to do
    plots = calls + (_steps(report, "processes", "Processes", "processes") if more else "")
    return _section("What was tuned", "By measurement, while the job ran.", plots) if plots else ""


def _steps(report: Report, name: str, title: str, unit: str) -> str:
    known = zip(report.timeline.get("at_s", ()), report.timeline.get(name, ()), strict=True)
    told = [(moment, value) for moment, value in known if value]
    values = [value for _, value in told]
    if len(set(values)) < 2:
        return ""
    last = f'<span class="soft">{count(values[-1])} at the end</span>'
    plot = steps_plot(name, f"{title} over time", [moment for moment, _ in told], values, unit)
    return f"<h3>{title} {last}</h3>{plot}"


def _events(report: Report) -> str:
    if not report.events and not report.crashes:
        return ""
    listed = "".join(f"<li>{_text(event)}</li>" for event in report.events)
    said = "What was unusual in this run."
    if report.crashes:
        ended = counted(report.crashes, "process", "processes")
        said = f"{ended} ended before time; what was lost with that was scored again."
    return _section("What happened", said, f'<ul class="events">{listed}</ul>')


def _facts(report: Report) -> str:
    machine, model = report.machine, report.model
    more = f" and {report.files - 1:,} more" if report.files > 1 else ""
    done = f"{report.shards_done:,} of " if report.shards_done != report.shards else ""
    facts: list[tuple[str, str]] = [
        ("Model", f"{_text(model.get('name', ''))}, version {_text(model.get('version', ''))}"),
        ("Digest", _code(model.get("digest", ""))),
        ("Input", f"{_code(report.data)}{more}<br>{_input(report)}"),
        ("Output", f"{_code(report.out)}<br>{size(report.bytes_out)}"),
        ("Shards", f"{done}{report.shards:,}"),
        ("Processes", f"{report.processes:,}{_call_rows(report)}"),
        ("Memory", f"{size(report.memory_bytes)} at most, of all processes" if report.memory_bytes else ""),
        ("Machine", ", ".join(escaped(each) for each in
                              (counted(int(machine.get("cores", 0)), "core"), machine.get("processor", ""),
                               machine.get("system", "")) if each)),
        ("Started", escaped(_time(report.started_at))),
        ("Time", _all_phases(report)),
        ("foretell", f"{escaped(machine.get('foretell', ''))}, Python {escaped(machine.get('python', ''))}"),
    ]  # fmt: skip
    listed = "".join(f"<dt>{name}</dt><dd>{value}</dd>" for name, value in facts if value)
    return f'<section><h2>The run</h2><dl class="facts">{listed}</dl></section>'


def _input(report: Report) -> str:
    if report.read_at is not None:
        return f"{size(report.bytes_in)}, read {escaped(_time(report.read_at))}"
    return f"{counted(report.files, 'file')}, {size(report.bytes_in)}, {escaped(report.kind)}"


def _time(stamp: str) -> str:
    """For people; what is given is UTC, in the form of ISO 8601."""
    return f"{stamp.replace('T', ' ').removesuffix('Z').removesuffix('+00:00')} UTC"


def _call_rows(report: Report) -> str:
    rows = report.timeline.get("call_rows", (0,))[-1]
    return f", {count(rows)} rows a call at the end" if rows else ""


def _all_phases(report: Report) -> str:
    words = {
        "start": "before the first shard",
        "score": "to score",
        "check": "to read keys again",
        "publish": "to put the output in its place",
    }
    return ", ".join(f"{lasted(report.phases[name])} {said}" for name, said in words.items() if name in report.phases)


def _section(title: str, said: str, body: str, *, is_markup: bool = False) -> str:
    return f"<section><h2>{escaped(title)}</h2><p>{said if is_markup else escaped(said)}</p>{body}</section>"


def _text(text: str, most: int = 400) -> str:
    return f"<bdi>{escaped(cut(text, most))}</bdi>" if text else ""


def _code(text: object) -> str:
    return f"<code><bdi>{escaped(cut(str(text)))}</bdi></code>" if text else ""
