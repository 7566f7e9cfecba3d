"""What a process that scores is doing at this moment, in memory that the parent sees also when that process is gone."""

from __future__ import annotations

import mmap
import os
import time
from dataclasses import dataclass
from typing import Self

from foretell.batch.seat import memory_file
from foretell.batch.stages import OF_ROWS, STAGES, Stage
from foretell.errors import Cancelled

_LANES = 4
_OF_LANE = ("stage", "shard", "first_row", "rows", "since_ns")
_COUNTED = ("scored", "quarantined", "call_rows", "longest_ns")
_AT = {name: _LANES * len(_OF_LANE) + at for at, name in enumerate((*_COUNTED, *STAGES))}
_BYTES = 8 * (_LANES * len(_OF_LANE) + len(_AT))


@dataclass(frozen=True, slots=True)
class Doing:
    """What one thread does since `since_ns`. `first_row`, `rows`: of the call or the block."""

    stage: Stage
    shard: int
    first_row: int
    rows: int
    since_ns: int


@dataclass(frozen=True, slots=True)
class Seen:
    """The board at one moment. `doing`: what is under way, at most one for each thread."""

    doing: tuple[Doing, ...]
    scored: int
    quarantined: int
    call_rows: int
    longest_ns: int
    spent_ns: dict[Stage, int]

    def seconds(self, now_ns: int | None = None) -> dict[str, float]:
        """What the process has spent in each stage; with `now_ns`, what is under way until then counts."""
        spent = dict(self.spent_ns)
        if now_ns is not None:
            for each in self.doing:
                spent[each.stage] += max(0, now_ns - each.since_ns)
        return {stage: each / 1e9 for stage, each in spent.items()}

    def over_rows(self) -> Doing | None:
        """What has been done to rows for the longest time, of what may end a process or hang."""
        return min((each for each in self.doing if each.stage in OF_ROWS), key=lambda each: each.since_ns, default=None)


class Board:
    """One writer, one reader in another process; each number is written at once.

    Each of the four has a thread of its own at most; where all is done in turns, all of it is shown on `model`.
    """

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._memory = mmap.mmap(descriptor, _BYTES)
        self.numbers = memoryview(self._memory).cast("q")
        self.ended = self.stopped = False
        self.reader, self.preparer, self.model, self.writer = self._lanes = [Lane(self, at) for at in range(_LANES)]

    @classmethod
    def make(cls) -> Self:
        """A new one. Its descriptor belongs to the caller."""
        return cls.on(memory_file())

    @classmethod
    def on(cls, descriptor: int) -> Self:
        """A new one in a file that is empty."""
        os.ftruncate(descriptor, _BYTES)
        return cls(descriptor)

    def end(self, lane: Lane) -> None:
        """What is under way there stays shown, and nothing else: the process ends over it."""
        self.ended = True
        for each in self._lanes:
            if each is not lane:
                each.clear()

    def stop(self) -> None:
        """For threads, which nobody can end from outside: whoever begins a stage from now on gets `Cancelled`."""
        self.stopped = True

    def count(self, scored: int, quarantined: int, call_rows: int) -> None:
        """Rows that have an answer, and rows that have none, since the process began."""
        self.numbers[_AT["scored"]] += scored
        self.numbers[_AT["quarantined"]] += quarantined
        self.numbers[_AT["call_rows"]] = call_rows

    def took(self, stage: Stage, nanoseconds: int) -> None:
        self.numbers[_AT[stage]] += nanoseconds
        if stage == "predict":
            self.numbers[_AT["longest_ns"]] = max(self.numbers[_AT["longest_ns"]], nanoseconds)

    def seen(self) -> Seen:
        numbers = [int(number) for number in self.numbers]
        doing = tuple(each for at in range(_LANES) if (each := _doing(numbers[at * len(_OF_LANE) :])) is not None)
        scored, quarantined, call_rows, longest_ns = (numbers[_AT[name]] for name in _COUNTED)
        spent = {stage: numbers[_AT[stage]] for stage in STAGES}
        return Seen(doing, scored, quarantined, call_rows, longest_ns, spent)

    def close(self) -> None:
        """Its descriptor stays open."""
        self.numbers.release()
        self._memory.close()


class Lane:
    """What one thread does. Only that thread calls it."""

    def __init__(self, board: Board, number: int) -> None:
        self._board, self._at = board, number * len(_OF_LANE)
        self._stage: Stage | None = None
        self._began = 0

    def enter(self, stage: Stage, shard: int, first_row: int = 0, rows: int = 0) -> None:
        """A stage begins; the one before it has ended."""
        board, at = self._board, self._at
        if board.stopped:
            raise Cancelled("the job has ended")
        if board.ended:
            return
        now = self._leave()
        numbers = board.numbers
        numbers[at] = 0
        numbers[at + 1], numbers[at + 2], numbers[at + 3], numbers[at + 4] = shard, first_row, rows, now
        self._show(stage, now)

    def turn(self, stage: Stage) -> None:
        """With the same rows, the next stage begins."""
        if self._stage is None or self._board.ended:
            return
        now = self._leave()
        self._board.numbers[self._at + 4] = now
        self._show(stage, now)

    def rest(self) -> None:
        """Nothing is under way."""
        if not self._board.ended:
            self._leave()
            self.clear()

    def clear(self) -> None:
        self._stage = None
        self._board.numbers[self._at] = 0

    def _show(self, stage: Stage, now: int) -> None:
        self._stage, self._began = stage, now
        self._board.numbers[self._at] = 1 + STAGES.index(stage)

    def _leave(self) -> int:
        now = time.monotonic_ns()
        if self._stage is not None:
            self._board.took(self._stage, now - self._began)
        return now


def _doing(numbers: list[int]) -> Doing | None:
    stage, shard, first_row, rows, since_ns = numbers[: len(_OF_LANE)]
    return Doing(STAGES[stage - 1], shard, first_row, rows, since_ns) if stage else None
