"""What we write, Prometheus's own Python client reads, and finds in it what was recorded."""

from __future__ import annotations

import threading
from collections import defaultdict

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from foretell.observe.process import process_exposition
from foretell.observe.prometheus import ModelMetrics, exposition
from foretell.observe.stats import Stats, merge


def read(text: str) -> dict[str, Metric]:
    families = list(text_string_to_metric_families(text))
    assert len({family.name for family in families}) == len(families)
    for family in families:
        assert family.documentation and family.type in ("counter", "gauge", "histogram")
    return {family.name: family for family in families}


def of(name: str, version: str, stats: Stats) -> ModelMetrics:
    return ModelMetrics(name, version, stats, waiting_rows=3, cached_rows=4, ready=True)


def check_histogram(family: Metric) -> dict[tuple[tuple[str, str], ...], tuple[list[float], float]]:
    """Its counts bucket by bucket, and its sum, by labels; the buckets are cumulative, and end in the count."""
    buckets: dict[tuple[tuple[str, str], ...], dict[float, float]] = defaultdict(dict)
    rest: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}
    for sample in family.samples:
        labels = dict(sample.labels)
        bound = labels.pop("le", None)
        key = tuple(sorted(labels.items()))
        if bound is None:
            rest[sample.name.removeprefix(family.name), key] = sample.value
        else:
            buckets[key][float(bound)] = sample.value
    for key, counts in buckets.items():
        running = [counts[bound] for bound in sorted(counts)]
        assert running == sorted(running)
        assert max(counts) == float("inf") and running[-1] == rest["_count", key]
    return {key: ([counts[bound] for bound in sorted(counts)], rest["_sum", key]) for key, counts in buckets.items()}


def recorded(times: list[float]) -> Stats:
    stats = Stats()
    for took in times:
        stats.completed([0.0, 0.0], 3, took / 2, took)
    stats.failed("overloaded", 2)
    return stats


@given(
    name=st.text(st.characters(exclude_characters="\r", exclude_categories=("Cs", "Zl", "Zp", "Cc")), max_size=20),
    quoted=st.sampled_from(["", '"', "\\", "\n", '\\n"\n', "{}", "a=b,", "é"]),
)
def test_names_come_back_as_they_were(name: str, quoted: str) -> None:
    families = read(exposition([of(name + quoted, "1", recorded([0.1]))], {}))
    for family in families.values():
        assert {sample.labels["model"] for sample in family.samples} == {name + quoted}


def test_every_family_is_read() -> None:
    server = {"http_connections": 2.0, "http_unauthorized_total": 1.0, "something_total": 3.0}
    text = exposition([of("a", "1", recorded([0.1, 2])), of("a", "2", recorded([]))], server, {"2xx": 5, "4xx": 1})
    families = read(text + process_exposition())
    assert {name for name, family in families.items() if family.type == "histogram"} == {
        "foretell_queue_duration_seconds", "foretell_inference_duration_seconds",
        "foretell_request_duration_seconds", "foretell_batch_size_rows",
    }  # fmt: skip
    responses = {sample.labels["class"]: sample.value for sample in families["foretell_http_responses"].samples}
    assert responses == {"2xx": 5, "4xx": 1}
    outcomes = {
        (sample.labels["version"], sample.labels["outcome"]): sample.value
        for sample in families["foretell_requests"].samples
    }
    assert outcomes == {("1", "ok"): 4, ("1", "overloaded"): 2, ("2", "ok"): 0, ("2", "overloaded"): 2}
    assert families["process_cpu_seconds"].samples[0].value > 0
    assert families["process_start_time_seconds"].samples[0].value > 1e9


_TIMES = st.lists(st.floats(0, 100), max_size=30)


@given(first=_TIMES, second=_TIMES)
def test_histograms_of_several_workers_add_up(first: list[float], second: list[float]) -> None:
    one, two = recorded(first), recorded(second)
    apart = [read(exposition([of("m", "1", stats)], {})) for stats in (one, two)]
    together = read(exposition([of("m", "1", merge([one.snapshot(), two.snapshot()]))], {}))
    for name, family in together.items():
        if family.type != "histogram":
            continue
        ((counts, total),) = check_histogram(family).values()
        parts = [next(iter(check_histogram(each[name]).values())) for each in apart]
        assert counts == [a + b for a, b in zip(parts[0][0], parts[1][0], strict=True)]
        assert abs(total - parts[0][1] - parts[1][1]) < 1e-6


def test_a_scrape_is_of_one_moment() -> None:
    """However much is recorded meanwhile, buckets, count and sum of a model agree."""
    stats, stop = Stats(), threading.Event()

    def record() -> None:
        while not stop.is_set():
            stats.completed([0.0] * 4, 4, 0.0, 1.0)

    threads = [threading.Thread(target=record) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(200):
            families = read(exposition([of("m", "1", stats)], {}))
            ((counts, total),) = check_histogram(families["foretell_request_duration_seconds"]).values()
            assert total == counts[-1]
            assert families["foretell_rows"].samples[0].value == counts[-1]
    finally:
        stop.set()
        for thread in threads:
            thread.join()
