"""From events to answers: each bad one ends alone, all others have what they would have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from foretell.clock import Clock
from foretell.columns import Batch, spread
from foretell.engine.answers import joined
from foretell.engine.isolate import isolate
from foretell.errors import (
    Cancelled,
    DeadlineExceeded,
    InferenceError,
    InvalidInput,
    ModelError,
    NotReady,
    ReplicaLost,
    RowError,
    TransientError,
    Unavailable,
)
from foretell.events.caller import Caller
from foretell.events.planning import Plan
from foretell.forms.cells import Cells, take
from foretell.forms.chunking import cut
from foretell.forms.json_cells import typed
from foretell.forms.table import to_batch
from foretell.forms.typed import named

Table = Mapping[str, Cells]

_NOT_THE_ROWS = (Cancelled, NotReady, Unavailable)
"""Failures that end the stream: no event is to blame."""
_SPLIT = 32
"""Into so many calls one is cut that has ended its process."""
_MOST_LOST = 50
"""Ends of processes one after the other, without an answer between."""


@dataclass(slots=True)
class Answering:
    """Not safe from several threads. `row_attempts`: how often an event may end its process before it is given up.
    `retries`: what the caller tries by itself after an error that the model marks transient."""

    caller: Caller
    clock: Clock
    row_attempts: int = 2
    retries: int = 0
    lost: int = 0
    """Ends of processes so far."""
    _without_answer: int = 0

    def answer(
        self,
        rows: Sequence[Mapping[str, Any]],
        bad: Mapping[int, RowError],
        plan: Plan,
        deadline: float | None,
    ) -> Batch:
        """One answer for each of `rows`, or its error: those in `bad` do not reach the model.

        `deadline`: of all of them. Raises where no event is to blame.
        """
        table: dict[str, Cells] = {}
        for name, kind in plan.kinds.items():
            table[name], wrong = typed([row.get(name) for row in rows], kind)
            if wrong:
                bad = {**{row: RowError(InvalidInput.code, why) for row, why in named(name, wrong).items()}, **bad}
        call = _Call(self, plan, deadline)
        if not bad:
            return call.answer(table, len(rows))
        return call.without(table, len(rows), bad)

    def answered(self) -> None:
        self._without_answer = 0

    def process_lost(self, error: ReplicaLost) -> None:
        """Opens the model again. Raises `ModelError` where that has no end."""
        self.lost += 1
        self._without_answer += 1
        if self._without_answer > _MOST_LOST:
            what = f"its process ended {_MOST_LOST + 1} times, one after the other: {error.what}"
            raise ModelError(what, where=error.where, fix="look at what the model prints") from None
        self.caller.open_again()


@dataclass(slots=True)
class _Call:
    """Of one group of events."""

    of: Answering
    plan: Plan
    deadline: float | None

    def answer(self, table: Table, rows: int) -> Batch:
        """The answer of every row, or its error."""
        if not rows:
            return Batch({}, 0)

        def part(group: Sequence[int]) -> Batch:
            try:
                return self._run(table, rows, group[0], group[-1] + 1)
            except ReplicaLost as error:
                return self._carefully(_cut(table, group[0], group[-1] + 1), len(group), error)
            except _NOT_THE_ROWS as error:
                raise _Stop(error) from error

        try:
            return part(range(rows))
        except TransientError as error:
            # It was tried again already, and a search would try each of its calls as often.
            return _failed(rows, error, 1 + self.of.retries)
        except DeadlineExceeded as error:
            return _failed(rows, error)
        except InferenceError as error:
            if error.rows and rows > 1:
                return self.without(table, rows, error.rows)
            parts = isolate(range(rows), part, error, 2 * rows)
        except _Stop as stop:
            raise stop.failure from stop.failure.__cause__
        return _joined([a if isinstance(a, Batch) else _failed(len(group), a) for group, a in parts])

    def without(self, table: Table, rows: int, bad: Mapping[int, RowError]) -> Batch:
        """The rows that are known to be bad apart, so that the others need no search."""
        good = np.array([row for row in range(rows) if row not in bad], np.int64)
        if not len(good):
            return Batch({}, rows, dict(bad))
        answer = self.answer({name: take(cells, good) for name, cells in table.items()}, len(good))
        errors = {**bad, **{int(good[row]): error for row, error in answer.errors.items()}}
        return Batch({name: spread(column, good, rows) for name, column in answer.columns.items()}, rows, errors)

    def _run(self, table: Table, rows: int, start: int, stop: int) -> Batch:
        of = self.of
        if self.deadline is not None and of.clock.monotonic() >= self.deadline:
            raise DeadlineExceeded("the time limit of the event passed before the model was free")
        part = table if stop - start == rows else _cut(table, start, stop)
        batch = to_batch(part, stop - start, of.caller.spec, dict(self.plan.columns))
        answer = of.caller.run(batch, self.deadline)
        of.answered()
        return answer

    def _carefully(self, table: Table, rows: int, error: ReplicaLost) -> Batch:
        """A call over these rows has ended its process: which of them does it, is found with smaller ones."""
        self.of.process_lost(error)
        if rows > 1:
            step = -(-rows // _SPLIT)
            parts = [(at, min(at + step, rows)) for at in range(0, rows, step)]
            return _joined([self.answer(_cut(table, at, stop), stop - at) for at, stop in parts])
        for attempt in range(1, self.of.row_attempts):
            try:
                return self._run(table, 1, 0, 1)
            except ReplicaLost as again:
                error = again
                self.of.process_lost(error)
            except DeadlineExceeded as late:
                return _failed(1, late, attempt)
            except _NOT_THE_ROWS:
                raise
            except InferenceError as failure:
                return _failed(1, failure, attempt)
        return _failed(1, _blamed(error), self.of.row_attempts)


class _Stop(Exception):
    """Ends a search."""

    def __init__(self, failure: InferenceError) -> None:
        self.failure = failure


def _cut(table: Table, start: int, stop: int) -> Table:
    return {name: cut(cells, start, stop) for name, cells in table.items()}


def _blamed(error: ReplicaLost) -> InferenceError:
    """What is told of an event that ends processes."""
    if "took longer" in error.what:
        return DeadlineExceeded(f"{error.what.removeprefix('its process ')}", where=error.where)
    return ModelError(f"{error.what} while it computed this event", where=error.where)


def _failed(rows: int, error: InferenceError, attempts: int = 1) -> Batch:
    reason = RowError.of(error, attempts)
    return Batch({}, rows, {row: error.rows.get(row, reason) for row in range(rows)})


def _joined(answers: list[Batch]) -> Batch:
    return joined(answers, "model")
