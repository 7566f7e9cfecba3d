"""Who is tried again, how often, and how long that may take."""

import asyncio
import random

import pytest
from engine_models import Does, answers, engine_of, rows
from hypothesis import given
from hypothesis import strategies as st

from foretell.clock import ManualClock
from foretell.columns import Batch
from foretell.engine.retry import RetryPolicy, with_retries
from foretell.errors import InvalidInput, ModelError, TransientError

POLICY = RetryPolicy(retries=3, delay_s=1.0, max_delay_s=3.0)


class Flaky:
    """Fails so many times, then answers."""

    def __init__(self, failures: int, error: type[Exception] = TransientError) -> None:
        self.failures, self.error, self.tries = failures, error, 0

    def __call__(self) -> str:
        self.tries += 1
        if self.tries <= self.failures:
            raise self.error("not now")
        return "answer"


def run(call: Flaky, policy: RetryPolicy = POLICY, clock: ManualClock | None = None, **options: object) -> str:
    options = {"deadline": None, **options}
    return with_retries(call, policy, clock or ManualClock(), random.Random(1), **options)  # type: ignore[arg-type]


@given(attempt=st.integers(0, 5000), delay_s=st.floats(0, 100), most_s=st.floats(0, 100), seed=st.integers(0, 1000))
def test_a_wait_is_random_within_its_exponential_bound(attempt: int, delay_s: float, most_s: float, seed: int) -> None:
    policy = RetryPolicy(1, delay_s, most_s)
    waited = policy.wait_s(attempt, random.Random(seed))
    assert 0 <= waited <= most_s
    if attempt < 10:
        assert waited <= delay_s * 2**attempt


def test_waits_differ_so_that_clients_do_not_come_back_together() -> None:
    rng = random.Random(3)
    assert len({POLICY.wait_s(1, rng) for _ in range(20)}) == 20


@pytest.mark.parametrize("failures", [0, 1, 3])
def test_transient_failures_are_tried_again(failures: int) -> None:
    call, clock = Flaky(failures), ManualClock()
    assert run(call, clock=clock) == "answer"
    assert call.tries == failures + 1
    assert len(clock.slept) == failures
    assert all(slept <= bound for slept, bound in zip(clock.slept, [1.0, 2.0, 3.0], strict=False))


def test_the_last_failure_comes_out_when_the_tries_are_spent() -> None:
    call, clock = Flaky(99), ManualClock()
    with pytest.raises(TransientError, match="not now"):
        run(call, clock=clock)
    assert call.tries == 4
    assert len(clock.slept) == 3, "it waited after the last try"


@pytest.mark.parametrize("error", [ModelError, InvalidInput, ValueError])
def test_other_failures_are_never_tried_again(error: type[Exception]) -> None:
    call = Flaky(1, error)
    with pytest.raises(error):
        run(call)
    assert call.tries == 1


def test_no_retries_means_one_try() -> None:
    call = Flaky(1)
    with pytest.raises(TransientError):
        run(call, RetryPolicy(0, 1.0, 1.0))
    assert call.tries == 1


@given(deadline=st.floats(0, 10), seed=st.integers(0, 100))
def test_no_wait_passes_the_deadline(deadline: float, seed: int) -> None:
    clock = ManualClock()
    with pytest.raises(TransientError):
        with_retries(Flaky(999), RetryPolicy(50, 1.0, 4.0), clock, random.Random(seed), deadline)
    assert clock.now < max(deadline, 1e-12)


class Passing(Exception):
    pass


@pytest.mark.parametrize("executor", ["inline", "thread"])
@pytest.mark.parametrize("retries", [0, 2])
async def test_the_engine_makes_as_many_tries_as_it_was_told(executor: str, retries: int) -> None:
    def fail(call: int, batch: Batch) -> None:
        raise Passing("busy")

    model, clock = Does(fail), ManualClock()
    model.transient = (Passing,)
    engine = engine_of(model, clock, executor=executor, retries=retries)
    with pytest.raises(TransientError, match="Passing: busy") as caught:
        await engine.infer(rows(1))
    assert isinstance(caught.value.__cause__, Passing)
    assert len(model.calls) == retries + 1
    with pytest.raises(TransientError):
        engine.run(rows(1))
    assert len(model.calls) == 2 * (retries + 1)
    engine.close()


@pytest.mark.parametrize("executor", ["inline", "thread"])
async def test_a_passing_failure_is_nothing_that_a_caller_sees(executor: str) -> None:
    def fail_once(call: int, batch: Batch) -> None:
        if call == 0:
            raise TransientError("warming up")

    model, clock = Does(fail_once), ManualClock()
    engine = engine_of(model, clock, executor=executor)
    assert answers(await engine.infer(rows(1, 2))) == [2, 4]
    assert len(model.calls) == 2
    engine.close()


def test_an_error_of_foretells_own_may_be_marked_transient_too() -> None:
    class Busy(InvalidInput):
        pass

    def fail_once(call: int, batch: Batch) -> None:
        if call == 0:
            raise Busy("try later")

    model = Does(fail_once)
    model.transient = (Busy,)
    engine = engine_of(model, ManualClock())
    assert answers(engine.run(rows(1))) == [2]
    engine.close()


async def test_a_failure_that_passes_is_tried_again_also_while_a_bad_row_is_looked_for() -> None:
    def fail(call: int, batch: Batch) -> None:
        if (batch.dense("x") == 3).any():
            raise ValueError("poison")
        if call == 4:  # of the fourth row alone
            raise Passing("busy")

    model = Does(fail)
    model.transient = (Passing,)
    engine = engine_of(model, executor="thread", retries=1, retry_delay_s=0.0)
    asked = [asyncio.create_task(engine.infer(rows(value))) for value in (1, 2, 3, 4)]
    got = await asyncio.gather(*asked, return_exceptions=True)
    assert [answers(each) for each in got if isinstance(each, Batch)] == [[2.0], [4.0], [8.0]]
    assert isinstance(got[2], ModelError) and "poison" in str(got[2])
    engine.close()
