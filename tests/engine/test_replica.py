"""One batch through the stages of one model."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from engine_models import WAIT_S, Does, Doubler, Gated, answers, rows
from hypothesis import given
from hypothesis import strategies as st

from foretell.clock import ManualClock
from foretell.columns import Batch, Bytes, Dense
from foretell.config import ModelSettings
from foretell.engine.answers import join_answers
from foretell.engine.replica import Replica
from foretell.errors import Cancelled, DeadlineExceeded, InvalidInput, ModelError, NotReady, RowError, TransientError
from foretell.model import Context, Model


def replica_of(model: Model, clock: ManualClock | None = None, **settings: Any) -> Replica:
    return Replica(model, ModelSettings(**settings), clock or ManualClock(), "model 'm'")


class Stages(Model):
    """Adds a digit in each stage; fails the rows that each stage is told to, by their value."""

    def __init__(self, before: set[int], inside: set[int], after: set[int]) -> None:
        self.bad = {"preprocess": before, "predict": inside, "postprocess": after}
        self.given: dict[str, list[int]] = {}

    def _stage(self, name: str, batch: Batch, column: str, to: str) -> Batch:
        values = batch.dense(column)
        self.given[name] = values[:, 0].tolist()
        errors = {
            row: RowError("model_error", f"{name} {int(value)}")
            for row, value in enumerate(values[:, 0])
            if int(value) in self.bad[name]
        }
        return Batch({to: Dense(np.column_stack([values, values[:, 0] * 10]))}, batch.rows, errors)

    def preprocess(self, batch: Batch, ctx: Context) -> Batch:
        return self._stage("preprocess", batch, "x", "a")

    def predict(self, batch: Batch, ctx: Context) -> Batch:
        return self._stage("predict", batch, "a", "b")

    def postprocess(self, batch: Batch, ctx: Context) -> Batch:
        return self._stage("postprocess", batch, "b", "y")


BAD = st.sets(st.integers(0, 11), max_size=6)


@given(before=BAD, inside=BAD, after=BAD, given=BAD, most=st.integers(1, 20))
def test_failed_rows_leave_before_the_next_stage_and_come_back_in_their_places(
    before: set[int], inside: set[int], after: set[int], given: set[int], most: int
) -> None:
    model = Stages(before, inside, after)
    batch = Batch.of(x=np.arange(12).reshape(12, 1)).with_errors({n: RowError("invalid_input", "came") for n in given})
    answer = replica_of(model, max_batch_size=most).run(batch, Context())
    expected = dict.fromkeys(given, "came")
    for stage, bad in [("preprocess", before), ("predict", inside), ("postprocess", after)]:
        alive = set(range(12)) - set(expected)
        if most >= 12:
            assert set(model.given.get(stage, [])) == alive
        expected |= {n: f"{stage} {n}" for n in bad & alive}
    assert {row: error.message for row, error in answer.errors.items()} == expected
    assert answer.rows == 12
    for row in set(range(12)) - set(expected):
        assert answer.dense("y")[row].tolist() == [row, row * 10, row * 10, row * 10]
    if len(expected) < 12:
        assert len(answer.columns["y"]) == 12


@given(total=st.integers(0, 40), most=st.integers(1, 15))
def test_no_call_has_more_rows_than_allowed(total: int, most: int) -> None:
    model = Doubler()
    answer = replica_of(model, max_batch_size=most).run(rows(*range(total)), Context())
    assert answers(answer) == [2 * n for n in range(total)]
    assert max(model.calls) <= most
    assert len(model.calls) == max(1, -(-total // most))


@pytest.mark.parametrize("spec", [{"row_wise": False}, {"batch": None}, {"stateful": True}])
def test_calls_that_are_one_thing_are_not_split(spec: dict[str, Any]) -> None:
    model = Doubler(**spec)
    replica_of(model, max_batch_size=2).run(rows(1, 2, 3), Context())
    assert model.calls == [3]


def test_pieces_that_fail_whole_row_by_row_join_with_those_that_do_not() -> None:
    def picky(call: int, batch: Batch) -> Batch | None:
        return None if call == 1 else Batch({}, batch.rows, dict.fromkeys(range(batch.rows), RowError("c", "m")))

    answer = replica_of(Does(picky), max_batch_size=2).run(rows(1, 2, 3, 4, 5), Context())
    assert set(answer.errors) == {0, 1, 4}
    assert answers(answer)[2:4] == [6, 8]


def test_a_stage_that_changes_the_outputs_between_pieces_is_an_error() -> None:
    names = ["y", "z"]
    model = Does(lambda call, batch: Batch({names[call]: batch.columns["x"]}, batch.rows))
    with pytest.raises(ModelError, match="its answers do not go together"):
        replica_of(model, max_batch_size=1).run(rows(1, 2), Context())


WRONG: dict[str, Callable[[Batch], Any]] = {
    "None": lambda batch: (),
    "an array": lambda batch: batch.dense(next(iter(batch.columns))),
    "a dict": lambda batch: {"y": batch.rows},
    "too few rows": lambda batch: batch.slice(0, 1),
    "too many rows": lambda batch: Batch.of(y=np.zeros(9)),
    "a short column": lambda batch: Batch({"y": Dense(np.zeros(1))}, batch.rows),
    "an array as column": lambda batch: Batch({"y": np.zeros(3)}, batch.rows),  # type: ignore[dict-item]
    "a list as data": lambda batch: Batch({"y": Dense([1.0, 2.0, 3.0])}, batch.rows),  # type: ignore[arg-type]
    "a scalar as data": lambda batch: Batch({"y": Dense(np.array(1.0))}, batch.rows),
    "an error beyond the rows": lambda batch: batch.with_errors({3: RowError("c", "m")}),
    "an error before the rows": lambda batch: batch.with_errors({-1: RowError("c", "m")}),
    "an error that is none": lambda batch: batch.with_errors({0: "bad"}),  # type: ignore[dict-item]
}


@pytest.mark.parametrize("stage", ["preprocess", "predict", "postprocess"])
@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_no_answer_is_an_error_that_names_the_stage(stage: str, wrong: str) -> None:
    def odd(self: Model, batch: Batch, ctx: Context) -> Any:
        return WRONG[wrong](batch)

    kind = type("Odd", (Doubler,), {stage: odd})
    with pytest.raises(ModelError, match=rf"^model 'm': {stage} (gave|changed)"):
        replica_of(kind()).run(rows(1, 2, 3), Context())


@pytest.mark.parametrize("error", [ValueError("v"), SystemExit(3), GeneratorExit(), MemoryError(), RecursionError("r")])
@pytest.mark.parametrize("stage", ["preprocess", "predict", "postprocess"])
def test_what_a_stage_raises_is_an_error_of_the_model_with_its_cause(error: BaseException, stage: str) -> None:
    def fails(self: Model, batch: Batch, ctx: Context) -> Batch:
        raise error

    kind = type("Failing", (Doubler,), {stage: fails})
    with pytest.raises(ModelError, match=f"{stage} failed: {type(error).__name__}") as caught:
        replica_of(kind()).run(rows(1), Context())
    assert caught.value.__cause__ is error
    assert caught.value.retryable is isinstance(error, MemoryError)


def test_an_interrupt_from_the_keyboard_is_for_who_runs_the_process() -> None:
    def interrupted(call: int, batch: Batch) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        replica_of(Does(interrupted)).run(rows(1), Context())


def test_errors_of_foretells_own_come_out_as_they_are() -> None:
    mine = InvalidInput("the third value is odd", where="input 'x'")

    def refuse(call: int, batch: Batch) -> None:
        raise mine

    with pytest.raises(InvalidInput) as caught:
        replica_of(Does(refuse)).run(rows(1), Context())
    assert caught.value is mine


def test_an_empty_call_goes_through_every_stage() -> None:
    model = Stages(set(), set(), set())
    answer = replica_of(model).run(Batch.of(x=np.zeros((0, 1))), Context())
    assert list(answer.columns) == ["y"] and answer.rows == 0
    assert set(model.given) == {"preprocess", "predict", "postprocess"}


def test_where_every_row_has_failed_the_model_is_left_alone() -> None:
    model = Stages({0, 1}, set(), set())
    answer = replica_of(model).run(Batch.of(x=np.arange(2).reshape(2, 1)), Context())
    assert set(answer.errors) == {0, 1} and answer.rows == 2
    assert set(model.given) == {"preprocess"}


@pytest.mark.parametrize("concurrent", [False, True])
def test_calls_overlap_only_where_the_model_says_they_may(concurrent: bool) -> None:
    together = threading.Barrier(4)

    def meet(call: int, batch: Batch) -> None:
        if concurrent:
            together.wait(WAIT_S)

    model = Does(meet, concurrent=concurrent)
    replica = replica_of(model)
    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(replica.run, rows(n), Context()) for n in range(4)]
        assert [answers(future.result(WAIT_S)) for future in asked] == [[0], [2], [4], [6]]
    assert model.most_at_once == (4 if concurrent else 1)


def test_expired_and_abandoned_calls_never_reach_the_model() -> None:
    model, clock = Doubler(), ManualClock(5.0)
    replica = replica_of(model, clock)
    with pytest.raises(DeadlineExceeded):
        replica.run(rows(1), Context(deadline=5.0))
    with pytest.raises(Cancelled):
        replica.run(rows(1), Context(cancelled=lambda: True))
    assert model.calls == []
    assert answers(replica.run(rows(1), Context(deadline=5.1))) == [2]


def test_a_retry_begins_at_the_model_and_not_at_the_host_work() -> None:
    class Flaky(Stages):
        tries = 0

        def predict(self, batch: Batch, ctx: Context) -> Batch:
            self.tries += 1
            if self.tries < 3:
                raise TransientError("busy")
            return super().predict(batch, ctx)

        def preprocess(self, batch: Batch, ctx: Context) -> Batch:
            assert not self.tries, "the host work was done again"
            return super().preprocess(batch, ctx)

    model = Flaky(set(), set(), set())
    answer = replica_of(model).run(Batch.of(x=np.ones((1, 1), np.int64)), Context())
    assert answer.dense("y")[0, 0] == 1
    assert model.tries == 3


def test_closing_waits_for_the_call_under_way_and_lets_none_begin() -> None:
    model = Gated()
    replica = replica_of(model)
    with ThreadPoolExecutor(2) as pool:
        running = pool.submit(replica.run, rows(1), Context())
        assert model.started.wait(WAIT_S)
        closing = pool.submit(replica.close, WAIT_S)
        with pytest.raises(NotReady, match="closed"):
            while True:  # until the other thread has come to close it
                replica._calls.begin()
                replica._calls.end()
        assert model.closed == 0
        model.gate.set()
        assert answers(running.result(WAIT_S)) == [2]
        closing.result(WAIT_S)
    assert model.closed == 1


def test_a_model_is_not_closed_under_a_call_that_never_ends() -> None:
    model = Gated()
    replica = replica_of(model)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(replica.run, rows(1), Context())
        assert model.started.wait(WAIT_S)
        replica.close(0.0)
        assert model.closed == 0
        model.gate.set()
        running.result(WAIT_S)


@given(st.lists(st.tuples(st.integers(0, 4), st.booleans()), min_size=1, max_size=6))
def test_joined_answers_have_every_row_and_every_error(parts: list[tuple[int, bool]]) -> None:
    made, expected, at = [], {}, 0
    for count, failed in parts:
        errors = {row: RowError("c", str(at + row)) for row in range(count)} if failed else {}
        columns = {} if failed else {"y": Dense(np.arange(at, at + count)), "t": Bytes.of(["w"] * count)}
        made.append(Batch(columns, count, errors))
        expected |= {at + row: str(at + row) for row in errors}
        at += count
    whole = join_answers(made)
    assert whole.rows == at
    assert {row: error.message for row, error in whole.errors.items()} == expected
    for row in set(range(at)) - set(expected):
        assert whole.dense("y")[row] == row


def test_columns_of_another_length_than_the_call_never_reach_the_model() -> None:
    model = Doubler(inputs=None)
    with pytest.raises(InvalidInput, match="wrong number of rows; expected 2, got 3"):
        replica_of(model).run(Batch({"x": Dense(np.zeros(3))}, 2), Context())
    assert model.calls == []
