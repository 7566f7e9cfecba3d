"""The text that Prometheus reads, read again by its own rules."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from foretell.observe.prometheus import ModelMetrics, exposition
from foretell.observe.stats import Stats

SAMPLE = re.compile(r'^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{((?:[a-z_]+="(?:[^"\\\n]|\\\\|\\"|\\n)*",?)*)\})? (\S+)$')
LABEL = re.compile(r'([a-z_]+)="((?:[^"\\\n]|\\\\|\\"|\\n)*)"')


def metrics(name: str = "m", version: str = "1", stats: Stats | None = None) -> ModelMetrics:
    devices = {"gpu:0": 2, "gpu:1": 1}
    return ModelMetrics(
        name, version, stats or Stats(), waiting_rows=3, cached_rows=4, ready=True, replicas_by_device=devices
    )


def parsed(text: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Every sample; fails for a line that is none, for a repeated one, and for one whose family was not announced."""
    samples: dict[tuple[str, frozenset[tuple[str, str]]], float] = {}
    families: dict[str, str] = {}
    assert text.endswith("\n")
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            _, _, family, kind = line.split(" ")
            assert family not in families, "a family is announced twice"
            families[family] = kind
            continue
        if line.startswith("# HELP "):
            continue
        match = SAMPLE.match(line)
        assert match, line
        labels = frozenset(
            (name, value.replace("\\n", "\n").replace('\\"', '"').replace("\\\\", "\\"))
            for name, value in LABEL.findall(match[2] or "")
        )
        family = re.sub(r"_(bucket|sum|count)$", "", match[1])
        assert families.get(family) == "histogram" or match[1] in families, line
        assert (match[1], labels) not in samples, line
        samples[match[1], labels] = float(match[3])
    return samples


def value(samples: dict[tuple[str, frozenset[tuple[str, str]]], float], name: str, **labels: str) -> float:
    return samples["foretell_" + name, frozenset({"model": "m", "version": "1", **labels}.items())]


def test_counts_and_gauges_say_what_was_recorded() -> None:
    stats = Stats()
    stats.completed([0.0, 0.0], 5, 0.001, 0.003)
    stats.failed("overloaded", 2)
    stats.cache(7, 8)
    samples = parsed(exposition([metrics(stats=stats)], {}))
    assert value(samples, "requests_total", outcome="ok") == 2
    assert value(samples, "requests_total", outcome="overloaded") == 2
    assert value(samples, "rows_total") == 5
    assert value(samples, "cache_hits_total") == 7 and value(samples, "cache_misses_total") == 8
    assert value(samples, "queue_rows") == 3 and value(samples, "cache_rows") == 4
    assert value(samples, "model_ready") == 1
    assert [value(samples, "replicas_by_device", device=name) for name in ("gpu:0", "gpu:1")] == [2, 1]


@given(st.lists(st.floats(0, 100), max_size=60))
def test_a_histogram_is_cumulative_and_complete(seconds: list[float]) -> None:
    stats = Stats()
    for took in seconds:
        stats.completed([0.0], 1, 0.0, took)
    samples = parsed(exposition([metrics(stats=stats)], {}))
    buckets = {
        float(dict(labels)["le"]): count
        for (name, labels), count in samples.items()
        if name == "foretell_request_duration_seconds_bucket"
    }
    assert [count for _, count in sorted(buckets.items())] == sorted(buckets.values())
    for bound, count in buckets.items():
        assert count == sum(took <= bound for took in seconds)
    assert buckets[float("inf")] == value(samples, "request_duration_seconds_count") == len(seconds)
    assert abs(value(samples, "request_duration_seconds_sum") - sum(seconds)) < 1e-6


@given(name=st.text(max_size=20), version=st.text(max_size=5))
def test_any_name_is_quoted(name: str, version: str) -> None:
    text = exposition([metrics(name.replace("\r", ""), version.replace("\r", ""))], {})
    lines = [line for line in text.split("\n") if line.startswith("foretell_model_ready")]
    assert len(lines) == 1


def test_large_numbers_keep_every_digit() -> None:
    stats = Stats()
    stats.completed([], 123_456_789, 0.0, 1.0)
    samples = parsed(exposition([metrics(stats=stats)], {"http_requests_total": 1_234_567.0, "http_connections": 2.0}))
    assert value(samples, "rows_total") == 123_456_789
    assert samples["foretell_http_requests_total", frozenset()] == 1_234_567
    assert samples["foretell_http_connections", frozenset()] == 2


def test_without_models_only_the_server_speaks() -> None:
    samples = parsed(exposition([], {"http_connections": 1.0}))
    assert samples == {("foretell_http_connections", frozenset()): 1.0}


def test_models_stand_side_by_side() -> None:
    samples = parsed(exposition([metrics("a"), metrics("a", "2"), metrics("b")], {}))
    assert sum(name == "foretell_model_ready" for name, _ in samples) == 3
