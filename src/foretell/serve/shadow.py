"""A version that is asked what another has answered, after that, to see how far its answers are from those."""

from __future__ import annotations

import queue
import random
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from foretell.catalog import Away, Catalog, Served
from foretell.columns import Batch, concat
from foretell.compare import Gaps, gaps
from foretell.engine.work import Group, Work, assemble
from foretell.errors import InferenceError, InvalidSetting, ModelNotFound, NotReady
from foretell.model import Context
from foretell.observe.histogram import Histogram
from foretell.observe.prometheus import escape, head, histogram_lines
from foretell.repository.room import Room
from foretell.serve.prediction_record import Answered
from foretell.serve.rate import Rate, take
from foretell.serve.shares import Share

SAME, DIFFERENT, FAILED = "same", "different", "failed"
NOT_ANSWERED, NOT_READY, OVER_RATE, QUEUE_FULL, TOO_LARGE, SHUTDOWN = (
    "not_answered", "not_ready", "over_rate", "queue_full", "too_large", "shutdown",
)  # fmt: skip
_MOST_WAITING = 1024
_MOST_BYTES = 64 << 20
_RATE = Rate(500.0, _MOST_WAITING)
"""Of copies: each costs the server's thread about as much as two or three more requests would."""
_LINGER_S = 0.02
"""Requests that come one by one are answered in calls of several."""
_REST = 3.0
"""For so many times as long as a call and its comparison took, it does nothing: it shares the cores and the interpreter
with those who answer."""
_MOST = 2.0
"""The greatest relative difference that two numbers can have; also where no number says how far values are apart."""
_RELATIVE = (0.0, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)
_LONGEST_ERROR = 300
_PATIENCE_S = 1.0


class Shadow:
    """Takes copies on the server's thread; all else happens on one of its own. Whoever asked is never concerned.

    Each request of the share is counted once, in `counts`: "same" to the bit, "different", "failed" where it gave an
    error instead of an answer; and where nothing was compared, the reason.
    """

    most_bytes = _MOST_BYTES

    def __init__(self, share: Share, catalog: Catalog, limit_s: float, room: Room | None = None) -> None:
        """`limit_s`: for one call. Raises `InvalidSetting` for a model that cannot be asked so."""
        self.name, self.version, self.share = share
        self._catalog, self._limit_s, self._room = catalog, limit_s, room
        known = catalog.find(self.name, self.version)
        if known.spec is not None and (known.spec.streams or known.spec.stateful):
            what = f"model {self.name!r} cannot have a shadow"
            kind = "one that streams its answers" if known.spec.streams else "one that keeps a state"
            raise InvalidSetting(what, where="shadow", expected="a model that answers each row by itself", got=kind)
        self._random, self._full_at = random.Random(), 0.0
        self._waiting: queue.SimpleQueue[Answered | None] = queue.SimpleQueue()
        self._taken_bytes = self._ended_bytes = 0
        """Of all requests so far; the first is the server's thread's, the other one this thread's."""
        self.counts = dict.fromkeys(
            (SAME, DIFFERENT, FAILED, NOT_ANSWERED, NOT_READY, OVER_RATE, QUEUE_FULL, TOO_LARGE, SHUTDOWN), 0
        )
        """Each has one thread that counts in it."""
        self.outputs: dict[str, OutputGap] = {}
        self._last_error: str | None = None
        self._end = threading.Event()
        self._thread: threading.Thread | None = None

    def choose(self) -> Shadow | None:
        """Itself, where it wants to know what becomes of the next request."""
        if self._random.random() >= self.share:
            return None
        self._full_at, wait_s = take(self._full_at, _RATE, time.monotonic())
        if wait_s:
            self.counts[OVER_RATE] += 1
            return None
        if self._waiting.qsize() >= _MOST_WAITING or self._taken_bytes - self._ended_bytes >= _MOST_BYTES:
            self.counts[QUEUE_FULL] += 1
            return None
        return self

    def add(self, record: Answered) -> None:
        """Takes a request that it has chosen, and its answer."""
        if record.error is not None:
            self.counts[NOT_ANSWERED] += 1
        elif record.left_out is not None:
            self.counts[TOO_LARGE] += 1
        elif record.outputs is None or record.group is None:
            self.counts[NOT_ANSWERED] += 1
        elif self._end.is_set():
            self.counts[SHUTDOWN] += 1
        else:
            if self._room is not None:
                self._room.note((self.name, self.version))
            if self._thread is None:
                name = f"foretell-shadow-{self.name}"
                self._thread = threading.Thread(target=self._work, name=name, daemon=True)
                self._thread.start()
            self._taken_bytes += record.size
            self._waiting.put(record)

    def lost(self) -> None:
        self.counts[NOT_ANSWERED] += 1

    def close(self) -> None:
        """What waits is not asked any more. A call that is under way is waited for, but not for long."""
        self._end.set()
        self._waiting.put(None)
        if self._thread is not None:
            self._thread.join(_PATIENCE_S)

    def report(self) -> dict[str, Any]:
        """What `config` says."""
        told = {"version": self.version, "share": self.share, "requests": dict(self.counts)}
        outputs = {name: output.report() for name, output in list(self.outputs.items())}
        return told | {"outputs": outputs} | ({"last_error": self._last_error} if self._last_error else {})

    def _work(self) -> None:
        while (first := self._waiting.get()) is not None:
            self._end.wait(_LINGER_S)
            records = [first, *self._at_hand()]
            for group, ours in _by_group(records).items():
                while ours:
                    ours = self._next(group, ours)
            del first, records  # nothing that was asked is held while it waits

    def _at_hand(self) -> Iterator[Answered]:
        """What waits by now."""
        while not self._waiting.empty():
            record = self._waiting.get()
            if record is None:  # the end, which the thread has to hear of, too
                self._waiting.put(None)
                return
            yield record

    def _next(self, group: Group, records: list[Answered]) -> list[Answered]:
        """Asks what fits into one call; gives the rest."""
        if self._end.is_set():
            self.counts[SHUTDOWN] += len(records)
            self._ended_bytes += sum([record.size for record in records])
            return []
        served = self._served()
        most = served.engine.settings.max_batch_size if served is not None and served.spec.mergeable else 1
        count, rows = 1, records[0].rows
        while count < len(records) and rows + records[count].rows <= most:
            rows += records[count].rows
            count += 1
        ours, rest = records[:count], records[count:]
        began = time.monotonic()
        try:
            self._ask(served, group, ours)
        except Exception as error:  # of whatever kind: it is the shadow's, and no answer waits for it
            self._failed(error, len(ours))
        del served
        self._ended_bytes += sum([record.size for record in ours])
        self._end.wait(_REST * (time.monotonic() - began))
        return rest

    def _served(self) -> Served | None:
        try:
            found = self._catalog.find(self.name, self.version)
        except ModelNotFound:
            return None
        return None if isinstance(found, Away) else found

    def _ask(self, served: Served | None, group: Group, records: Sequence[Answered]) -> None:
        if served is None:
            self.counts[NOT_READY] += len(records)
            return
        engine = served.engine
        inputs = assemble([Work(record.parts or (), record.rows, group) for record in records])
        until = engine.clock.monotonic() + self._limit_s
        try:
            answer = engine.run(inputs, Context(group.context.params, until, device=engine.settings.device), apart=True)
        except NotReady:
            self.counts[NOT_READY] += len(records)
            return
        self._compare(records, answer)

    def _compare(self, records: Sequence[Answered], answer: Batch) -> None:
        """`answer`: to the rows of all records."""
        expected = concat([record.outputs for record in records if record.outputs is not None])
        owners = np.repeat(np.arange(len(records)), [record.rows for record in records])
        failed = np.isin(np.arange(len(owners)), list(answer.errors))
        good = np.flatnonzero(~failed)
        differs = np.zeros(len(owners), bool)
        for name in dict.fromkeys((*expected.columns, *answer.columns)) if len(good) else ():
            one, other = expected.columns.get(name), answer.columns.get(name)
            found = gaps(one.take(good) if one is not None else None, other.take(good) if other is not None else None)
            differs[good] |= ~found.same
            if name not in self.outputs:
                self.outputs[name] = OutputGap()
            self.outputs[name].add(found, [records[at].request_id for at in owners[good]])
        bad = set(owners[failed].tolist())
        unlike = set(owners[differs].tolist()) - bad
        if answer.errors:
            self._last_error = next(iter(answer.errors.values())).message[:_LONGEST_ERROR]
        self.counts[FAILED] += len(bad)
        self.counts[DIFFERENT] += len(unlike)
        self.counts[SAME] += len(records) - len(bad) - len(unlike)

    def _failed(self, error: Exception, requests: int) -> None:
        self.counts[FAILED] += requests
        self._last_error = str(error)[:_LONGEST_ERROR] if isinstance(error, InferenceError) else "internal error"


