"""The usual request: all of its bytes but its numbers are those of an earlier one, so that only they are new."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from foretell.engine.work import Completed, Work
from foretell.errors import InferenceError
from foretell.serve.exchange import Exchange
from foretell.serve.messages import COMPRESS_FROM_BYTES, Reply, compressed

if TYPE_CHECKING:
    from foretell.serve.codecs.oip_known import Asked
    from foretell.serve.heads import Head, Headers
    from foretell.serve.model_door import ModelDoor
    from foretell.serve.writing import ReplyWriter

_MOST_SIZES = 1024
_MOST_BYTES = 4096
_EVERY = 16


class Pattern:
    """The bytes before and after the numbers of a request that was parsed, decoded, checked and routed.

    A request of the same size with the same bytes around its numbers has the same head, which tells the same length of
    the body; JSON is context-free, so with another list of as many numbers it is as valid as that one was.
    """

    __slots__ = ("asked", "before", "behind", "decode", "door", "head", "start", "stop", "timeout_s")

    def __init__(
        self,
        data: bytes,
        start: int,
        stop: int,
        head: Head,
        asked: Asked,
        decode: Callable[[bytes], list[Any]],
        door: ModelDoor,
    ) -> None:
        """The numbers are `data[start:stop]`."""
        self.before, self.behind, self.start, self.stop = data[:start], data[stop:], start, stop
        self.head, self.asked, self.decode, self.door = head, asked, decode, door
        self.timeout_s = door.timeout_s if asked.timeout_s is None else min(door.timeout_s, asked.timeout_s)


class Patterns:
    """Takes requests that fit a pattern. Bounded: one pattern for each size of a request, up to 4 KiB and 1,024 sizes.

    A pattern stays while its model does and nobody has to show a token.
    """

    def __init__(self) -> None:
        self.doors: dict[bytes | None, ModelDoor] = {}
        """Who answers a usual request, by its URL."""
        self._patterns: dict[int, Pattern] = {}
        self._tries = 0

    def __len__(self) -> int:
        return len(self._patterns)

    def clear(self) -> None:
        self.doors.clear()
        self._patterns.clear()

    def take(self, connection: ReplyWriter, data: bytes) -> bool:
        """Whether `data` is one whole usual request, which has its answer or will have it. The parser must be idle,
        and no request wait on the connection."""
        pattern = self._patterns.get(len(data))
        if pattern is None or not data.startswith(pattern.before) or not data.endswith(pattern.behind):
            return False
        asked = pattern.asked
        try:
            values = pattern.decode(data[pattern.start : pattern.stop])
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return False
        if len(values) != asked.count:
            return False
        request = KnownRequest(connection, pattern, data, values)
        connection.wait_for(request)
        try:
            pattern.door.submit(request)
        except Exception as error:
            request.failed(error)
        return True

    def learn(self, data: bytes, head: Head, body: bytes) -> None:
        """Remembers a request whose head is known, if its body is, too. It seldom does so where that is of little use:
        where many differ elsewhere, in an id for instance, or clients take turns whose requests are of one size."""
        self._tries += 1
        seldom = self._tries > _EVERY or len(data) in self._patterns
        if len(data) > _MOST_BYTES or (seldom and self._tries % _EVERY):
            return
        door = self.doors.get(head.usual)
        found = None if door is None else door.known.place(body)
        if door is None or found is None:
            return
        start, stop, asked = found
        if asked.decode_flat is None or asked.outputs or asked.binary:
            return
        if len(self._patterns) >= _MOST_SIZES:
            self._patterns.clear()
        at = len(data) - len(body)
        self._patterns[len(data)] = Pattern(data, at + start, at + stop, head, asked, asked.decode_flat, door)
        self._tries = 0


class KnownRequest(Work):
    """Stands for an exchange and its work at once, in the connection and in the engine.

    Where it comes otherwise than usual, with an error or another request before it on its connection, an ordinary
    exchange takes its place.
    """

    __slots__ = ("_connection", "_data", "_pattern", "abandoned", "keep_alive")

    out: bytes | None = None
    """Once it has a reply, it is not on the connection any more."""

    def __init__(self, connection: ReplyWriter, pattern: Pattern, data: bytes, values: list[Any]) -> None:
        # All that `Work` has is set here: its own `__init__` would cost as much again as all of this.
        self._connection, self._pattern, self._data = connection, pattern, data
        self.keep_alive, self.abandoned = True, False
        asked = pattern.asked
        self.parts, self.rows, self.group = (values,), asked.rows, asked.group
        self.arrived = now = pattern.door.now()
        self.deadline = now + pattern.timeout_s
        self.cancelled = self.ended = False
        self.child = None

    @property
    def work(self) -> Work:
        """What `Exchange` calls so."""
        return self

    @property
    def headers(self) -> Headers:
        return self._pattern.head.headers

    def abandon(self) -> None:
        """The client has gone: nobody reads a reply any more."""
        self.abandoned = True
        self.cancel()

    def done(self, completed: Completed, start: int) -> None:
        if self.abandoned:
            return
        pattern = self._pattern
        try:
            body = pattern.door.encoder.json(completed, start, self.rows, pattern.asked.id)
        except Exception as error:
            self.failed(error)
            return
        if len(body) < COMPRESS_FROM_BYTES or b"accept-encoding" not in self.headers:
            self._connection.answer(self, body)
        else:
            self.respond(compressed(Reply(body), self.headers[b"accept-encoding"]))

    def fail(self, error: InferenceError) -> None:
        if self.abandoned:
            return
        exchange, door = self.exchange(), self._pattern.door
        if not door.hands_over(exchange, error, self):
            exchange.respond(door.application.error_reply(error))

    def failed(self, error: Exception) -> None:
        """Something went wrong on the way there or back."""
        application, exchange = self._pattern.door.application, self.exchange()
        if isinstance(error, InferenceError):
            exchange.respond(application.error_reply(error))
        else:
            exchange.respond(application.failed(exchange, error))

    def respond(self, reply: Reply) -> None:
        self.exchange().respond(reply)

    def exchange(self) -> Exchange:
        """An ordinary exchange in its place on the connection. It has nothing to do with the reply any more."""
        head = self._pattern.head
        body = self._data[len(self._data) - head.length :]
        exchange = Exchange(self._connection, head.method, head.url, head.headers, body, self.keep_alive, head.plain)
        exchange.work = self
        self._connection.replace(self, exchange)
        self.abandoned = True
        return exchange
