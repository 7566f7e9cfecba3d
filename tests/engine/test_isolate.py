"""The search for the bad ones: within its budget, and without harm to the good ones."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foretell.columns import Batch
from foretell.engine.answers import join_answers
from foretell.engine.apart import run_apart
from foretell.engine.isolate import budget, isolate
from foretell.errors import InferenceError, InvalidInput, ModelError, NotReady, RowError, TransientError

SHARED = ModelError("the shared call failed")


class Search:
    """Items are their own numbers; a call fails where it holds a bad one."""

    def __init__(self, count: int, bad: set[int]) -> None:
        self.items, self.bad, self.calls = list(range(count)), bad, 0

    def run(self, group: Sequence[int]) -> list[int]:
        self.calls += 1
        if self.bad & set(group):
            raise ModelError(f"bad: {sorted(self.bad & set(group))}")
        return [item * 2 for item in group]

    def outcomes(self, calls: int) -> dict[int, int | InferenceError]:
        found: dict[int, int | InferenceError] = {}
        for group, outcome in isolate(self.items, self.run, SHARED, calls):
            for at, item in enumerate(group):
                assert item not in found, "an item ended twice"
                found[item] = outcome if isinstance(outcome, InferenceError) else outcome[at]
        assert list(found) == self.items, "an item is missing or out of order"
        return found


BAD = st.integers(2, 200).flatmap(
    lambda count: st.tuples(st.just(count), st.sets(st.integers(0, count - 1), min_size=1, max_size=6))
)


@given(BAD)
def test_a_search_with_room_finds_exactly_the_bad_ones(given: tuple[int, set[int]]) -> None:
    search = Search(*given)
    for item, outcome in search.outcomes(10_000).items():
        if item in search.bad:
            assert isinstance(outcome, ModelError) and str(outcome) == f"bad: [{item}]"
        else:
            assert outcome == item * 2


@given(st.integers(2, 2000).flatmap(lambda count: st.tuples(st.just(count), st.integers(0, count - 1))))
def test_the_usual_budget_finds_one_bad_one_among_any_number(given: tuple[int, int]) -> None:
    count, bad = given
    search = Search(count, {bad})
    outcomes = search.outcomes(budget(count))
    assert [item for item, outcome in outcomes.items() if isinstance(outcome, InferenceError)] == [bad]


@given(BAD, st.integers(0, 30))
def test_no_call_is_made_beyond_the_budget_and_nobody_bad_is_answered(given: tuple[int, set[int]], calls: int) -> None:
    search = Search(*given)
    outcomes = search.outcomes(calls)
    assert search.calls <= calls
    assert all(isinstance(outcomes[item], InferenceError) for item in search.bad)


def test_a_hostile_crowd_costs_far_less_than_a_call_each() -> None:
    search = Search(4096, set(range(0, 4096, 2)))
    outcomes = search.outcomes(budget(4096))
    assert all(isinstance(outcomes[item], InferenceError) for item in search.bad)
    assert search.calls < 100


def batch(values: range, bad: set[int]) -> Batch:
    if bad & set(values):
        raise ModelError(f"row {min(bad & set(values))} is bad")
    return Batch.of(y=np.array(values))


@given(st.integers(1, 300), st.sets(st.integers(0, 299), max_size=4))
def test_rows_that_fail_end_alone(count: int, bad: set[int]) -> None:
    bad &= set(range(count))
    answer = run_apart(count, lambda rows: batch(rows, bad), join_answers)
    assert answer.rows == count
    assert {row: error.message for row, error in answer.errors.items()} == {row: f"row {row} is bad" for row in bad}
    if answer.columns:
        assert all(answer.dense("y")[row] == row for row in range(count) if row not in bad)


def test_reasons_that_an_error_names_itself_are_kept() -> None:
    reason = RowError("invalid_input", "its own reason")

    def refuse(rows: range) -> Batch:
        error = InvalidInput("no")
        error.rows = {0: reason}
        raise error

    assert run_apart(1, refuse, join_answers).errors == {0: reason}


@pytest.mark.parametrize("kind", [NotReady, TransientError])
def test_failures_of_the_call_are_nobodys_row(kind: type[InferenceError]) -> None:
    calls = []

    def run(rows: range) -> Batch:
        calls.append(rows)
        raise kind("not now") if len(calls) > 2 else ModelError("bad")

    with pytest.raises(kind):
        run_apart(64, run, join_answers)
    calls.extend([range(0)] * 3)
    with pytest.raises(kind):
        run_apart(64, run, join_answers)
    assert len(calls) < 80


def test_no_error_leads_back_to_the_search() -> None:
    """Its traceback would: both, with the rows they were about, would wait for the garbage collector."""
    outcomes = Search(8, {3}).outcomes(budget(8))
    failure = outcomes[3]
    assert isinstance(failure, ModelError)
    assert failure.__traceback__ is None
