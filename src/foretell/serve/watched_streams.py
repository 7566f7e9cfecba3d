"""Streams that somebody watches: what was asked, how many items came, and how it ended. The items are not kept."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from foretell.engine.work import Group, fields_of
from foretell.errors import Cancelled, InferenceError
from foretell.serve.codecs.generate import GenerateRequest
from foretell.serve.exchange import Exchange
from foretell.serve.generate_door import GenerateDoor
from foretell.serve.messages import error_status
from foretell.serve.prediction_record import Answered, begun
from foretell.serve.stream_reply import EventStream, SingleAnswer, StreamReply

if TYPE_CHECKING:
    from foretell.serve.watched_door import Observer, WatchedDoor

_GAVE_UP = 499


class WatchedGenerateDoor(GenerateDoor):
    """The streams of one model version, each of which is told of if the observer chooses it."""

    def __init__(self, door: WatchedDoor) -> None:
        super().__init__(door)
        self._watched = door

    def refused(self, exchange: Exchange, error: InferenceError) -> None:
        super().refused(exchange, error)
        self._watched.told(exchange, error)

    def make(self, kind: type[StreamReply]) -> Callable[..., StreamReply]:
        observer = self._watched.observer.choose()
        if observer is None:
            return kind
        return partial(WatchedEventStream if kind is EventStream else WatchedSingleAnswer, observer)

    def record_of(self, reply: _Watched, most_bytes: int) -> Answered:
        """Of a stream that has ended, well."""
        served, call = self._watched.served, reply.call
        record = begun(reply.exchange, served.name, served.version, served.spec)
        record.total_s = self.now() - call.arrived
        record.queue_s = None if call.started is None else call.started - call.arrived
        group, columns = Group(fields_of(call.batch), call.context), list(call.batch.columns.values())
        record.hold(group, call.batch.rows, columns, most_bytes)
        record.more = {"items": call.items}
        return record


class _Watched(StreamReply):
    """Tells of its end, once."""

    door: WatchedGenerateDoor

    def __init__(
        self, observer: Observer, exchange: Exchange, request: GenerateRequest, door: WatchedGenerateDoor
    ) -> None:
        self._observer, self._is_told = observer, False
        exchange.request_id  # noqa: B018 (asked for now, the reply has the same)
        super().__init__(exchange, request, door)

    def turn(self) -> None:
        super().turn()
        if self.exchange.out is not None and not self.exchange.abandoned:
            self._tell(None)

    def fail(self, error: InferenceError) -> None:
        super().fail(error)
        if self.exchange.work is None or self.exchange.work is self:  # nobody else has begun it
            self._tell(error)

    def cancel(self) -> None:
        if not self._is_told and self.exchange.abandoned:
            self._tell(Cancelled("the caller gave up"))
        super().cancel()

    def _tell(self, error: InferenceError | None) -> None:
        if self._is_told:
            return
        self._is_told = True
        record = self.door.record_of(self, self._observer.most_bytes)
        if error is not None:
            status = _GAVE_UP if isinstance(error, Cancelled) else error_status(error)[0]
            record.failed(error, 200 if self.begun else status)
        self._observer.add(record)


class WatchedEventStream(_Watched, EventStream):
    """A stream of events that somebody watches."""


class WatchedSingleAnswer(_Watched, SingleAnswer):
    """The only item of a stream, watched."""
