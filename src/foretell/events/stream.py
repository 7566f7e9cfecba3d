"""A stream from end to end: find out how far it is, go on from there, and tell what was done."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from foretell.backends.python.source import is_reference
from foretell.clock import Clock, SystemClock
from foretell.config import ModelSettings
from foretell.engine.padded_calls import padded_inputs
from foretell.errors import InvalidInput, InvalidSetting
from foretell.events.answering import Answering
from foretell.events.caller import Caller
from foretell.events.interfaces import Counts, Record, Sink, Source, State
from foretell.events.planning import check_names, check_rows_alone, plan, plan_from
from foretell.events.processor import Processor, Terms
from foretell.events.report import Nobody, Onlooker, Progress, Report
from foretell.events.writing import Writing
from foretell.forms.top import shown
from foretell.remote.opening import open_any

if TYPE_CHECKING:
    from foretell.events.metrics import StreamMetrics

MOST_ROWS = 8_192
"""Of one call: larger ones are not faster, and the stream would wait for their end."""
_PADDED_ROWS = 1024
_CALL_TIMEOUT_S = 600.0
"""Of a call in a process of its own, where nobody said: one that hangs must not hold the stream up for ever."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What decides a line. `mapping`: input -> its fields; `top`: so many best classes instead of all scores."""

    keys: tuple[str, ...] = ()
    mapping: Mapping[str, tuple[str, ...]] | None = None
    top: int | None = None


@dataclass(frozen=True, slots=True)
class Ends:
    """Where events come from and what they go to. `letters` None: dead letters stand among the results. `state` None:
    the stream cannot be resumed."""

    source: Source
    sink: Sink
    letters: Sink | None
    state: State | None
    names: Mapping[str, str]
    """Of source, sink, and where there are any, of "dead_letters" and "state"."""


@dataclass(frozen=True, slots=True)
class Request:
    """`model`: a path or "module:Class"; or a live object. `timeout_s`: from when an event was read to its answer.

    `max_dead_letters`: that one run may have; None: see `events.limits`. `fresh`: from the beginning, whatever was
    done. `metrics_file`: where its metrics go while it runs.
    """

    model: object
    name: str | None
    version: str
    settings: ModelSettings
    wish: Wish
    timeout_s: float | None = None
    batch_size: int | None = None
    commit_interval_s: float = 0.25
    max_dead_letters: int | None = None
    row_attempts: int = 2
    fresh: bool = False
    metrics_file: str | None = None


Stopper = Callable[[Callable[[], None]], AbstractContextManager[None]]
"""Has the function called that it is given, once the stream is to stop."""


def run(request: Request, ends: Ends, onlooker: Onlooker | None = None, stopper: Stopper | None = None) -> Report:
    """Answers events until the source ends or it is stopped.

    Run again after any end, a stream that can be resumed goes on where it stopped: each event has one line in the sink
    or among the dead letters. Raises `InvalidInput` where model or wishes are not those that began it and `fresh` was
    not asked for, `Occupied` where another stream has the state or a sink, `TooManyDead`, and what the model, the
    source and the sinks raise. What was committed stays.
    """
    clock = SystemClock()
    with ExitStack() as stack:
        if ends.state is not None:
            stack.enter_context(ends.state.lock())
        record = None if ends.state is None or request.fresh else ends.state.load()
        caller = stack.enter_context(_caller(request, clock))
        metrics = _metrics(request, ends, caller)
        made_from = _made_from(request, ends, caller)
        if record is not None:
            _check_same(record.made_from, made_from, ends)
        halt = _Halt(ends.source)
        if stopper is not None:
            stack.enter_context(stopper(halt))
        began = _begin(request, ends, record, made_from, stack)
        going = _Run(request, ends, caller, began, clock, onlooker or Nobody(), record is not None)
        if metrics:
            stack.enter_context(metrics.written(going.look))
        return going.run(halt)


class _Halt:
    """Stops a stream whatever it does: waits for its source to come back, or runs."""

    def __init__(self, source: Source) -> None:
        self._stop, self._asked = source.stop, False

    def __call__(self) -> None:
        self._asked = True
        self._stop()

    def now_by(self, stop: Callable[[], None]) -> None:
        """From now on, and at once where it was asked for."""
        self._stop = stop
        if self._asked:
            stop()


def _begin(
    request: Request, ends: Ends, record: Record | None, made_from: Mapping[str, str], stack: ExitStack
) -> Record:
    """Opens both ends. Returns how far the stream is."""
    if ends.state is not None and request.fresh:
        ends.state.forget()
    marks = (None, None) if record is None else (record.sink, record.dead_letters)
    for sink, mark in zip((ends.sink, ends.letters), marks, strict=True):
        if sink is not None:
            sink.open(mark, fresh=request.fresh)
            stack.callback(sink.close)
    began = ends.source.open(None if record is None else record.position)
    stack.callback(ends.source.close)
    if record is None:
        letters = None if ends.letters is None else ends.letters.commit()
        record = Record(made_from, began, ends.sink.commit(), letters, Counts())
    elif record.position is None:
        record = msgspec.structs.replace(record, position=began)
    if ends.state is not None:
        ends.state.save(record)  # before the first commit, a file that is rotated must be known again
    return record


@contextmanager
def _caller(request: Request, clock: Clock) -> Iterator[Caller]:
    settings = _settings(request)
    opened, again = open_any(request.model, settings, request.name, None)
    name = request.name or opened.name
    caller = Caller(opened.model, again, settings, name, request.version, opened.digest, clock)
    try:
        check_rows_alone(caller.model, name)
        check_names(request.wish.keys, shown(caller.spec, request.wish.top))
        yield caller
    finally:
        caller.close()


