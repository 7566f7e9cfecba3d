"""A stream at work: reading, predicting and writing go on at the same time, in bounded memory, in order."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from foretell.clock import LOOK_S, Clock
from foretell.columns import Batch
from foretell.engine.policy import rows_within
from foretell.engine.profile import Profile
from foretell.errors import DeadlineExceeded, InvalidInput, RowError
from foretell.events.answering import Answering
from foretell.events.belt import Belt
from foretell.events.interfaces import Sink, Source
from foretell.events.loads import Answered, Parsed, bad_of
from foretell.events.planning import Plan
from foretell.events.writing import Writing
from foretell.forms.json_cells import beyond_64_bits
from foretell.forms.typed import named

_MOST_BYTES = 8 * 2**20
"""Of the text of events between two of the three."""
_CALL_S = 0.5
"""What a call should take at most: a stream that is to stop waits for its end."""
_DRAIN_S = 10.0
"""How long a sink that takes nothing is waited for once the stream is to stop."""


@dataclass(frozen=True, slots=True)
class Terms:
    """`keys`: fields that stand beside an answer. `planned`: decides which fields become which inputs, from the first
    events. `most_rows`: of one call. `timeout_s`: from when an event was read to its answer."""

    planned: Callable[[Sequence[Mapping[str, Any]]], Plan]
    most_rows: int
    timeout_s: float | None = None
    keys: Sequence[str] = ()


class Processor:
    """Reads in one thread, predicts in that of the caller, writes in another. `stop` may be called by any thread, also
    by a signal handler."""

    def __init__(
        self,
        source: Source,
        sink: Sink,
        answering: Answering,
        writing: Writing,
        terms: Terms,
        plan: Plan | None,
        first_row: int,
        clock: Clock,
        went_on: Callable[[], None],
    ) -> None:
        """`plan`: what an earlier run has decided. `first_row`: the number of the next event. `went_on`: told after
        each write and each commit, by the thread that writes."""
        self._source, self._sink, self._answering, self._writing = source, sink, answering, writing
        self._terms, self._plan, self._row, self._clock, self._went_on = terms, plan, first_row, clock, went_on
        self._read: Belt[Parsed] = Belt(2 * terms.most_rows, _MOST_BYTES)
        self._answered: Belt[Answered] = Belt(2 * terms.most_rows, _MOST_BYTES)
        self._profile = Profile()
        self._failure: BaseException | None = None
        self._done = threading.Event()
        self.stopping = False
        self.calls = 0

    def run(self) -> None:
        """Returns at the end of the source, or once it is stopped: then all that was read is answered, or left for the
        next run where the source resumes. Raises the first failure; what could be committed is committed.
        """
        reader = threading.Thread(target=self._reads, name="foretell-stream-read", daemon=True)
        writer = threading.Thread(target=self._writes, name="foretell-stream-write", daemon=True)
        watch = threading.Thread(target=self._watches, name="foretell-stream-watch", daemon=True)
        for thread in (reader, writer, watch):
            thread.start()
        try:
            while (parts := self._read.take(self._rows())) is not None:
                for load in self._answers(parts):
                    if not self._answered.put(load):
                        return
        except KeyboardInterrupt:
            self._sink.give_up()
            raise
        finally:
            self._source.stop()
            self._read.break_off()
            self._answered.end()
            self._join(writer)
            self._done.set()
            reader.join()
            watch.join()
            if self._failure is not None:
                raise self._failure

    def stop(self) -> None:
        """Takes no further event in, and lets `run` end."""
        self.stopping = True
        self._source.stop()

    def _reads(self) -> None:
        try:
            while (events := self._source.poll(self._rows())) is not None:
                if not self._read.put(Parsed.of(events, self._clock.monotonic())):
                    break
        except BaseException as error:
            self._failed(error)
        if self.stopping and self._source.resumes:
            self._read.break_off()  # what is left of it is there for the next run
        self._read.end()

    def _writes(self) -> None:
        writing = self._writing
        try:
            while (loads := self._answered.take(1, writing.wait_s)) is not None:
                for load in loads:
                    writing.write(load)
                    self._went_on()
                if writing.wait_s == 0.0:
                    writing.commit()
                    self._went_on()
            writing.commit()
        except BaseException as error:
            self._failed(error)
            self._source.stop()
            self._read.break_off()
            self._answered.break_off()

    def _watches(self) -> None:
        """A sink that takes nothing is given up where the stream is to stop."""
        if self._sink.resumes:
            return  # it waits for nobody
        asked_at: float | None = None
        while not self._done.wait(LOOK_S):
            now = self._clock.monotonic()
            asked_at = now if self.stopping and asked_at is None else asked_at
            if asked_at is not None and now - asked_at >= _DRAIN_S:
                self._sink.give_up()

    def _join(self, writer: threading.Thread) -> None:
        try:
            while writer.is_alive():
                writer.join(LOOK_S)  # not longer: a second signal may ask to give up
        except KeyboardInterrupt:
            self._sink.give_up()
            raise

    def _failed(self, error: BaseException) -> None:
        self._failure = self._failure or error

    def _rows(self) -> int:
        """The most rows of the next call."""
        limit_s = _CALL_S if self._terms.timeout_s is None else min(_CALL_S, self._terms.timeout_s / 4)
        return rows_within(self._profile, limit_s, self._terms.most_rows)

    def _answers(self, parts: Sequence[Parsed]) -> list[Answered]:
        """Of several loads together; one by one where they do not end in time together."""
        made = self._answer(parts)
        late = len(parts) > 1 and made.answer.rows and len(made.answer.errors) == made.answer.rows
        if late and {error.code for error in made.answer.errors.values()} == {DeadlineExceeded.code}:
            return [self._counted(self._answer([part])) for part in parts]
        return [self._counted(made)]

    def _counted(self, load: Answered) -> Answered:
        load.first_row = self._row
        self._row += load.rows
        return load

    def _answer(self, parts: Sequence[Parsed]) -> Answered:
        load = Answered(parts, self._row, Batch({}, 0), self._answering.caller.spec, self._plan)
        rows, bad = load.objects, bad_of(parts)
        if not rows:
            return load
        for key in self._terms.keys:
            if wrong := beyond_64_bits([row.get(key) for row in rows]):
                bad = {**{row: RowError(InvalidInput.code, why) for row, why in named(key, wrong).items()}, **bad}
        try:
            plan = self._plan or self._decided(rows, bad)
        except InvalidInput as error:
            why = RowError.of(error)
            load.answer = Batch({}, len(rows), {**dict.fromkeys(range(len(rows)), why), **bad})
            return load
        if plan is None:
            load.answer = Batch({}, len(rows), dict(bad))
            return load
        deadline = None if self._terms.timeout_s is None else parts[0].read_at + self._terms.timeout_s
        began = self._clock.monotonic()
        load.answer = self._answering.answer(rows, bad, plan, deadline)
        load.spec, load.plan = self._answering.caller.spec, plan
        self.calls += 1
        if len(load.answer.errors) == len(bad):
            self._profile.learn(len(rows), self._clock.monotonic() - began)
        return load

    def _decided(self, rows: Sequence[Mapping[str, Any]], bad: Mapping[int, RowError]) -> Plan | None:
        """Raises `InvalidInput` where model and events do not go together."""
        good = [row for number, row in enumerate(rows) if number not in bad]
        if good:
            self._plan = self._terms.planned(good)
        return self._plan
