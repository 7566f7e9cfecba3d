"""The text that Prometheus scrapes (exposition format 0.0.4), written straight from the histograms."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import accumulate

from foretell.observe.histogram import Histogram
from foretell.observe.stats import Stats, merge


def _first_item_s(stats: Stats) -> Histogram:
    return stats.first_item_s


_HISTOGRAMS: tuple[tuple[str, str, Callable[[Stats], Histogram]], ...] = (
    ("queue_duration_seconds", "Time a request waited for the model.", lambda s: s.queue_s),
    ("inference_duration_seconds", "Time of one call of the model, per batch.", lambda s: s.inference_s),
    ("request_duration_seconds", "Time from acceptance to answer, per request.", lambda s: s.total_s),
    ("first_item_duration_seconds", "Time from acceptance to the first item of a stream.", _first_item_s),
    ("batch_size_rows", "Rows in one call of the model.", lambda s: s.batch_rows),
)

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(frozen=True, slots=True)
class ModelMetrics:
    """One model's figures at the moment of the scrape."""

    name: str
    version: str
    stats: Stats
    waiting_rows: int
    cached_rows: int
    ready: bool
    decided: Mapping[str, float] = field(default_factory=dict)
    """What the engine has decided by itself, by the names of `_DECISIONS`; not each of them is there."""
    streams: int = 0
    replicas_by_device: Mapping[str, int] = field(default_factory=dict)


_FIGURES: tuple[tuple[str, str, str, Callable[[ModelMetrics], int]], ...] = (
    ("rows_total", "Rows answered by the model.", "counter", lambda m: m.stats.rows),
    ("padded_elements_total", "Elements that rows were filled up with.", "counter", lambda m: m.stats.padded),
    ("cache_hits_total", "Rows answered by the cache.", "counter", lambda m: m.stats.cache_hits),
    ("cache_misses_total", "Rows the cache did not have.", "counter", lambda m: m.stats.cache_misses),
    ("cache_rows", "Rows in the cache.", "gauge", lambda m: m.cached_rows),
    ("queue_rows", "Rows waiting for the model.", "gauge", lambda m: m.waiting_rows),
    ("streams_total", "Streams that have ended.", "counter", lambda m: m.stats.streams),
    ("stream_items_total", "Items of streams that have ended.", "counter", lambda m: m.stats.stream_items),
    ("streams_running", "Streams that have a place on a replica.", "gauge", lambda m: m.streams),
    ("model_ready", "Whether the model answers.", "gauge", lambda m: int(m.ready)),
)

_DECISIONS = (
    ("replicas", "Replicas of the model that run.", "gauge"),
    ("replicas_lost_total", "Replicas that ended by themselves, or hung and were given up.", "counter"),
    ("batch_rows_limit", "Most rows of one call of the model now.", "gauge"),
    ("bulk_share", "Part of the time of calls that bulk requests had lately.", "gauge"),
    ("caller_groups", "Groups of callers that take turns; 1: a replica waits a moment for all of them.", "gauge"),
    ("slo_margin_seconds", "Part of the objective that is kept free for what cannot be foretold.", "gauge"),
)


_SERVER = {
    "http_connections": "Connections of clients that are open.",
    "http_connections_refused_total": "Connections refused because there were too many.",
    "http_held_body_bytes": "Bytes of large request bodies that are held until they are answered.",
    "http_unauthorized_total": "Requests refused for want of a token or a scope.",
    "http_rate_limited_total": "Requests refused because their caller asked too often.",
    "process_resident_memory_bytes": "Memory that the process has.",
    "access_log_lines_total": "Lines written to the access log.",
    "access_log_lines_dropped_total": "Lines that the access log has lost: the disk was too slow, or full.",
}


def exposition(
    models: Iterable[ModelMetrics], server: Mapping[str, float], responses: Mapping[str, int] | None = None
) -> str:
    """All metrics. `server` holds those of the door itself, by name without the prefix `foretell_`; `responses` its
    replies by class of status. Each model's figures are those of one moment: a histogram's buckets and count agree."""
    known = [replace(model, stats=merge([model.stats.snapshot()])) for model in models]
    lines: list[str] = []
    for name, text, pick in _HISTOGRAMS:
        # Of streams only where there were any: other models have none, and their buckets would say nothing.
        told = [model for model in known if pick is not _first_item_s or model.stats.first_item_s.count]
        lines += head(name, text, "histogram") if told else []
        for model in told:
            lines += histogram_lines(f"foretell_{name}", _labels(model), pick(model.stats))
    lines += head("requests_total", "Requests by outcome.", "counter")
    for model in known:
        for outcome, count in [("ok", model.stats.requests), *sorted(model.stats.failures.items())]:
            lines.append(f'foretell_requests_total{{{_labels(model)},outcome="{escape(outcome)}"}} {count}')
    for name, text, kind, value in _FIGURES:
        lines += head(name, text, kind)
        lines += [f"foretell_{name}{{{_labels(model)}}} {value(model)}" for model in known]
    for name, text, kind in _DECISIONS:
        told = [model for model in known if name in model.decided]
        lines += head(name, text, kind) if told else []
        lines += [f"foretell_{name}{{{_labels(model)}}} {model.decided[name]!r}" for model in told]
    lines += _by_device(known)
    for name, number in server.items():
        lines += head(name, _SERVER.get(name, "Of the server."), "counter" if name.endswith("_total") else "gauge")
        lines.append(f"foretell_{name} {float(number)!r}")
    if responses:
        lines += head("http_responses_total", "Replies by class of status.", "counter")
        lines += [f'foretell_http_responses_total{{class="{name}"}} {count}' for name, count in responses.items()]
    return "\n".join(lines) + "\n"


def _by_device(known: Iterable[ModelMetrics]) -> list[str]:
    lines = [
        f'foretell_replicas_by_device{{{_labels(model)},device="{escape(device)}"}} {count}'
        for model in known
        for device, count in model.replicas_by_device.items()
    ]
    return [*head("replicas_by_device", "Replicas of the model that run, by device.", "gauge"), *lines] if lines else []


def head(name: str, text: str, kind: str) -> list[str]:
    return [f"# HELP foretell_{name} {text}", f"# TYPE foretell_{name} {kind}"]


def histogram_lines(name: str, labels: str, histogram: Histogram) -> list[str]:
    running = list(accumulate(histogram.counts))
    before, alone = (f"{labels},", f"{{{labels}}}") if labels else ("", "")
    lines = [
        f'{name}_bucket{{{before}le="{bound:g}"}} {count}'
        for bound, count in zip(histogram.bounds, running, strict=False)
    ]
    lines.append(f'{name}_bucket{{{before}le="+Inf"}} {running[-1]}')
    return [*lines, f"{name}_sum{alone} {histogram.total!r}", f"{name}_count{alone} {running[-1]}"]


def _labels(model: ModelMetrics) -> str:
    return f'model="{escape(model.name)}",version="{escape(model.version)}"'


def escape(text: str) -> str:
    """The value of a label."""
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
