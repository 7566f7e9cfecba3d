"""What a process that scores is doing at this moment, in memory that the parent sees also when that process is gone."""

from __future__ import annotations

import mmap
import os
import time
from dataclasses import dataclass
from typing import Literal, Self

from foretell.batch.seat import memory_file

STAGES = ("idle", "read", "predict", "write", "decode")
Stage = Literal["idle", "read", "predict", "write", "decode"]
"""decode: of reading, what may end the process. Its time counts as reading."""
_FIELDS = ("stage", "shard", "first_row", "rows", "since_ns", "scored", "quarantined", "read_ns", "predict_ns",
           "write_ns", "call_rows", "longest_ns")  # fmt: skip
_AT = {name: at for at, name in enumerate(_FIELDS)}
_BYTES = 8 * len(_FIELDS)


@dataclass(frozen=True, slots=True)
class Seen:
    """The board at one moment. `first_row`, `rows`: of the call or the block that is under way in `stage`."""

    stage: Stage
    shard: int
    first_row: int
    rows: int
    since_ns: int
    scored: int
    quarantined: int
    read_ns: int
    predict_ns: int
    write_ns: int
    call_rows: int
    longest_ns: int

    def seconds(self, now_ns: int | None = None) -> dict[str, float]:
        """What the process has spent in each stage; with `now_ns`, the stage that is under way until then counts."""
        spent = {"read": self.read_ns, "predict": self.predict_ns, "write": self.write_ns}
        if now_ns is not None and self.stage != "idle":
            spent["read" if self.stage == "decode" else self.stage] += max(0, now_ns - self.since_ns)
        return {stage: each / 1e9 for stage, each in spent.items()}


class Board:
    """One writer, one reader in another process; each number is written at once."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._memory = mmap.mmap(descriptor, _BYTES)
        self._numbers = memoryview(self._memory).cast("q")
        self._began = 0
        self._last = False

    @classmethod
    def make(cls) -> Self:
        """A new one. Its descriptor belongs to the caller."""
        return cls.on(memory_file())

    @classmethod
    def on(cls, descriptor: int) -> Self:
        """A new one in a file that is empty."""
        os.ftruncate(descriptor, _BYTES)
        return cls(descriptor)

    def enter(self, stage: Stage, shard: int, first_row: int = 0, rows: int = 0) -> None:
        """A stage begins; the one before it has ended."""
        if self._last:
            return
        now = time.monotonic_ns()
        self._leave(now)
        numbers = self._numbers
        numbers[_AT["shard"]], numbers[_AT["first_row"]], numbers[_AT["rows"]] = shard, first_row, rows
        numbers[_AT["since_ns"]] = self._began = now
        numbers[_AT["stage"]] = STAGES.index(stage)

    def rest(self) -> None:
        """Nothing is under way."""
        if self._last:
            return
        self._leave(time.monotonic_ns())
        self._numbers[_AT["stage"]] = 0

    def end(self) -> None:
        """What is under way stays shown: the process ends over it."""
        self._last = True

    def count(self, scored: int, quarantined: int, call_rows: int) -> None:
        """Rows that have an answer, and rows that have none, since the process began."""
        self._numbers[_AT["scored"]] += scored
        self._numbers[_AT["quarantined"]] += quarantined
        self._numbers[_AT["call_rows"]] = call_rows

    def seen(self) -> Seen:
        stage, *rest = (int(number) for number in self._numbers)
        return Seen(STAGES[stage], *rest)  # type: ignore[arg-type]

    def close(self) -> None:
        """Its descriptor stays open."""
        self._numbers.release()
        self._memory.close()

    def _leave(self, now: int) -> None:
        stage = STAGES[self._numbers[_AT["stage"]]]
        took = now - self._began
        if stage != "idle":
            self._numbers[_AT["read_ns" if stage == "decode" else f"{stage}_ns"]] += took
        if stage == "predict":
            self._numbers[_AT["longest_ns"]] = max(self._numbers[_AT["longest_ns"]], took)
