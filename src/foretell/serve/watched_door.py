"""A model's door whose requests somebody watches: what was asked, and what was answered."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from foretell.catalog import Served
from foretell.engine.work import Completed, Work
from foretell.errors import Cancelled, InferenceError, NotReady
from foretell.serve.exchange import Exchange
from foretell.serve.messages import Reply, error_status
from foretell.serve.model_door import ExplainedWork, InferWork, ModelDoor
from foretell.serve.patterns import KnownRequest
from foretell.serve.prediction_record import Answered, begun
from foretell.serve.watched_streams import WatchedGenerateDoor

if TYPE_CHECKING:
    from foretell.serve.application import Application

GAVE_UP = 499


class Observer(Protocol):
    """Who watches. It is called on the server's thread, and must not take its time."""

    most_bytes: int
    """Of the values of a request, as text; of larger ones it wants to have none."""

    def choose(self) -> Observer | None:
        """Who wants to know of the next request; None: nobody."""

    def add(self, record: Answered) -> None:
        """Takes what became of a request that was chosen."""

    def lost(self) -> None:
        """The same of one of which nothing can be told."""


class Observers:
    """Several, each of which chooses for itself."""

    def __init__(self, observers: Sequence[Observer]) -> None:
        self._observers = observers
        self.most_bytes = max(observer.most_bytes for observer in observers)

    def choose(self) -> Observer | None:
        chosen = [wants for observer in self._observers if (wants := observer.choose()) is not None]
        return Observers(chosen) if len(chosen) > 1 else chosen[0] if chosen else None

    def add(self, record: Answered) -> None:
        for observer in self._observers:
            observer.add(record)

    def lost(self) -> None:
        for observer in self._observers:
            observer.lost()


class WatchedDoor(ModelDoor):
    """Tells of the requests that its observer chooses. The others go their usual way."""

    def __init__(self, served: Served, application: Application, observer: Observer) -> None:
        super().__init__(served, application)
        self.observer = observer
        self._to_engine, self._alone_to_engine = self.submit, self.submit_alone
        self.submit, self.submit_alone = self._take, self._take_alone

    def make(self, plain: bool) -> Callable[..., InferWork]:
        observer = self.observer.choose()
        if observer is None:
            return super().make(plain)
        return partial(WatchedWork if plain else WatchedExplainedWork, observer)

    def refused(self, exchange: Exchange, error: InferenceError) -> None:
        super().refused(exchange, error)
        self.told(exchange, error)

    def told(self, exchange: Exchange, error: InferenceError) -> None:
        """Of a request that never came to the engine, where somebody chooses it."""
        observer = self.observer.choose()
        if observer is not None:
            record = begun(exchange, self.served.name, self.served.version, self.served.spec)
            record.failed(error, error_status(error)[0])
            observer.add(record)

    def post(self, verb: str) -> Callable[[Exchange], None]:
        if verb == "infer":
            return super().post(verb)
        generate = WatchedGenerateDoor(self)
        return generate.stream if verb == "generate_stream" else generate.once

    def _take(self, work: Work) -> None:
        self._give(self._chosen(work), self._to_engine)

    def _take_alone(self, work: Work) -> None:
        self._give(self._chosen(work), self._alone_to_engine)

    def _give(self, work: Work, submit: Callable[[Work], None]) -> None:
        try:
            submit(work)
        except Exception as error:
            if not isinstance(work, _Watched) or work.ended:  # it has its answer, or whoever brought it gives one
                raise
            work.not_taken(error)

    def _chosen(self, work: Work) -> Work:
        """The work itself, or what stands for it and tells of it: a usual request becomes an ordinary one."""
        if not isinstance(work, KnownRequest) or (observer := self.observer.choose()) is None:
            return work
        exchange, pattern = work.exchange(), work.pattern
        watched = WatchedWork(observer, exchange, list(work.parts), pattern.asked, pattern.wanted or None, self)
        watched.arrived, watched.deadline = work.arrived, work.deadline
        exchange.work, work.ended = watched, True
        return watched


class _Watched(InferWork):
    """Tells of its end, once."""

    _door: WatchedDoor

    def __init__(self, observer: Observer, exchange: Exchange, *asked: Any) -> None:
        super().__init__(exchange, *asked)
        self._observer = observer
        self._error: tuple[Exception, int] | None = None
        self._is_told = False
        self._request_id = exchange.request_id  # asked for now, the reply has the same

    def done(self, completed: Completed, start: int) -> None:
        super().done(completed, start)
        if not self._exchange.abandoned:
            self._tell(completed, start)

    def fail(self, error: InferenceError) -> None:
        super().fail(error)
        if self._error is not None:
            self._tell()

    def not_taken(self, error: Exception) -> None:
        """The engine raised instead of taking it."""
        self.ended = True
        self._exchange.respond(self._error_reply(error))
        self._tell()

    def cancel(self) -> None:
        """The caller has gone, or the server gives up."""
        super().cancel()
        if not self._is_told:
            if self._exchange.abandoned:
                self._error = Cancelled("the caller gave up"), GAVE_UP
            else:
                error = NotReady("the server is shutting down")
                self._error = error, error_status(error)[0]
            self._tell()

    def _error_reply(self, error: Exception) -> Reply:
        reply = super()._error_reply(error)
        self._error = error, reply.status
        return reply

    def _tell(self, completed: Completed | None = None, start: int = 0) -> None:
        if self._is_told:
            return
        self._is_told = True
        try:
            self._observer.add(self._record(completed, start))
        except Exception:  # the request has its answer, and that stands
            self._observer.lost()

    def _record(self, completed: Completed | None, start: int) -> Answered:
        door, most = self._door, self._observer.most_bytes
        record = begun(self._exchange, door.served.name, door.served.version, door.served.spec)
        record.total_s = door.now() - self.arrived
        record.hold(self.group, self.rows, self.parts, most)
        if self._error is not None:
            record.failed(*self._error)
        elif completed is not None:
            record.hold_outputs(completed.batch, start, most)
            if completed.run is not None:
                record.queue_s = completed.run.started - self.arrived
                record.model_s = completed.run.finished - completed.run.started
        return record


class WatchedWork(_Watched):
    """An inference request that somebody watches."""


class WatchedExplainedWork(_Watched, ExplainedWork):
    """One of somebody who asked why the answer takes its time."""


def door_of(served: Served, application: Application, *observers: Observer | None) -> ModelDoor:
    """A door that these watch, as far as they are there."""
    watching = [observer for observer in observers if observer is not None]
    if not watching:
        return ModelDoor(served, application)
    return WatchedDoor(served, application, watching[0] if len(watching) == 1 else Observers(watching))
