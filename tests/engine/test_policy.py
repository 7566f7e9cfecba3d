"""The decisions of the batcher, for any queue and any history."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foretell.engine import policy

SIZES = st.lists(st.integers(0, 300), max_size=40)
SECONDS = st.floats(1e-7, 10.0)


@given(sizes=SIZES, most=st.integers(1, 200))
def test_a_batch_has_no_more_rows_than_allowed_unless_one_request_alone_does(sizes: list[int], most: int) -> None:
    count = policy.take(sizes, most)
    assert 0 <= count <= len(sizes)
    assert bool(count) == bool(sizes), "somebody waits, and nobody is taken"
    assert sum(sizes[:count]) <= most or count == 1


@given(sizes=SIZES, most=st.integers(1, 200))
def test_a_batch_is_as_large_as_it_may_be(sizes: list[int], most: int) -> None:
    count = policy.take(sizes, most)
    left_out = sizes[count:]
    assert not left_out or sum(sizes[:count]) >= most or sum(sizes[: count + 1]) > most


@given(waiting=st.integers(0, 500), rows=st.integers(1, 500), most=st.integers(1, 300))
def test_the_queue_never_grows_over_its_limit_but_by_one_request(waiting: int, rows: int, most: int) -> None:
    admitted = policy.admits(waiting, rows, most)
    assert admitted == (waiting == 0 or waiting + rows <= most)


@given(limit_s=SECONDS, call_s=SECONDS)
def test_a_model_stays_where_it_is_between_the_two_limits(limit_s: float, call_s: float) -> None:
    comes, stays = (policy.runs_inline(call_s, limit_s, now) for now in (False, True))
    assert stays or not comes, "it would leave and come back at the same speed"
    if call_s <= limit_s:
        assert comes and stays
    if call_s > 1.6 * limit_s:
        assert not comes and not stays


@pytest.mark.parametrize("now", [True, False])
def test_nothing_is_decided_before_anything_was_seen(now: bool) -> None:
    assert policy.runs_inline(None, 0.001, now) is now


@given(call_s=st.floats(0, 1e4))
def test_the_pause_for_callers_is_a_small_share_of_a_call_and_short(call_s: float) -> None:
    assert 0 <= policy.pause_s(call_s) <= min(call_s * 0.05 + 1e-12, 0.0005)


@given(calls=st.lists(st.tuples(st.integers(0, 5000), SECONDS), min_size=1, max_size=30), asked=st.integers(0, 5000))
def test_what_a_profile_expects_lies_within_what_it_saw(calls: list[tuple[int, float]], asked: int) -> None:
    profile = policy.Profile()
    assert profile.call_s(asked) is None and profile.recent_s is None
    for rows, seconds in calls:
        profile.learn(rows, seconds)
    seen = [seconds for _, seconds in calls]
    expected = profile.call_s(asked)
    assert expected is not None and profile.recent_s is not None
    for value in (expected, profile.recent_s):
        assert min(seen) * (1 - 1e-9) <= value <= max(seen) * (1 + 1e-9)


def test_a_profile_follows_a_model_that_changes_its_speed() -> None:
    profile = policy.Profile()
    for seconds in [1.0] + [3.0] * 40:
        profile.learn(8, seconds)
    assert math.isclose(profile.call_s(8) or 0, 3.0, rel_tol=0.01)


def test_a_profile_knows_sizes_apart_and_takes_the_nearest_for_others() -> None:
    profile = policy.Profile()
    profile.learn(1, 0.001)
    profile.learn(100, 0.1)
    assert profile.call_s(1) == 0.001
    assert profile.call_s(90) == 0.1, "64 to 127 rows are one size"
    assert profile.call_s(5000) == 0.1