def _metrics(request: Request, ends: Ends, caller: Caller) -> StreamMetrics | None:
    if request.metrics_file is None:
        return None
    from foretell.events.metrics import StreamMetrics  # few streams need it, and all wait for their start

    return StreamMetrics(request.metrics_file, ends.names, caller.identity.name, caller.identity.version)


def _settings(request: Request) -> ModelSettings:
    """One replica on one device. A Python model has a process of its own, unless another place was asked for: what
    ends it must not end the stream."""
    given = request.settings
    apart = isinstance(request.model, str) and is_reference(request.model) and not Path(request.model).exists()
    executor = given.executor
    if executor == "auto" and (apart or (given.call_timeout_s is not None and isinstance(request.model, (str, Path)))):
        executor = "process"
    if given.call_timeout_s is not None and executor != "process":
        fix = "give --executor process, or leave it out"
        raise InvalidSetting("call_timeout_s would do nothing: a call in this process cannot be ended", fix=fix)
    limit_s = given.call_timeout_s or (_CALL_TIMEOUT_S if executor == "process" else None)
    return replace(
        given, device=given.devices[0], replicas=1, max_replicas=None, executor=executor, timeout_s=None,
        max_batch_size=request.batch_size or MOST_ROWS, call_timeout_s=limit_s,
    )  # fmt: skip


def _made_from(request: Request, ends: Ends, caller: Caller) -> dict[str, str]:
    identity, wish = caller.identity, request.wish
    return {
        "source": ends.names["source"], "sink": ends.names["sink"],
        "dead letters": ends.names.get("dead_letters", "among the results"),
        "key": ", ".join(wish.keys), "map": repr(dict(wish.mapping or {})), "top": str(wish.top),
        "model": f"{identity.name} version {identity.version}", "file of the model": identity.artefact_digest,
        "runtime and settings of the model": identity.variant_digest,
    }  # fmt: skip


def _check_same(before: Mapping[str, str], now: Mapping[str, str], ends: Ends) -> None:
    """Raises `InvalidInput` where another stream was begun here."""
    others = [name for name in now if before.get(name) != now[name]]
    if not others:
        return
    told = [name if name.startswith(("file", "runtime")) else f"{name} ({before.get(name, '')!r}, now {now[name]!r})"
            for name in others]  # fmt: skip
    fix = "run it as it was, run with --fresh to start again, or name another sink"
    raise InvalidInput(f"another stream was begun here; other: {', '.join(told)}", where=ends.names.get("state", ""),
                       fix=fix)  # fmt: skip


class _Run:
    def __init__(
        self,
        request: Request,
        ends: Ends,
        caller: Caller,
        record: Record,
        clock: Clock,
        onlooker: Onlooker,
        resumed: bool,
    ) -> None:
        self._request, self._ends, self._caller, self._clock = request, ends, caller, clock
        self._onlooker, self._resumed = onlooker, resumed
        wish = request.wish
        self._began = clock.monotonic()
        self._answering = Answering(caller, clock, request.row_attempts, request.settings.retries)
        self._writing = Writing(
            ends.source, ends.sink, ends.letters, ends.state, record, clock, keys=wish.keys, top=wish.top,
            interval_s=request.commit_interval_s, most_dead=request.max_dead_letters,
        )  # fmt: skip
        terms = Terms(lambda rows: plan(rows, wish.keys, wish.mapping, caller.spec), _most_rows(request, caller),
                      request.timeout_s, wish.keys)  # fmt: skip
        kept = None if record.plan is None else plan_from(record.plan)
        self._processor = Processor(ends.source, ends.sink, self._answering, self._writing, terms, kept,
                                    record.counts.events, clock, self._went_on)  # fmt: skip

    def run(self, halt: _Halt) -> Report:
        halt.now_by(self._processor.stop)
        self._processor.run()
        return self._report()

    def look(self) -> tuple[Report, int | None, float | None]:
        """For the metrics, see `metrics.Look`."""
        last = self._writing.committed_at
        return self._report(), self._ends.source.behind(), None if last is None else self._clock.monotonic() - last

    def _report(self) -> Report:
        ends, writing, identity = self._ends, self._writing, self._caller.identity
        source = ends.source
        return Report(
            ends.names["source"], ends.names["sink"], writing.answered + writing.dead, writing.dead,
            self._clock.monotonic() - self._began, "stopped" if self._processor.stopping else "done",
            {"name": identity.name, "version": identity.version, "digest": identity.artefact_digest},
            writing.counts.events, writing.counts.dead, dict(writing.reasons), ends.names.get("dead_letters"),
            ends.names.get("state"), self._resumed, self._processor.calls, writing.commits, writing.bytes_in,
            writing.bytes_out, self._answering.lost, getattr(source, "rotations", 0), getattr(source, "truncations", 0),
        )  # fmt: skip

    def _went_on(self) -> None:
        writing = self._writing
        seconds = self._clock.monotonic() - self._began
        self._onlooker.went_on(Progress(writing.answered + writing.dead, writing.dead, seconds))


def _most_rows(request: Request, caller: Caller) -> int:
    if not caller.spec.mergeable:
        return 1
    return request.batch_size or (_PADDED_ROWS if padded_inputs(caller.spec) else MOST_ROWS)
