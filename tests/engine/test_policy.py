"""The decisions of the batcher, for any queue and any history."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foretell.engine import policy
from foretell.engine.profile import Profile

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
    profile = Profile()
    assert profile.call_s(asked) is None and profile.recent_s is None
    for rows, seconds in calls:
        profile.learn(rows, seconds)
    seen = [seconds for _, seconds in calls]
    expected = profile.call_s(asked)
    assert expected is not None and profile.recent_s is not None
    for value in (expected, profile.recent_s):
        assert min(seen) * (1 - 1e-9) <= value <= max(seen) * (1 + 1e-9)


def test_a_profile_follows_a_model_that_changes_its_speed() -> None:
    profile = Profile()
    for seconds in [1.0] + [3.0] * 40:
        profile.learn(8, seconds)
    assert math.isclose(profile.call_s(8) or 0, 3.0, rel_tol=0.01)


def test_a_profile_draws_a_line_between_the_sizes_it_knows_and_believes_the_last_beyond_them() -> None:
    profile = Profile()
    profile.learn(1, 0.001)
    profile.learn(101, 0.101)
    assert profile.call_s(1) == 0.001
    assert math.isclose(profile.call_s(51) or 0, 0.051)
    assert profile.call_s(5000) == 0.101
    assert profile.largest_rows == 101


@given(calls=st.lists(st.tuples(st.integers(0, 5000), SECONDS), max_size=30))
def test_what_a_profile_tells_another_one_takes_up(calls: list[tuple[int, float]]) -> None:
    one, other = Profile(), Profile()
    for rows, seconds in calls:
        one.learn(rows, seconds)
    other.restore({str(rows): seconds for rows, seconds in one.table().items()})
    assert other.table() == one.table()


@pytest.mark.parametrize(
    "wrong", [{"x": 1.0}, {"1": "fast"}, {"-1": 1.0}, {"1": -1.0}, {"1": float("nan")}, {"9" * 99: 1.0}]
)
def test_a_profile_takes_up_nothing_from_what_is_none(wrong: dict[str, object]) -> None:
    profile = Profile()
    profile.restore(wrong)
    assert profile.table() == {} and profile.recent_s is None


@given(data=st.data(), most=st.integers(1, 300), limit_s=SECONDS)
def test_rows_within_a_limit_are_rows_whose_call_keeps_it(data: st.DataObject, most: int, limit_s: float) -> None:
    profile = Profile()
    seconds = 0.0
    for rows in sorted(data.draw(st.lists(st.integers(1, 300), max_size=8, unique=True))):
        seconds += data.draw(st.floats(0, 1))
        profile.learn(rows, seconds)
    found = policy.rows_within(profile, limit_s, most)
    assert 1 <= found <= max(1, min(most, 2 * profile.largest_rows))
    assert found == 1 or (profile.call_s(found) or 0) <= limit_s


@given(waiting=st.integers(0, 500), free=st.integers(0, 8), seen=st.lists(st.tuples(st.integers(1, 500), SECONDS)))
def test_a_share_leaves_nobody_out(waiting: int, free: int, seen: list[tuple[int, float]]) -> None:
    profile = Profile()
    for rows, seconds in seen:
        profile.learn(rows, seconds)
    share = policy.share_rows(waiting, free, profile)
    assert share <= waiting and share * max(1, free) >= waiting


def test_replicas_share_what_waits_only_where_smaller_calls_are_shorter() -> None:
    constant, linear = Profile(), Profile()
    for rows in (1, 8, 16, 32):
        constant.learn(rows, 0.005)
        linear.learn(rows, 0.001 * rows)
    assert policy.share_rows(32, 2, constant) == 32
    assert policy.share_rows(32, 2, linear) == 16


def test_bulk_rows_ride_along_where_the_call_stays_as_short() -> None:
    constant, linear = Profile(), Profile()
    for rows in (1, 8, 16, 32):
        constant.learn(rows, 0.005)
        linear.learn(rows, 0.001 * rows)
    assert policy.riding_rows(constant, 4, 128) == 28, "no further than what was seen"
    assert policy.riding_rows(linear, 4, 128) == 0
    assert policy.bulk_rows(linear, None, 128) == 128
    assert policy.bulk_rows(linear, 0.1, 128) == 5


@given(failures=st.integers(1, 10_000), lived_s=st.floats(0, 59))
def test_a_replica_that_keeps_failing_is_opened_ever_later_but_for_ever(failures: int, lived_s: float) -> None:
    delay_s = policy.restart_delay_s(failures, lived_s)
    assert 0 <= delay_s <= 30
    assert policy.restart_delay_s(failures + 1, lived_s) >= delay_s
    assert policy.restart_delay_s(failures, 60.0) == 0, "it lived well"


@given(
    now=st.integers(1, 20), least=st.integers(1, 10), more=st.integers(0, 10), share=st.floats(0, 1),
    waiting=st.booleans(), quiet_s=st.floats(0, 100),
)  # fmt: skip
def test_replicas_stay_within_what_was_allowed_and_move_by_one(
    now: int, least: int, more: int, share: float, waiting: bool, quiet_s: float
) -> None:
    wanted = policy.replicas_wanted(min(max(now, least), least + more), least, least + more, share, waiting, quiet_s)
    assert least <= wanted <= least + more
    assert abs(wanted - min(max(now, least), least + more)) <= 1


@pytest.mark.parametrize(
    ("calls", "cpu_s", "apart"),
    [
        (100, 0.2, True),
        (100, 0.09, False),  # the way there and back would cost as much; or they wait for something else
        (1, 5.0, True),
        (0, 0.5, False),  # the first one has not ended
    ],
)
def test_only_calls_that_compute_for_long_belong_apart(calls: int, cpu_s: float, apart: bool) -> None:
    assert policy.belongs_apart(calls, cpu_s) is apart
