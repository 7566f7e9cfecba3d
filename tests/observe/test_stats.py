"""What a recorder has heard, in numbers."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from foretell.observe.process import process_memory
from foretell.observe.stats import Stats, merge
from foretell.observe.summary import cache_summary, summary


def filled() -> Stats:
    stats = Stats()
    stats.completed([9.0, 9.5], 8, 10.0, 11.0)
    stats.completed([10.0], 4, 11.0, 13.0)
    stats.answered([12.0], 14.0)
    stats.failed("overloaded")
    stats.failed("model_error", 3)
    stats.cache(5, 2)
    return stats


def test_requests_rows_and_times_add_up() -> None:
    stats = filled()
    assert (stats.requests, stats.rows) == (4, 12)
    assert stats.queue_s.total == pytest.approx(1.0 + 0.5 + 1.0)
    assert stats.inference_s.total == stats.busy_s == pytest.approx(3.0)
    assert stats.total_s.total == pytest.approx(2.0 + 1.5 + 3.0 + 2.0)
    assert stats.batch_rows.total == 12
    assert stats.failures == {"overloaded": 1, "model_error": 3}
    assert stats.throughput_rows_s() == pytest.approx(12 / 3.0)


def test_the_summary_says_it_in_milliseconds_and_shares() -> None:
    told = summary(filled(), "cpu")
    assert (told["requests"], told["rows"], told["errors"]) == (4, 12, {"overloaded": 1, "model_error": 3})
    assert told["latency_ms"]["mean"] == pytest.approx(8.5 / 4 * 1000)
    assert 1500 <= told["latency_ms"]["p50"] <= 2000 <= told["latency_ms"]["p99"] <= 3000
    assert told["device"] == {"name": "cpu", "busy_share": 1.0}
    assert cache_summary(filled(), 7) == {"hits": 5, "misses": 2, "rows": 7}


def test_before_anything_happened_nothing_is_made_up() -> None:
    told = summary(Stats(), "cuda")
    assert told["requests"] == told["rows"] == 0
    assert set(told["latency_ms"].values()) == {None}
    assert told["throughput_rows_s"] is None
    assert told["device"] == {"name": "cuda", "busy_share": None}


def test_threads_lose_no_count() -> None:
    stats, together = Stats(), threading.Barrier(4)

    def tell() -> None:
        together.wait()
        for _ in range(1000):
            stats.completed([0.0, 0.0], 3, 0.0, 1.0)
            stats.failed("x")
            stats.cache(1, 2)

    with ThreadPoolExecutor(4) as pool:
        for future in [pool.submit(tell) for _ in range(4)]:
            future.result()
    assert (stats.requests, stats.rows, stats.failures) == (8000, 12000, {"x": 4000})
    assert (stats.cache_hits, stats.cache_misses) == (4000, 8000)
    assert stats.total_s.count == 8000


def test_batches_that_end_out_of_order_do_not_turn_time_back() -> None:
    stats = Stats()
    stats.completed([0.0], 1, 0.0, 10.0)
    stats.completed([0.0], 1, 1.0, 2.0)
    assert stats.throughput_rows_s() == pytest.approx(0.2)


def test_memory_of_this_process_is_what_it_could_be() -> None:
    memory = process_memory()
    rss, peak = memory["rss_bytes"], memory["peak_rss_bytes"]
    assert rss is not None and peak is not None
    assert 10 * 2**20 < rss <= peak < 2**40


def test_snapshots_of_several_processes_add_up_to_what_one_would_have_counted() -> None:
    one, two, both = Stats(), Stats(), Stats()
    for stats in (one, both):
        stats.completed([9.0, 9.5], 8, 10.0, 11.0)
        stats.failed("overloaded", 2)
    for stats in (two, both):
        stats.completed([8.0], 4, 9.0, 13.0)
        stats.answered([12.0], 14.0)
        stats.failed("overloaded")
        stats.failed("model_error", 3)
        stats.cache(5, 2)
    travelled = json.loads(json.dumps([one.snapshot(), Stats().snapshot(), two.snapshot()]))
    assert merge(travelled).snapshot() == both.snapshot()
    assert summary(merge(travelled), "cpu") == summary(both, "cpu")


def test_a_snapshot_does_not_change_with_what_comes_after() -> None:
    stats = filled()
    before = json.dumps(stats.snapshot())
    kept = stats.snapshot()
    stats.completed([9.0], 8, 10.0, 11.0)
    stats.failed("overloaded")
    assert json.dumps(kept) == before != json.dumps(stats.snapshot())
    merged = merge([kept])
    merged.completed([9.0], 8, 10.0, 11.0)
    assert json.dumps(kept) == before


def test_buckets_that_differ_do_not_add_up() -> None:
    other = Stats().snapshot()
    other["queue_s"]["counts"].pop()
    with pytest.raises(ValueError, match="38 and 37 buckets"):
        merge([Stats().snapshot(), other])
