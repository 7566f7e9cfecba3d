"""How often somebody may ask: the buckets themselves, and at the door."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from served_models import InlineEcho
from serving import Running
from token_files import add, bearer
from wire import Answer, http, infer

from foretell.clock import ManualClock
from foretell.config import Layer, ServerSettings, resolve
from foretell.errors import InvalidSetting
from foretell.serve.guard import Guard
from foretell.serve.rate import Limiter, Rate, take
from foretell.serve.tokens import Tokens

Serve = Callable[..., Running]


@given(
    per_s=st.integers(1, 8), burst=st.integers(1, 20), start=st.integers(0, 10**6),
    gaps=st.lists(st.one_of(st.just(0), st.integers(0, 64)), max_size=80),
)  # fmt: skip
def test_it_is_a_bucket_that_fills_at_its_rate(per_s: int, burst: int, start: int, gaps: list[int]) -> None:
    """Against the plainest bucket there is, in fractions; times are parts of a second that floats have exactly."""
    rate, level, now, full_at = Rate(per_s, burst), Fraction(burst), Fraction(start), float(start)
    for gap in gaps:
        now += Fraction(gap, 16)
        level = min(Fraction(burst), level + Fraction(gap, 16) * per_s)
        full_at, wait_s = take(full_at, rate, float(now))
        assert (wait_s == 0) == (level >= 1)
        if level >= 1:
            level -= 1
        else:
            assert wait_s == pytest.approx(float((1 - level) / per_s), abs=1e-6)


@given(per_s=st.floats(1e-6, 1e9), burst=st.integers(1, 10**9), now=st.floats(0, 1e9))
def test_whoever_waits_as_long_as_told_gets_in(per_s: float, burst: int, now: float) -> None:
    rate, full_at = Rate(per_s, burst), now + (burst + 0.5) / per_s
    _, wait_s = take(full_at, rate, now)
    assert math.isfinite(wait_s)
    assert wait_s >= 0
    if wait_s:
        assert take(full_at, rate, now + math.ceil(wait_s))[1] == 0


def test_refused_requests_take_nothing() -> None:
    rate = Rate(1, 2)
    full_at = 0.0
    for _ in range(2):
        full_at, wait_s = take(full_at, rate, 0.0)
        assert wait_s == 0
    for _ in range(100):
        full_at, wait_s = take(full_at, rate, 0.0)
        assert wait_s == 1
    assert take(full_at, rate, 1.0)[1] == 0


def test_each_caller_has_a_bucket_of_its_own_and_their_number_is_bounded() -> None:
    limiter = Limiter(Rate(1, 1), most=10)
    assert [limiter.wait_s("a", 0.0), limiter.wait_s("b", 0.0)] == [0, 0]
    assert limiter.wait_s("a", 0.0) == 1
    for number in range(1000):
        assert limiter.wait_s(f"other {number}", 0.0) == 0
        assert limiter.wait_s("b", 0.0) > 0  # who keeps asking is not forgotten
    assert len(limiter) == 10


@pytest.mark.parametrize(
    ("whole", "workers", "part"),
    [((10, 20), 2, (5, 10)), ((10, 5), 4, (2.5, 2)), ((1, 1), 8, (0.125, 1)), ((3, 7), 1, (3, 7))],
)
def test_workers_share_a_rate(whole: tuple[float, int], workers: int, part: tuple[float, int]) -> None:
    assert Rate(*whole).share(workers) == Rate(*part)


def test_without_a_burst_what_comes_in_a_second_may_come_at_once() -> None:
    assert [Rate.of(rate, None).burst for rate in (0.1, 1, 2.5, 100)] == [1, 1, 3, 100]


def ask(server: Running, headers: dict[str, str] | None = None) -> Answer:
    return server.ask(infer("echo", [1], headers))


def test_each_address_has_its_rate_and_is_told_when_to_come_back(serve: Serve) -> None:
    clock = ManualClock(100.0)
    server = serve(echo=InlineEcho(), rate_per_s=0.4, rate_burst=2, clock=clock)
    with server.connect() as wire:  # whatever the connection
        assert wire.send(infer("echo", [1])).answer().status == 200
    assert ask(server).status == 200
    answer = ask(server)
    assert (answer.status, answer.error) == (429, "too many requests; try again later")
    assert answer.header("retry-after") == "3"
    with server.connect() as wire:
        assert wire.send(infer("echo", [1])).answer().status == 429
        clock.advance(2.5)
        assert wire.send(infer("echo", [1])).answer().status == 200
        assert wire.send(http("GET", "/metrics")).answer().status == 429
        assert wire.send(http("GET", "/nowhere")).answer().status == 429
        for path in ("/", "/v2", "/v2/health/ready"):
            assert wire.send(http("GET", path)).answer().status == 200
    clock.advance(100)
    assert b"foretell_http_rate_limited_total 4.0" in server.ask(http("GET", "/metrics")).body


def test_each_token_has_its_own_rate(serve: Serve, tmp_path: Path) -> None:
    clock, file = ManualClock(), tmp_path / "tokens.toml"
    slow = add(file, "slow", "infer", rate_per_s=1, burst=2)
    other = add(file, "other", "infer", rate_per_s=1)
    free = add(file, "free", "infer")
    server = serve(echo=InlineEcho(), tokens_file=str(file), clock=clock)
    assert [ask(server, bearer(slow)).status for _ in range(3)] == [200, 200, 429]
    assert [ask(server, bearer(other)).status for _ in range(2)] == [200, 429]
    assert {ask(server, bearer(free)).status for _ in range(10)} == {200}
    assert ask(server, bearer("wrong" * 5)).status == 401
    server.on_loop(server.application.reload)  # changes no bucket
    assert ask(server, bearer(slow)).status == 429
    clock.advance(1)
    assert [ask(server, bearer(slow)).status for _ in range(2)] == [200, 429]
    file.write_text(file.read_text().replace("rate_per_s = 1\nburst = 2", "rate_per_s = 50"))
    server.on_loop(server.application.reload)
    assert {ask(server, bearer(slow)).status for _ in range(50)} == {200}
    assert ask(server, bearer(slow)).status == 429


def test_a_rate_is_divided_among_workers(tmp_path: Path) -> None:
    file = tmp_path / "tokens.toml"
    add(file, "a", "infer", rate_per_s=10, burst=8)
    guard = Guard(ServerSettings(tokens_file=str(file)), Tokens(str(file)), lambda: 0.0, lambda: True, workers=4)
    (token,) = Tokens(str(file)).by_digest.values()
    assert guard.rate_of(token) == Rate(2.5, 2)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"rate_burst": 2}, "rate_burst would do nothing; got rate_per_s = None"),
        ({"rate_per_s": 2, "tokens_file": "t"}, "rate_per_s would do nothing; got tokens_file = t"),
        ({"rate_per_s": 0}, "rate_per_s is out of range; expected at least 1e-06"),
        ({"rate_per_s": math.inf}, "rate_per_s is out of range; expected at most 1000000000"),
        ({"rate_per_s": math.nan}, "rate_per_s is out of range"),
        ({"rate_per_s": 1, "rate_burst": 0}, "rate_burst is out of range; expected at least 1"),
    ],
)
def test_rates_that_cannot_be_are_refused(values: dict[str, object], sentence: str) -> None:
    with pytest.raises(InvalidSetting, match=sentence):
        resolve(ServerSettings, [Layer("--flags", values)])


def test_a_rate_for_callers_without_token_is_refused_where_there_are_none(serve: Serve) -> None:
    with pytest.raises(InvalidSetting, match="rate_per_s would do nothing; got FORETELL_TOKEN is set"):
        serve(echo=InlineEcho(), rate_per_s=1, token="x" * 16)
