"""Whether a process that scores hangs, by what stands on its board."""

from __future__ import annotations

import os
import queue
import time
from collections.abc import Iterator

import pytest

from foretell.batch.board import Board, Seen
from foretell.batch.hand_state import HandState
from foretell.batch.local_hand import LocalHand
from foretell.batch.tasks import Load, Loaded

_LONG_NS = 60 * 10**9
_SINCE = 14
"""Where the moment in which a stage of the model's thread began stands among the numbers of a board."""


class _Late(Board):
    """The moment of its stage is seen after the stage itself, as ARM may show it."""

    def seen(self) -> Seen:
        found = super().seen()
        self.numbers[_SINCE] = time.monotonic_ns()
        return found


def load(task: Load) -> Loaded:
    raise NotImplementedError(task)


@pytest.fixture
def state() -> Iterator[HandState]:
    hand = LocalHand(load, queue.Queue())
    yield HandState(hand, "cpu")
    hand.leave()
    hand.close()


def long_ago(board: Board) -> None:
    board.numbers[_SINCE] = time.monotonic_ns() - _LONG_NS


def test_a_call_hangs_that_takes_longer_than_it_may(state: HandState) -> None:
    assert not state.hangs(1.0)
    state.hand.board.model.enter("predict", 0)
    assert not state.hangs(1.0)
    long_ago(state.hand.board)
    assert state.hangs(1.0)
    assert not state.hangs(120.0)
    assert not state.hangs(None)


@pytest.mark.parametrize("stage", ["read", "write"])
def test_what_is_no_call_takes_the_time_that_it_takes(state: HandState, stage: str) -> None:
    state.hand.board.model.enter(stage, 0)  # type: ignore[arg-type]
    long_ago(state.hand.board)
    assert not state.hangs(1.0)


def test_a_call_that_has_just_begun_does_not_hang_whatever_is_seen_first(state: HandState) -> None:
    board = state.hand.board
    state.hand.board = late = _Late(os.dup(board.descriptor))
    late.model.enter("predict", 0)
    long_ago(late)
    assert not state.hangs(1.0)
    state.hand.board = board
    late.close()
    os.close(late.descriptor)