class OutputGap:
    """How far the values of one output are apart, over all rows that were compared."""

    def __init__(self) -> None:
        self.rows = self.different = 0
        self.absolute = self.relative = 0.0
        self.request_id = b""
        """Of the row that differs most, the last of these."""
        self.histogram = Histogram(_RELATIVE)

    def add(self, found: Gaps, request_ids: Sequence[bytes]) -> None:
        """Counts rows, whose requests are `request_ids`."""
        relative = np.minimum(found.relative, _MOST)
        self.rows += len(found.same)
        self.different += int((~found.same).sum())
        finite = found.absolute[np.isfinite(found.absolute)]
        self.absolute = max(self.absolute, float(finite.max(initial=0.0)))
        worst = len(relative) - 1 - int(relative[::-1].argmax())
        if not found.same[worst] and relative[worst] >= self.relative:
            self.relative, self.request_id = float(relative[worst]), request_ids[worst]
        self.histogram.add_all(relative.tolist())

    def report(self) -> dict[str, Any]:
        """For `config`."""
        told = {"rows": self.rows, "different": self.different}
        if not self.different:
            return told
        greatest = {"greatest_absolute": self.absolute, "greatest_relative": self.relative}
        return {**told, **greatest, "request_id": self.request_id.decode()}


def shadow_exposition(shadows: Sequence[Shadow]) -> str:
    """The metrics of all of them."""
    if not shadows:
        return ""
    lines = head("shadow_requests_total", "Requests of a shadow's share, by what came of them.", "counter")
    for shadow in shadows:
        labels = _labels(shadow)
        lines += [f'foretell_shadow_requests_total{{{labels},outcome="{o}"}} {n}' for o, n in shadow.counts.items()]
    told = [(shadow, name, output) for shadow in shadows for name, output in list(shadow.outputs.items())]
    if told:
        text = "Relative difference of a shadow's answer, per row and output; 2 where no number says how far."
        lines += head("shadow_relative_difference", text, "histogram")
    for shadow, name, output in told:
        labels = f'{_labels(shadow)},output="{escape(name)}"'
        lines += histogram_lines("foretell_shadow_relative_difference", labels, output.histogram)
    return "\n".join(lines) + "\n"


def _labels(shadow: Shadow) -> str:
    return f'model="{escape(shadow.name)}",version="{shadow.version}"'


def _by_group(records: Iterable[Answered]) -> dict[Group, list[Answered]]:
    found: dict[Group, list[Answered]] = {}
    for record in records:
        if record.group is not None:
            found.setdefault(record.group, []).append(record)
    return found
