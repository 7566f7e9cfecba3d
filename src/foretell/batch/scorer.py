"""From rows that were read to rows with an answer: each bad row ends alone, all others have what they would have."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from foretell.batch.block import Block, Scored
from foretell.batch.board import Board
from foretell.batch.call_size import CallSize
from foretell.batch.careful import Care, calls
from foretell.batch.job import ROW
from foretell.batch.watch import Watch
from foretell.columns import Batch, Index
from foretell.engine.ahead import run_ahead
from foretell.engine.answers import joined
from foretell.engine.isolate import isolate
from foretell.engine.replica import Prepared, Replica
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


@dataclass(frozen=True, slots=True)
class _Call:
    """Rows for one call. `bad`: those of `part` that have an error already; `good`: the others, None for all; `columns`
    and `rows`: theirs."""

    part: Block
    bad: Mapping[int, RowError]
    good: Index | None
    columns: Mapping[str, Cells]
    rows: int
    prepared: Prepared | None = None


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

    def score(
        self, blocks: Iterable[Block | Lost], shard: int, care: Care, lost: list[Lost], *, overlap: bool = False
    ) -> Generator[Scored]:
        """The answers of `blocks`, a call at a time; rows without one go to `lost`, in order. Raises where no row is to
        blame. With `overlap`, another thread takes `blocks` and preprocesses the next call while this one predicts.
        """
        made = self._calls(blocks, care)
        if overlap and self._replica.model.prepares:
            with closing(run_ahead(made, partial(self._prepared, shard), 1)) as ahead:
                yield from self._answers(ahead, shard, lost)
        else:
            yield from self._answers(made, shard, lost)

    def _answers(self, made: Iterable[_Call | Lost], shard: int, lost: list[Lost]) -> Iterator[Scored]:
        for call in made:
            if isinstance(call, Lost):
                lost.append(call)
                continue
            part = call.part
            scored, failed = self._answered(call, shard)
            for row, error in sorted(failed.items()):
                key = {name: _plain(take(cells, np.array([row]))) for name, cells in self._keyed(part).items()}
                lost.append(Lost(part.file, part.first_row + row, key, error))
            self._board.count(scored.rows, len(failed), self._size.rows)
            if scored.rows:
                yield scored
            if self._watch is not None:
                self._watch.after(part.rows)

    def _calls(self, blocks: Iterable[Block | Lost], care: Care) -> Iterator[_Call | Lost]:
        for block in blocks:
            if isinstance(block, Lost):
                yield block
                continue
            at, end = block.first_row, block.first_row + block.rows
            while at < end:
                # One call at a time: its size may change with every call.
                first, at = calls(at, end - at, self._size.rows, care.ranges)[0]
                part = block.slice(first - block.first_row, at - block.first_row)
                left_out = {row - first: error for row, error in care.left_out.items() if first <= row < at}
                bad = _asked(part, {**self._bad_keys(part), **part.bad, **left_out})
                good = _good(part, bad)
                columns = part.columns if good is None else {name: take(c, good) for name, c in part.columns.items()}
                yield _Call(part, bad, good, columns, part.rows if good is None else len(good))

    def _prepared(self, shard: int, call: _Call | Lost) -> _Call | Lost:
        """Of another thread. Where it fails, whoever makes the call finds out, and tells of it."""
        if isinstance(call, Lost) or not self._preprocesses(call.rows):
            return call
        self._board.preparer.enter("preprocess", shard, call.part.first_row, call.part.rows)
        try:
            batch = to_batch(call.columns, call.rows, self._replica.model.spec, dict(self._columns))
            return replace(call, prepared=self._replica.prepare(batch, self._context))
        except (InferenceError, KeyboardInterrupt):
            return call
        finally:
            self._board.preparer.rest()

    def _preprocesses(self, rows: int) -> bool:
        """Whether the model has something to do before `predict` for so many rows, and takes them at once."""
        return 0 < rows <= self._replica.settings.max_batch_size and self._replica.model.prepares

    def _answered(self, call: _Call, shard: int) -> tuple[Scored, Mapping[int, RowError]]:
        """The rows of one call that have an answer, and the errors of the others by their number in it."""
        part, good, rows, bad = call.part, call.good, call.rows, call.bad
        self._board.model.enter("predict", shard, part.first_row, part.rows)
        try:
            answer = self._answer(call.columns, rows, call.prepared) if rows else Batch({}, 0)
        finally:
            self._board.model.rest()
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

    def _answer(self, columns: Mapping[str, Cells], rows: int, prepared: Prepared | None = None) -> Batch:
        """The answer of every row, or its error."""

        def run(group: Sequence[int]) -> Batch:
            return self._run(columns, rows, group[0], group[-1] + 1)

        try:
            return self._run(columns, rows, 0, rows, prepared)
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

    def _run(
        self, columns: Mapping[str, Cells], rows: int, start: int, stop: int, prepared: Prepared | None = None
    ) -> Batch:
        whole = stop - start == rows
        call: Callable[[], Batch]
        if prepared is None:
            part = columns if whole else Block(columns, rows, 0, 0).slice(start, stop).columns
            batch = to_batch(part, stop - start, self._replica.model.spec, dict(self._columns))
            call = partial(self._call, batch)
        else:
            call = partial(self._replica.finish, prepared, self._context)
        began = time.monotonic()
        try:
            answer = call()
        except ReplicaLost:
            self._board.end(self._board.model)
            raise
        except KeyboardInterrupt as error:  # nobody's Ctrl-C gets here: the model has raised it, as it may anything
            raise ModelError("predict failed: KeyboardInterrupt") from error
        if whole:
            self._size.learn(stop - start, time.monotonic() - began)
        return answer

    def _call(self, batch: Batch) -> Batch:
        if not self._preprocesses(batch.rows):
            return self._replica.run(batch, self._context)
        self._board.model.turn("preprocess")
        prepared = self._replica.prepare(batch, self._context)
        self._board.model.turn("predict")
        return self._replica.finish(prepared, self._context)

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
