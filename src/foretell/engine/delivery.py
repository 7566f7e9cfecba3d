"""The ends of requests: each is told once, on its own, and none can harm the next."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Sequence

from foretell.columns import Batch, Ragged
from foretell.engine.recorder import Recorder
from foretell.engine.run import Run
from foretell.engine.work import Completed, Work
from foretell.errors import Cancelled, InferenceError, ModelError, rows_failed, said
from foretell.padding import plain


class Delivery:
    """Gives answers and errors to requests, on the loop's thread, and tells the recorder."""

    def __init__(self, recorder: Recorder, loop: asyncio.AbstractEventLoop, name: str) -> None:
        self._recorder, self._loop, self._name = recorder, loop, name
        self.after: Callable[[], None] | None = None
        """Called after answers were handed out; a door writes them to its sockets here."""

    def answer(self, works: Sequence[Work], answer: Batch, started: float, finished: float, run: Run) -> None:
        """Resolves the requests of a batch; `started` and `finished`: when the model ran, in a call of `run`."""
        arrivals: list[float] = []
        for part, rows in _parts(works, answer):
            completed, start = Completed(rows, run), 0
            for work in part:
                stop = start + work.rows
                if not work.ended:
                    work.ended = True
                    try:
                        if work.takes_errors:
                            work.done(completed, start)
                        elif rows.errors and any(start <= row < stop for row in rows.errors):
                            failure = row_failure(rows, start, stop)
                            self._recorder.failed(failure.code)
                            work.fail(failure)
                        else:
                            work.done(completed, start)
                            arrivals.append(work.arrived)
                    except Exception as error:  # of one caller, and none of the others' business
                        self._end([work], self.unexpected(error))
                start = stop
        self._recorder.completed(arrivals, answer.rows, started, finished, run.ctx.padded)
        self.flush()

    def fail(self, works: Sequence[Work], error: InferenceError) -> None:
        """Ends those of `works` that have not ended."""
        waiting = [work for work in works if not work.ended]
        for work in waiting:
            work.ended = True
        self._end(waiting, error)

    def gave_up(self, works: Sequence[Work]) -> None:
        """Ends those of `works` that have not ended: their callers have gone."""
        self.fail(works, Cancelled("the caller gave up", where=self._name))

    def flush(self) -> None:
        if self.after is not None:
            try:
                self.after()
            except Exception as error:
                self._report("writing the answers failed", error)

    def unexpected(self, error: BaseException) -> InferenceError:
        """Any exception as an error that a caller may see."""
        if isinstance(error, InferenceError):
            return error
        failure = ModelError(said(error), where=self._name)
        failure.__cause__ = error
        return failure

    def _end(self, works: Sequence[Work], error: InferenceError) -> None:
        for work in works:
            self._recorder.failed(error.code)
            try:
                work.fail(error)
            except Exception as unexpected:
                self._report("a request could not be told of its end", unexpected)

    def _report(self, message: str, error: Exception) -> None:
        """To whoever runs the loop: it is nobody's answer."""
        self._loop.call_exception_handler({"message": f"{self._name}: {message}", "exception": error})


_Parts = Sequence[tuple[Sequence[Work], Batch]]
"""Requests, and the rows of an answer that are theirs."""


def _parts(works: Sequence[Work], answer: Batch) -> _Parts:
    """Requests whose rows may have one form."""
    if works[0].group.family is not None:
        return by_group(works, answer)
    for column in answer.columns.values():
        if type(column) is Ragged:  # what each request gets of it may still be as long in every row
            return _cut(answer, [[work] for work in works])
    return ((works, answer),)


def by_group(works: Sequence[Work], answer: Batch) -> _Parts:
    """Requests of one length each, and the rows of `answer` that are theirs: as long as without any padding."""
    return _cut(answer, [list(group) for _, group in itertools.groupby(works, lambda work: work.group)])


def _cut(answer: Batch, groups: Sequence[list[Work]]) -> _Parts:
    parts, start = [], 0
    for part in groups:
        stop = start + sum([work.rows for work in part])
        rows = answer.slice(start, stop)
        parts.append((part, rows.with_columns({name: plain(column) for name, column in rows.columns.items()})))
        start = stop
    return parts


def row_failure(answer: Batch, start: int, stop: int) -> InferenceError:
    """The error of a request some of whose rows failed; names the rows as the caller counts them."""
    return rows_failed({row - start: error for row, error in answer.errors.items() if start <= row < stop})
