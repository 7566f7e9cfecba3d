"""From rows that were read to rows with an answer: each bad row ends alone, all others have what they would have."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from foretell.batch.block import Block, Scored
from foretell.batch.board import Board
from foretell.batch.call_size import CallSize
from foretell.batch.careful import Care, calls
from foretell.batch.job import ROW
from foretell.batch.watch import Watch
from foretell.columns import Batch, Index
from foretell.engine.answers import joined
from foretell.engine.isolate import isolate
from foretell.engine.replica import Replica
from foretell.errors import (
    Cancelled,
    InferenceError,
    InvalidInput,
    ModelError,
    NotReady,
    ReplicaLost,
    RowError,
    TransientError,
    Unavailable,
    causes,
)
from foretell.forms.cells import Cells, items, plain_value, take
from foretell.forms.json_cells import beyond_64_bits
from foretell.forms.table import to_batch
from foretell.forms.typed import named
from foretell.model import Context

_NOT_THE_ROWS = (Cancelled, NotReady, Unavailable)
"""Failures that end the job: no row is to blame."""


@dataclass(frozen=True, slots=True)
class Lost:
    """A row without an answer. `row`: its number in its file, from 0. `rows`: how many follow it that cannot be read
    either, itself included; None where nobody knows."""

    file: int
    row: int
    key: Mapping[str, Any]
    error: RowError
    rows: int | None = 1


class Scorer:
    """Answers blocks of rows. Not safe from several threads."""

    def __init__(
        self,
        replica: Replica,
        columns: Mapping[str, tuple[str, ...]],
        keys: Sequence[str],
        size: CallSize,
        board: Board,
        files: Sequence[str] = (),
        device: str = "cpu",
        retries: int = 0,
        watch: Watch | None = None,
    ) -> None:
        """`columns`: input -> its columns. `keys`: what stands beside each answer. `files`: names for `FILE`. `watch`:
        is told of each call once what came of it was written."""
        self._replica, self._columns, self._keys, self._size, self._board = replica, columns, keys, size, board
        self._context = Context(device=device)
        self._files, self._retries, self._watch = files, retries, watch

    def score(self, block: Block, shard: int, care: Care, lost: list[Lost]) -> Iterator[Scored]:
        """The answers of `block`, a call at a time; rows without one go to `lost`. Raises where no row is to blame."""
        at, end = block.first_row, block.first_row + block.rows
        while at < end:
            # One call at a time: its size may change with every call.
            first, at = calls(at, end - at, self._size.rows, care.ranges)[0]
            part = block.slice(first - block.first_row, at - block.first_row)
            bad = {row - first: error for row, error in care.left_out.items() if first <= row < at}
            scored, failed = self._part(part, _asked(part, {**self._bad_keys(part), **part.bad, **bad}), shard)
            for row, error in sorted(failed.items()):
                key = {name: _plain(take(cells, np.array([row]))) for name, cells in self._keyed(part).items()}
                lost.append(Lost(block.file, first + row, key, error))
            self._board.count(scored.rows, len(failed), self._size.rows)
            if scored.rows:
                yield scored
            if self._watch is not None:
                self._watch.after(part.rows)

    def _part(self, part: Block, bad: Mapping[int, RowError], shard: int) -> tuple[Scored, Mapping[int, RowError]]:
        """The rows of one call that have an answer, and the errors of the others by their number in it."""
        good = _good(part, bad)
        columns = part.columns if good is None else {name: take(c, good) for name, c in part.columns.items()}
        rows = part.rows if good is None else len(good)
        self._board.enter("predict", shard, part.first_row, part.rows)
        try:
            answer = self._answer(columns, rows) if rows else Batch({}, 0)
        finally:
            self._board.rest()
        numbers = np.arange(rows) if good is None else good
        failed = {**bad, **{int(numbers[row]): error for row, error in answer.errors.items()}}
        keys = self._keyed(part)
        if good is None and not failed:
            return Scored(keys, answer), failed
        kept = np.array([row for row in range(answer.rows) if row not in answer.errors], np.int64)
        answered = answer.take(kept) if len(kept) and answer.columns else Batch({}, 0)
        return Scored({name: take(cells, numbers[kept]) for name, cells in keys.items()}, answered), failed

    def _bad_keys(self, part: Block) -> dict[int, RowError]:
        bad: dict[int, RowError] = {}
        for name in self._keys:
            cells = part.columns.get(name)
            if isinstance(cells, list):  # of JSON
                wrong = named(name, beyond_64_bits(cells))
                bad |= {row: RowError(InvalidInput.code, why) for row, why in wrong.items()}
        return bad

    def _keyed(self, part: Block) -> dict[str, Cells]:
        made: dict[str, Cells] = {}
        for name in self._keys:
            if name in part.columns:
                made[name] = part.columns[name]
            elif name == ROW:
                made[name] = np.arange(part.first_row, part.first_row + part.rows)
            else:
                made[name] = [self._files[part.file]] * part.rows
        return made

    def _answer(self, columns: Mapping[str, Cells], rows: int) -> Batch:
        """The answer of every row, or its error."""

        def run(group: Sequence[int]) -> Batch:
            return self._run(columns, rows, group[0], group[-1] + 1)

        try:
            return run(range(rows))
        except _NOT_THE_ROWS:
            raise
        except TransientError as error:
            # It was tried again already, and a search would try each of its calls as often.
            return _failed(rows, error, 1 + self._retries)
        except InferenceError as error:
            if _out_of_memory(error) and self._size.shrink():
                return self._smaller(columns, rows)
            if error.rows and rows > 1:
                return self._without(columns, rows, error.rows)
            # Unlike a server, a job has nobody who sends bad rows to make it work more: the search goes to its end.
            parts = isolate(range(rows), run, error, 2 * rows)
        return self._joined([a if isinstance(a, Batch) else _failed(len(group), a) for group, a in parts])

    def _run(self, columns: Mapping[str, Cells], rows: int, start: int, stop: int) -> Batch:
        whole = stop - start == rows
        part = columns if whole else Block(columns, rows, 0, 0).slice(start, stop).columns
        batch = to_batch(part, stop - start, self._replica.model.spec, dict(self._columns))
        began = time.monotonic()
        try:
            answer = self._replica.run(batch, self._context)
        except ReplicaLost:
            self._board.end()
            raise
        except KeyboardInterrupt as error:  # nobody's Ctrl-C gets here: the model has raised it, as it may anything
            raise ModelError("predict failed: KeyboardInterrupt") from error
        if whole:
            self._size.learn(stop - start, time.monotonic() - began)
        return answer

    def _joined(self, answers: list[Batch]) -> Batch:
        return joined(answers, "model")

    def _smaller(self, columns: Mapping[str, Cells], rows: int) -> Batch:
        """The same rows in smaller calls, since memory was too small for this one."""
        block = Block(columns, rows, 0, 0)
        size = self._size.rows
        starts = range(0, rows, size)
        return self._joined([
            self._answer(block.slice(at, min(at + size, rows)).columns, min(size, rows - at)) for at in starts
        ])  # fmt: skip

    def _without(self, columns: Mapping[str, Cells], rows: int, bad: Mapping[int, RowError]) -> Batch:
        """The rows that are known to be bad apart, so that the others need no search."""
        from foretell.columns import spread

        good = np.array([row for row in range(rows) if row not in bad], np.int64)
        if not len(good):
            return Batch({}, rows, dict(bad))
        answer = self._answer({name: take(cells, good) for name, cells in columns.items()}, len(good))
        errors = {**bad, **{int(good[row]): error for row, error in answer.errors.items()}}
        return Batch({name: spread(column, good, rows) for name, column in answer.columns.items()}, rows, errors)


def _asked(part: Block, bad: Mapping[int, RowError]) -> Mapping[int, RowError]:
    """Of the rows that are bad those that somebody asks for."""
    aside = part.set_aside
    return bad if aside is None else {row: error for row, error in bad.items() if not aside[row]}


def _good(part: Block, bad: Mapping[int, RowError]) -> Index | None:
    """The rows of a call, None for all."""
    if part.set_aside is None and not bad:
        return None
    good = np.ones(part.rows, np.bool_) if part.set_aside is None else ~part.set_aside
    good[list(bad)] = False
    return np.flatnonzero(good)


def _failed(rows: int, error: InferenceError, attempts: int = 1) -> Batch:
    reason = RowError.of(error, attempts)
    return Batch({}, rows, {row: error.rows.get(row, reason) for row in range(rows)})


def _out_of_memory(error: BaseException) -> bool:
    """Whether memory was too small, on the host or on a device, as the runtimes say it."""
    for each in causes(error):
        text = str(each).lower()
        if isinstance(each, MemoryError) or "bad_alloc" in text or "bad allocation" in text:
            return True
        if "out of memory" in text or "failed to allocate memory" in text:
            return True
    return False


def _plain(cells: Cells) -> Any:
    """The one cell as a value of JSON."""
    return plain_value(items(cells)[0])
