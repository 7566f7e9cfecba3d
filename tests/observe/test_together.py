"""The metrics of several processes as one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from foretell.observe.prometheus import ModelMetrics, exposition
from foretell.observe.stats import Stats
from foretell.observe.together import Together, read


def of(*totals: float, waiting: int = 0, ready: bool = True, failed: int = 0) -> str:
    """The exposition of a process whose model `m` has answered a row in each of `totals` seconds."""
    stats = Stats()
    for each in totals:
        stats.completed([1.0], 1, 1.0, 1.0 + each)
    if failed:
        stats.failed("overloaded", failed)
    return exposition([ModelMetrics('m"\\', "1", stats, waiting, 0, ready)], {"http_connections": 2.0})


def test_counters_histograms_and_gauges_add_up() -> None:
    together = Together("worker")
    together.tells(0, of(0.001, 0.5, waiting=3))
    together.tells(1, of(0.001, waiting=4, failed=2))
    expected = read(of(0.001, 0.5, 0.001, waiting=7, failed=2))
    expected["foretell_http_connections"].samples["foretell_http_connections"] = 4.0
    assert read(together.exposition({0, 1})) == expected


def test_one_process_says_what_it_says_alone() -> None:
    together = Together("worker")
    text = of(0.001, 0.2, waiting=1)
    together.tells(5, text)
    assert together.exposition({5}) == text


def test_a_model_is_ready_where_every_process_has_it() -> None:
    together = Together("worker")
    together.tells(0, of(ready=True))
    together.tells(1, of(ready=False))
    (sample,) = read(together.exposition({0, 1}))["foretell_model_ready"].samples.values()
    assert sample == 0
    together.tells(1, of(ready=True))
    (sample,) = read(together.exposition({0, 1}))["foretell_model_ready"].samples.values()
    assert sample == 1


def test_what_says_something_of_a_process_gets_its_label() -> None:
    together = Together("worker")
    head = "# HELP process_threads T.\n# TYPE process_threads gauge\n"
    together.tells(0, head + "process_threads 4\n")
    together.tells(1, head + 'process_threads{kind="a"} 5\n')
    text = together.exposition({0, 1})
    assert text == head + 'process_threads{worker="0"} 4\nprocess_threads{worker="1",kind="a"} 5\n'


def test_what_each_process_decides_is_not_added_up_but_its_replicas_are() -> None:
    together = Together("worker")
    for worker in (0, 1):
        decided = {"replicas": 2, "replicas_lost_total": 1, "batch_rows_limit": 64, "bulk_share": 0.5}
        decided["caller_groups"] = 1
        model = ModelMetrics("m", "1", Stats(), 0, 0, True, {**decided, "slo_margin_seconds": 0.01})
        together.tells(worker, exposition([model], {}))
    lines = together.exposition({0, 1}).splitlines()
    for told in (*(f"{name}{{" for name in decided), "slo_margin_seconds{"):
        numbers = [float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"foretell_{told}")]
        assert numbers == {"replicas{": [4], "replicas_lost_total{": [2]}.get(told, [decided.get(told[:-1], 0.01)] * 2)


def test_information_stays_what_it_is() -> None:
    together = Together("worker")
    text = '# HELP foretell_build_info V.\n# TYPE foretell_build_info gauge\nforetell_build_info{version="1"} 1\n'
    for process in range(3):
        together.tells(process, text)
    assert together.exposition({0, 1, 2}) == text


def test_what_a_process_had_counted_stays_when_it_is_gone() -> None:
    together = Together("worker")
    together.tells(0, of(0.001, waiting=3))
    together.tells(1, of(0.001, 0.2, waiting=4))
    together.leaves(1)
    families = read(together.exposition({0}))
    assert sum(families["foretell_requests_total"].samples.values()) == 3
    assert sum(families["foretell_queue_rows"].samples.values()) == 3
    together.tells(1, of(0.001, waiting=1))  # its successor
    families = read(together.exposition({0, 1}))
    assert sum(families["foretell_requests_total"].samples.values()) == 4
    assert sum(families["foretell_queue_rows"].samples.values()) == 4


def test_of_a_process_that_is_silent_only_what_it_counted_is_in() -> None:
    together = Together("worker")
    together.tells(0, of(0.001, waiting=3))
    together.tells(1, of(0.001, 0.2, waiting=4))
    families = read(together.exposition({0}))
    assert sum(families["foretell_requests_total"].samples.values()) == 3
    assert sum(families["foretell_queue_rows"].samples.values()) == 3


def test_who_never_told_anything_can_leave() -> None:
    together = Together("worker")
    together.leaves(3)
    assert together.exposition(()) == ""


STEPS = st.lists(st.tuples(st.integers(0, 2), st.sampled_from(["answer", "tell", "die", "look"])), max_size=60)


@given(steps=STEPS)
def test_sums_never_fall(steps: list[tuple[int, str]]) -> None:
    together = Together("worker")
    answered = [0, 0, 0]
    seen = 0
    for process, step in steps:
        if step == "answer":
            answered[process] += 1
        elif step == "tell":
            together.tells(process, of(*[0.01] * answered[process]))
        elif step == "die":
            together.leaves(process)
            answered[process] = 0
        else:
            families = read(together.exposition({process}))
            now = int(sum(families["foretell_requests_total"].samples.values())) if families else 0
            assert now >= seen
            seen = now
