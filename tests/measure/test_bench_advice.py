"""What is advised follows from the figures alone."""

from __future__ import annotations

from dataclasses import replace

from foretell.bench.advice import advise
from foretell.bench.measure import Mode, Point, sizes_to


def point(mode: Mode, size: int, rows_per_s: float, p99_ms: float = 1.0, threads: int = 0) -> Point:
    return Point(mode, size, 10, rows_per_s, p99_ms / 2, p99_ms, threads)


ALONE = point("one by one", 1, 100)


def flags(*points: Point, slo_ms: float | None = None) -> list[str]:
    return [each.flag for each in advise([ALONE, *points], slo_ms)]


def test_the_smallest_call_that_is_nearly_as_fast_as_any() -> None:
    points = [point("batched", size, rate) for size, rate in ((2, 190), (16, 960), (32, 985), (64, 1000))]
    (advice,) = advise([ALONE, *points])
    assert advice.flag == "--max-batch-size 16"
    assert advice.why == "9.6 times the rows of single calls; larger ones give hardly more, and take longer"


def test_batches_that_do_not_pay() -> None:
    assert flags(point("batched", 8, 110)) == ["--max-batch-size 1"]


def test_an_objective_leaves_out_calls_that_take_more_than_half_of_it() -> None:
    points = [point("batched", 8, 500, 4), point("batched", 64, 1000, 6)]
    assert flags(*points, slo_ms=10) == ["--max-batch-size 8"]
    assert flags(*points, slo_ms=12) == ["--max-batch-size 64"]
    assert flags(*points, slo_ms=2) == ["--max-batch-size 1"]
    (none,) = advise([ALONE, *points], slo_ms=1)
    assert (none.flag, none.why) == ("", "no call, were it of one row, leaves half of 1 ms for the wait: 1 ms at best")


def test_nothing_is_said_of_what_was_not_measured() -> None:
    assert advise([ALONE, point("micro-batched", 1, 90)]) == []


def test_callers_within_the_objective() -> None:
    together = [point("micro-batched", 4, 300, 2), point("micro-batched", 64, 900, 9)]
    assert "64 callers at a time get most: 900 rows/s" in advise([ALONE, *together])[0].why
    (slow,) = advise([point("one by one", 1, 0.25), point("micro-batched", 2, 0.5)])
    assert "get most: 0.5 rows/s" in slow.why
    assert slow.why.endswith("one by one there are 0.25")
    said = advise([ALONE, *together], 5)[0]
    assert said.flag == "--slo-ms 5"
    assert said.why.startswith("4 callers at a time get most")
    assert "cannot be had: 2 ms at best" in advise([ALONE, *together], 1)[0].why


def test_threads_that_pay_and_threads_that_do_not() -> None:
    def tried(one: float, all_of_them: float) -> list[Point]:
        return [point("batched", 8, one, threads=1), point("batched", 8, all_of_them, threads=4)]

    assert flags(*tried(100, 105))[-1] == "--threads 1"
    assert flags(*tried(100, 250))[-1] == "--threads 4"


def test_the_fewest_replicas_that_do_nearly_the_most() -> None:
    def tried(*rates: tuple[int, float, float]) -> list[Point]:
        return [
            replace(point("micro-batched", 16, rate, p99_ms), replicas=number)
            for replicas, several, p99_ms in rates
            for number, rate in ((1, 100.0), (replicas, several))
        ]

    (advice,) = advise([ALONE, *tried((2, 190, 3), (4, 300, 5), (8, 310, 9))])
    assert advice.flag == "--replicas 4"
    assert advice.why.startswith("3.00 times the rows of one, for 16 callers at a time: 300 rows/s, 99 of 100 answers")
    assert flags(*tried((2, 190, 3), (4, 300, 5)), slo_ms=4) == ["--replicas 2"]
    assert advise([ALONE, *tried((2, 190, 9))], slo_ms=4) == []
    (none,) = advise([ALONE, *tried((2, 105, 3))])
    assert (none.flag, none.why) == (
        "", "replicas do not pay: 2 answer 1.05 times the rows of one, for 16 callers at a time"
    )  # fmt: skip
    threads = [point("batched", 8, rate, threads=threads) for threads, rate in ((1, 100), (4, 250))]
    assert flags(*threads, *tried((2, 190, 3))) == ["", "--replicas 2"]


def test_cost_follows_from_speed_and_price() -> None:
    assert point("batched", 8, 1000).cost_per_million(3.6) == 1.0


def test_sizes_double_up_to_the_most() -> None:
    assert sizes_to(1) == (1,)
    assert sizes_to(100) == (1, 2, 4, 8, 16, 32, 64, 100)
