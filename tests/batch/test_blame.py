"""Who is to blame where a process ends, by what stood on its board."""

from __future__ import annotations

import os
from collections.abc import Iterator
from types import SimpleNamespace
from typing import cast

import pytest

from foretell.batch.blame import Blame
from foretell.batch.board import Board
from foretell.batch.job import Job
from foretell.batch.limits import Limits
from foretell.batch.progress import Nobody
from foretell.batch.shards import InputFile, Shard
from foretell.errors import Cancelled, ModelError, RowError

HOW = "ended with signal 11"
JOB = cast(
    "Job",
    SimpleNamespace(
        data=SimpleNamespace(files=(InputFile("a.parquet", 1, "s"),)),
        plan=SimpleNamespace(shards=(Shard(0, 0, 0, 100, 0, 100), Shard(1, 0, 100, 200, 100, 100))),
    ),
)


class Told(Nobody):
    def __init__(self) -> None:
        self.crashes: list[str] = []
        self.rows: list[str] = []

    def crashed(self, how: str, rows: str) -> None:
        self.crashes.append(rows)

    def left_out(self, rows: str, why: RowError) -> None:
        self.rows.append(f"{rows}: {why.message}")


@pytest.fixture
def board() -> Iterator[Board]:
    made = Board.make()
    yield made
    made.close()
    os.close(made.descriptor)


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def blame(told: Told) -> Blame:
    return Blame(Limits(row_attempts=1), told)


@pytest.mark.parametrize(
    ("stage", "said"), [("predict", "computed"), ("preprocess", "preprocessed"), ("decode", "decoded")]
)
def test_a_row_that_was_alone_is_left_out(board: Board, blame: Blame, told: Told, stage: str, said: str) -> None:
    board.model.enter(stage, 0, 7, 1)  # type: ignore[arg-type]
    blame.learn(JOB, [0, 1], board.seen(), HOW, stuck=False)
    assert told.rows == [f"a.parquet, row 7: the process {HOW} while it {said} this row"]
    assert list(blame.care(0).left_out) == [7] and not blame.care(0).in_turns


def test_of_several_things_none_is_blamed_and_the_next_time_one_is_done_at_a_time(
    board: Board, blame: Blame, told: Told
) -> None:
    board.model.enter("predict", 0, 7, 1)
    board.reader.enter("decode", 0, 9, 1)
    blame.learn(JOB, [0, 1], board.seen(), HOW, stuck=False)
    assert told.crashes == ["shard 0"] and not told.rows
    for shard in (0, 1):
        assert blame.care(shard).in_turns and not blame.care(shard).left_out
    board.model.rest()
    blame.learn(JOB, [0, 1], board.seen(), HOW, stuck=False)
    assert told.rows == [f"a.parquet, row 9: the process {HOW} while it decoded this row"]
    assert blame.care(0).in_turns


def test_of_what_hangs_the_oldest_is_blamed_at_once(board: Board, blame: Blame, told: Told) -> None:
    board.writer.enter("write", 0)
    board.model.enter("predict", 0, 7, 1)
    board.preparer.enter("preprocess", 0, 8, 1)
    blame.learn(JOB, [0], board.seen(), "was killed", stuck=True)
    assert told.rows == ["a.parquet, row 7: the model did not answer this row in time"]


def test_what_ends_outside_of_rows_stops_the_job_at_last(board: Board, blame: Blame, told: Told) -> None:
    board.model.enter("write", 1)
    for _ in range(5):
        blame.learn(JOB, [1], board.seen(), HOW, stuck=False)
    with pytest.raises(ModelError, match=f"processes end while they write shard 1: the last one {HOW}"):
        blame.learn(JOB, [1], board.seen(), HOW, stuck=False)
    assert told.crashes == ["shard 1"] * 5 and not told.rows


def test_a_process_that_ends_over_a_call_shows_nothing_else(board: Board) -> None:
    board.reader.enter("read", 1)
    board.model.enter("predict", 0, 7, 2)
    board.end(board.model)
    board.model.rest()
    board.reader.enter("decode", 1, 3, 1)
    (doing,) = board.seen().doing
    assert (doing.stage, doing.shard, doing.first_row, doing.rows) == ("predict", 0, 7, 2)


def test_a_stage_that_turns_keeps_its_rows_and_both_have_their_time(board: Board) -> None:
    board.model.enter("predict", 0, 7, 2)
    board.model.turn("preprocess")
    (doing,) = board.seen().doing
    assert (doing.stage, doing.first_row, doing.rows) == ("preprocess", 7, 2)
    board.model.turn("predict")
    board.model.rest()
    spent = board.seen().spent_ns
    assert spent["preprocess"] > 0 and spent["predict"] > 0 and not board.seen().doing
    board.model.turn("predict")
    assert not board.seen().doing


def test_once_it_is_stopped_nothing_is_begun(board: Board) -> None:
    board.stop()
    with pytest.raises(Cancelled):
        board.reader.enter("read", 0)
