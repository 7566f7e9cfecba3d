"""What a run did over time stays small, and what it counts stays right."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest

from foretell.batch.timeline import MOST_POINTS, Point, Timeline, spans

START = Point(0.0, 0, 0, 0.0, 0.0, 0.0, 0.0, 0.0, 2, 1024)
NONE = {"decode": 0.0, "preprocess": 0.0}


def filled(points: int, step_s: float = 0.2) -> Timeline:
    """Two processes, 100 rows in each step; three quarters of the time predicting, one eighth reading."""
    made = Timeline()
    for at in range(points + 1):
        spent = 2 * at * step_s
        made.add(replace(START, at_s=at * step_s, rows=100 * at, predict_s=0.75 * spent, read_s=0.125 * spent))
    return made


@pytest.mark.parametrize("points", [1, 2, 239, 240, 241, 1000, 100_000])
def test_there_are_few_points_however_long_it_takes_and_the_ends_are_among_them(points: int) -> None:
    columns = filled(points).columns()
    assert {len(column) for column in columns.values()} == {len(columns["at_s"])}
    assert 2 <= len(columns["at_s"]) <= MOST_POINTS + 1
    assert points < MOST_POINTS or len(columns["at_s"]) > MOST_POINTS / 3
    assert (columns["at_s"][0], columns["rows"][0], columns["rows"][-1]) == (0.0, 0, 100 * points)
    assert all(before < after for before, after in pairwise(columns["at_s"]))


@pytest.mark.parametrize("most", [1, 3, 80, MOST_POINTS])
def test_rates_and_shares_are_the_same_at_any_resolution(most: int) -> None:
    known = spans(filled(5000).columns(), most)
    assert len(known) <= most + 1
    assert (known[0].start_s, known[-1].stop_s) == (0.0, pytest.approx(1000.0))
    assert all(before.stop_s == after.start_s for before, after in pairwise(known))
    for span in known:
        assert span.rate == pytest.approx(500)
        assert span.shares == pytest.approx({"predict": 0.75, "read": 0.125, "write": 0.0, "idle": 0.125, **NONE})


def test_what_is_counted_never_goes_back() -> None:
    made = Timeline()
    for at, rows in enumerate([0, 500, 100, 600]):
        made.add(replace(START, at_s=float(at), rows=rows))
    assert made.columns()["rows"] == [0, 500, 500, 600]


def test_points_that_are_near_each_other_are_one_but_the_latest_counts() -> None:
    made = Timeline()
    for at in (0.0, 0.01, 0.02, 0.03):
        made.add(replace(START, at_s=at, rows=int(at * 1000)))
    assert made.columns()["rows"] == [0, 30]


def test_without_two_moments_there_is_nothing_to_tell() -> None:
    assert Timeline().columns() == {}
    assert spans({}) == []
    made = Timeline()
    made.add(START)
    made.add(replace(START, rows=7))
    assert spans(made.columns()) == []


def test_stages_that_took_longer_than_there_was_time_for_fill_all_of_it() -> None:
    made = Timeline()
    made.add(START)
    made.add(replace(START, at_s=1.0, predict_s=3.0, write_s=1.0))
    (span,) = spans(made.columns())
    assert span.shares == pytest.approx({"predict": 0.75, "write": 0.25, "read": 0.0, "idle": 0.0, **NONE})
