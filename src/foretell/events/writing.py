"""The end of a stream: results and dead letters to their sinks, and the record of how far it is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import msgspec
import numpy as np

from foretell.clock import Clock
from foretell.columns import Batch
from foretell.events.interfaces import Counts, Position, Record, Sink, Source, State
from foretell.events.limits import check_dead
from foretell.events.lines import dead_letter, error_line, letter_line, result_lines
from foretell.events.loads import Answered
from foretell.events.planning import Plan


class Writing:
    """Writes what was answered, in order, and commits it. One thread calls it.

    Committed are at once the position of the source, the results and the dead letters: events that were committed are
    never answered again, and all others are, after whatever end.
    """

    def __init__(
        self,
        source: Source,
        sink: Sink,
        letters: Sink | None,
        state: State | None,
        record: Record,
        clock: Clock,
        *,
        keys: Sequence[str],
        top: int | None,
        interval_s: float,
        most_dead: int | None,
    ) -> None:
        """`letters` None: dead letters stand among the results. `state` None: nothing is written down. `record`: how
        far the stream was when it began."""
        self._source, self._sink, self._letters, self._state = source, sink, letters, state
        self._keys, self._top, self._clock = keys, top, clock
        self._interval_s, self._most_dead = interval_s, most_dead
        self._record = record
        self._position: Position | None = None
        """Behind all that was written and is not committed; None where nothing is."""
        self._due = 0.0
        self._plan: Plan | None = None
        self.answered = self.dead = self.bytes_in = self.bytes_out = self.commits = 0
        """Of this run."""
        self.committed_at: float | None = None
        """By the clock; None: nothing was, in this run."""
        self.reasons: Counter[str] = Counter()
        before = record.counts
        self._answers_before = before.events - before.dead
        self._example = ""
        """The first of the dead letters."""

    def write(self, load: Answered) -> None:
        """Raises what the sinks raise, and `TooManyDead`."""
        errors = load.answer.errors
        lines, letters = self._lines(load), list[bytes]()
        self.answered += load.rows - len(errors)
        if errors:
            letters = self._letters_of(load)
            if self._letters is None:
                lines = _in_order(lines, letters, sorted(errors), load.rows)
            else:
                self._letters.write(b"".join(letters))
        self._sink.write(lines)
        self.bytes_in, self.bytes_out = self.bytes_in + load.size_bytes, self.bytes_out + len(lines)
        self._record = msgspec.structs.replace(self._record, counts=self._record.counts.plus(load.rows, len(errors)))
        if self._position is None:
            self._due = self._clock.monotonic() + self._interval_s
        self._position, self._plan = load.position, load.plan

    @property
    def wait_s(self) -> float | None:
        """Until the next commit is due; None where there is nothing to commit."""
        if self._position is None or not self._may_commit:
            return None
        return max(0.0, self._due - self._clock.monotonic())

    def commit(self) -> None:
        """Everything that was written is safe when this returns."""
        if self._position is None:
            return
        mark, letters = self._sink.commit(), None if self._letters is None else self._letters.commit()
        self._record = msgspec.structs.replace(
            self._record, position=self._position, sink=mark, dead_letters=letters,
            plan=None if self._plan is None else msgspec.to_builtins(self._plan),
        )  # fmt: skip
        if self._state is not None:
            self._state.save(self._record)
        self._source.acknowledge(self._position)
        self._position = None
        self.commits, self.committed_at = self.commits + 1, self._clock.monotonic()

    @property
    def counts(self) -> Counts:
        return self._record.counts

    @property
    def _may_commit(self) -> bool:
        """While no event has an answer, the stream may have been asked the wrong thing: then nothing is done yet."""
        return bool(self._answers_before or self.answered or not self.dead)

    def _lines(self, load: Answered) -> bytes:
        answer, errors = load.answer, load.answer.errors
        if len(errors) == answer.rows:
            return b""
        numbers: Sequence[int] = range(answer.rows)
        if errors:
            numbers = [row for row in range(answer.rows) if row not in errors]
            answer = Batch(answer.columns, answer.rows).take(np.array(numbers, np.int64))
        return result_lines(load.objects, load.first_row, numbers, answer, self._keys, load.spec, self._top)

    def _letters_of(self, load: Answered) -> list[bytes]:
        form, rows, made = letter_line if self._letters is not None else error_line, load.objects, list[bytes]()
        for number, error, place, text in load.failed():
            key = {name: rows[number][name] for name in self._keys if name in rows[number]}
            made.append(form(dead_letter(error, place, load.first_row + number, key, text)))
            self.reasons[error.code] += 1
            self._example = self._example or _example(place, error.message)
        self.dead += len(made)
        check_dead(self._answers_before + self.answered, self.dead, self._most_dead, self.reasons, self._example)
        return made


def _example(place: Mapping[str, object], message: str) -> str:
    where = ", ".join(
        str(each) for each in (place.get("file"), f"line {place['line']}" if "line" in place else "") if each
    )
    return f"{where}: {message}" if where else message


def _in_order(lines: bytes, letters: Sequence[bytes], failed: Sequence[int], rows: int) -> bytes:
    """The results with the letters of those that failed in their places."""
    results, dead = iter(lines.splitlines(keepends=True)), iter(letters)
    places = set(failed)
    return b"".join(next(dead) if row in places else next(results) for row in range(rows))
