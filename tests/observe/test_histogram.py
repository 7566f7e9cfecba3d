"""Percentiles from buckets: near the truth, never beyond what was seen."""

import bisect
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foretell.observe.histogram import ROWS, SECONDS, Histogram

VALUES = st.lists(st.floats(0, 60), min_size=1, max_size=200)


def of(values: list[float]) -> Histogram:
    histogram = Histogram(SECONDS)
    histogram.add_all(list(values))
    return histogram


@given(values=VALUES, share=st.floats(0, 1))
def test_a_percentile_lies_in_the_bucket_that_holds_it(values: list[float], share: float) -> None:
    found = of(values).percentile(share)
    exact = float(np.quantile(values, share, method="inverted_cdf"))
    assert found is not None
    bounds = (0.0, *SECONDS)
    at = max(1, bisect.bisect_left(bounds, exact))
    assert bounds[at - 1] <= found <= bounds[at] or math.isclose(found, exact)


@given(values=VALUES, shares=st.tuples(st.floats(0, 1), st.floats(0, 1)))
def test_a_higher_share_has_no_lower_percentile(values: list[float], shares: tuple[float, float]) -> None:
    low, high = (of(values).percentile(share) for share in sorted(shares))
    assert low is not None and high is not None and low <= high


@given(VALUES)
def test_values_one_by_one_together_and_repeated_count_the_same(values: list[float]) -> None:
    one_by_one, repeated = Histogram(SECONDS), Histogram(SECONDS)
    for value in values:
        one_by_one.add(value)
        repeated.add(value, times=3)
    assert one_by_one.counts == of(values).counts
    assert repeated.count == 3 * len(values) == 3 * one_by_one.count
    assert math.isclose(one_by_one.total, math.fsum(values), abs_tol=1e-9)
    assert math.isclose(repeated.total, 3 * math.fsum(values), abs_tol=1e-9)


def test_an_empty_histogram_knows_no_percentile() -> None:
    assert Histogram(SECONDS).percentile(0.5) is None


def test_what_is_beyond_the_last_bound_counts_as_that_bound() -> None:
    assert of([1e9]).percentile(0.99) == SECONDS[-1]


@pytest.mark.parametrize("bounds", [SECONDS, ROWS])
def test_bounds_ascend(bounds: tuple[float, ...]) -> None:
    assert list(bounds) == sorted(set(bounds))


def test_a_value_on_a_bound_belongs_below_it() -> None:
    histogram = Histogram((1.0, 2.0))
    histogram.add(1.0)
    histogram.add(1.5)
    assert histogram.counts == [1, 1, 0]
