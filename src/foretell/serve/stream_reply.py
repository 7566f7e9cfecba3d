"""Replies that take their time: a stream of the engine, on its way to one client no faster than that reads."""

from __future__ import annotations

import asyncio
import contextlib
import weakref
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from foretell.engine.stream_call import StreamCall, expired
from foretell.errors import DeadlineExceeded, InferenceError, InvalidInput, ModelError, NotReady
from foretell.model import Context
from foretell.serve.codecs.generate import COMMENT, EVENT_STREAM, GenerateRequest, error_event, event
from foretell.serve.exchange import Exchange
from foretell.serve.messages import Reply

if TYPE_CHECKING:
    from foretell.serve.connection import HttpConnection
    from foretell.serve.generate_door import GenerateDoor

_LAST_CHUNK = b"0\r\n\r\n"


class StreamReply:
    """The work of an exchange whose answer comes in pieces. All of it is the loop's.

    `turn` is called when its exchange is the first of its connection and there is room to write, `cancel` when the
    client has gone.
    """

    begun = False
    """Whether the head has left, so that an error can only be told as an event."""

    def __init__(self, exchange: Exchange, request: GenerateRequest, door: GenerateDoor) -> None:
        self.exchange, self.door = exchange, door
        self._loop = asyncio.get_running_loop()
        now, asked_s = door.now(), request.parameters.timeout_s
        self._waits_since = now
        limit_s = door.timeout_s if asked_s is None else min(door.timeout_s, asked_s)
        context = Context(dict(request.parameters.rest), now + limit_s, sequence=request.parameters.sequence)
        encode = partial(door.codec.encode, request_id=request.id)
        self.call: StreamCall[bytes] = StreamCall(request.batch, context, encode, door.clock, _teller(self, self._loop))
        self._timer: asyncio.TimerHandle | None = None
        self.call.take()  # nothing is there yet: it will tell when there is
        self._watch()

    def turn(self) -> None:
        raise NotImplementedError

    def cancel(self) -> None:
        """The client has gone."""
        self._rest()
        self.call.cancel()

    def give_up(self, error: InferenceError) -> None:
        """Ends what has not ended with `error`, now."""
        self.call.finish(error)
        self.fail(error)

    def fail(self, error: InferenceError) -> None:
        """The last thing the client is told."""
        self._rest()
        self.call.cancel()
        door, exchange = self.door, self.exchange
        again = door.retired and type(error) is NotReady and self.call.started is None
        if again and not door.application.server.draining:
            door.application.handle(exchange)  # it had not begun: whoever answers for this model now, begins it
        else:
            exchange.respond(door.application.error_reply(error))

    def _fail_as_told(self) -> None:
        """With the error of the call, which keeps it no longer: its traceback leads to the call."""
        error, self.call.error = self.call.error, None
        if error is not None:
            self.fail(error)

    @property
    def _connection(self) -> HttpConnection:
        return self.exchange.connection  # type: ignore[return-value]

    def _rest(self) -> None:
        """Nothing more to watch."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _watch(self) -> None:
        """Ends the stream when its time is up, or that for the next item."""
        self._timer = None
        if self.exchange.out is not None or self.exchange.abandoned:
            return
        now, deadline = self.door.now(), self.call.deadline or 0.0
        wait_s = self.door.item_timeout_s
        waits = not self.call.items_waiting
        if now >= deadline:
            self.give_up(expired())
        elif waits and now >= self._waits_since + wait_s:
            self.give_up(DeadlineExceeded(f"the next item took longer than {wait_s:g} s", where=self.door.where))
        else:
            next_look = min(deadline, self._waits_since + wait_s if waits else now + wait_s)
            self._timer = self._loop.call_later(max(0.001, next_look - now), self._watch)


def _teller(reply: StreamReply, loop: asyncio.AbstractEventLoop) -> Callable[[], None]:
    """Has `reply` take its turn, from any thread. Its call has this, and it has its call: neither may keep both."""
    known = weakref.ref(reply)

    def tell() -> None:
        told = known()
        if told is not None:
            with contextlib.suppress(RuntimeError):  # a loop that has closed has nobody waiting on it
                loop.call_soon_threadsafe(told.turn)

    return tell


class EventStream(StreamReply):
    """Answers by server-sent events. Errors before the first item are a reply like any other; later ones an event."""

    def __init__(self, exchange: Exchange, request: GenerateRequest, door: GenerateDoor) -> None:
        super().__init__(exchange, request, door)
        self._chunked = not self._connection.speaks_http_1_0
        if not self._chunked:  # the end of the connection is the end
            self._connection.close_after_last()
            exchange.keep_alive = False
        self._bytes = 0

    def turn(self) -> None:
        """Writes what there is."""
        exchange, connection, call = self.exchange, self._connection, self.call
        if exchange.abandoned or exchange.out is not None or not connection.may_stream(exchange):
            return
        pieces: list[bytes] = []
        while connection.may_stream(exchange) and (item := call.take()) is not None:
            pieces.append(self._part(event(item)))
            if len(pieces) == 1 and not self.begun:
                pieces.insert(0, self._begin())
            if len(pieces) > _MOST_PIECES:
                break
        if pieces:
            self._waits_since = self.door.now()
            connection.stream(b"".join(pieces))
        if not call.over:
            if len(pieces) > _MOST_PIECES:
                self._loop.call_soon(self.turn)
        elif call.error is not None:
            self._fail_as_told()
        else:
            self._rest()
            if not self.begun:
                connection.stream(self._begin())
            self._end()

    def fail(self, error: InferenceError) -> None:
        if not self.begun:
            super().fail(error)
            return
        self._rest()
        self.call.cancel()
        self._end(self._part(error_event(error)))

    def probe(self) -> None:
        """Writes something that means nothing, so that a client that has gone is noticed."""
        if self._connection.may_stream(self.exchange):
            self._connection.stream(self._part(COMMENT))

    def _begin(self) -> bytes:
        self.begun = True
        self._connection.limit_unsent()
        return self.exchange.stream_head(EVENT_STREAM, self._chunked)

    def _end(self, last: bytes = b"") -> None:
        self.exchange.end_stream(last + (_LAST_CHUNK if self._chunked else b""), self._bytes)

    def _part(self, data: bytes) -> bytes:
        self._bytes += len(data)
        return b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data


class SingleAnswer(StreamReply):
    """Answers once, with the only item the model gives. A model that gives another one is stopped there."""

    def __init__(self, exchange: Exchange, request: GenerateRequest, door: GenerateDoor) -> None:
        super().__init__(exchange, request, door)
        self._item: bytes | None = None

    def turn(self) -> None:
        exchange, call = self.exchange, self.call
        if exchange.abandoned or exchange.out is not None:
            return
        while (item := call.take()) is not None:
            self._waits_since = self.door.now()
            if self._item is not None:
                fix = f"ask for {self.door.stream_path}"
                self.give_up(InvalidInput("the model gave more than one item", where=self.door.where, fix=fix))
                return
            self._item = item
        if not call.over:
            return
        if call.error is not None:
            self._fail_as_told()
        elif self._item is None:
            self.fail(ModelError("the model gave no item", where=self.door.where))
        else:
            self._rest()
            exchange.respond(Reply(self._item))


_MOST_PIECES = 64
"""Items written in one turn of the loop, so that one stream does not hold up the others."""
