"""The usual request: all of its bytes but its numbers are those of an earlier one, so that only they are new."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from foretell.engine.work import Completed, Part, Work
from foretell.errors import InferenceError, Overloaded
from foretell.serve.codings import COMPRESS_FROM_BYTES
from foretell.serve.exchange import Exchange
from foretell.serve.heads import TEXT_LENGTH
from foretell.serve.messages import ID_HEADER, Reply, binary_reply, is_id

if TYPE_CHECKING:
    from foretell.serve.codecs.oip_known import Numbers
    from foretell.serve.heads import Head, Headers
    from foretell.serve.model_door import ModelDoor
    from foretell.serve.writing import ReplyWriter

_MOST_SIZES = 1024
_MOST_BYTES = 4096
_EVERY = 16


class Pattern:
    """The bytes before and behind the numbers of a request that was parsed, decoded, checked and routed.

    A request of the same size with the same bytes around its numbers has the same head, which tells the same length of
    the body; JSON is context-free, so with another list of as many numbers it is as valid as that one was.
    """

    __slots__ = (
        "asked", "before", "behind", "between", "count", "door", "head", "id_at", "kind", "read", "start", "stop",
        "timeout_s", "wanted",
    )  # fmt: skip

    def __init__(
        self, data: bytes, body_at: int, numbers: Numbers, head: Head, door: ModelDoor, id_at: slice | None = None
    ) -> None:
        """`body_at`: where the body of `data` begins, in which `numbers` are. `id_at`: where its id is, another one
        each time. Raises `InvalidInput`."""
        self.start, self.stop, self.id_at = body_at + numbers.start, body_at + numbers.stop, id_at
        self.before, self.between = data[: self.start], b""
        if id_at is not None:
            self.before, self.between = data[: id_at.start], data[id_at.stop : self.start]
        self.behind = data[self.stop :]
        self.head, self.door, self.read, self.count = head, door, numbers.read, numbers.length
        self.asked = asked = numbers.asked
        self.timeout_s = door.timeout_s if asked.timeout_s is None else min(door.timeout_s, asked.timeout_s)
        wanted = door.wanted(asked)
        self.wanted = wanted or ()
        self.kind = KnownRequest if wanted is None else KnownRequestOfOutputs

    def fits(self, data: bytes) -> bool:
        """Whether what lies between `before` and the numbers is as it was, but for an id that a reply can hold."""
        id_at = self.id_at
        return id_at is None or (data.startswith(self.between, id_at.stop) and is_id(data[id_at]))


class Patterns:
    """Takes requests that fit a pattern. Bounded: one pattern for each size of a request, up to 4 KiB and 1,024 sizes.

    A pattern stays while its model does and nobody has to show a token.
    """

    def __init__(self) -> None:
        self.doors: dict[bytes, ModelDoor] = {}
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
        if pattern.id_at is not None and not pattern.fits(data):
            return False
        try:
            values = pattern.read(data[pattern.start : pattern.stop])
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return False
        if len(values) != pattern.count:
            return False
        request = pattern.kind(connection, pattern, data, values)
        connection.wait_for(request)
        door = pattern.door
        try:
            if connection.server.alone:
                door.submit_alone(request)
            else:
                door.submit(request)
        except Exception as error:
            if request.ended:  # it has its answer
                raise
            request.failed(error)
        return True

    def learn(self, data: bytes, head: Head, body: bytes, id_at: slice | None = None) -> None:
        """Remembers a request whose head is known, if its body is, too. It seldom does so where that is of little use:
        where many differ elsewhere, or clients take turns whose requests are of one size. `id_at`: see `Pattern`."""
        self._tries += 1
        seldom = self._tries > _EVERY or len(data) in self._patterns
        if len(data) > _MOST_BYTES or (seldom and self._tries % _EVERY):
            return
        door = self.doors.get(head.url)
        numbers = door.numbers(body, head.headers.get(TEXT_LENGTH)) if door is not None else None
        if door is None or numbers is None:
            return
        try:
            pattern = Pattern(data, len(data) - len(body), numbers, head, door, id_at)
        except InferenceError:  # it will be told on the long way
            return
        if len(self._patterns) >= _MOST_SIZES:
            self._patterns.clear()
        self._patterns[len(data)] = pattern
        self._tries = 0


class KnownRequest(Work):
    """Stands for an exchange and its work at once, in the connection and in the engine.

    Where it comes otherwise than usual, with an error or another request before it on its connection, an ordinary
    exchange takes its place.
    """

    __slots__ = ("_connection", "_data", "_pattern", "abandoned", "keep_alive")

    only_tells = True
    out: bytes | None = None
    """Once it has a reply, it is not on the connection any more."""

    def __init__(self, connection: ReplyWriter, pattern: Pattern, data: bytes, values: Part) -> None:
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
    def pattern(self) -> Pattern:
        """What it fits."""
        return self._pattern

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
        else:
            if len(body) < COMPRESS_FROM_BYTES or b"accept-encoding" not in self.headers:
                id_at = pattern.id_at
                self._connection.answer(self, body, None if id_at is None else self._data[id_at])
            else:
                self.respond(Reply(body))

    def fail(self, error: InferenceError) -> None:
        if self.abandoned:
            return
        door = self._pattern.door
        if type(error) is Overloaded and self._pattern.id_at is None and self._connection.refuse(self, door, error):
            return
        exchange = self.exchange()
        if not door.hands_over(exchange, error, self):
            exchange.respond(door.application.error_reply(error))

    def failed(self, error: Exception) -> None:
        """Something went wrong on the way there or back."""
        self._pattern.door.application.fail(self.exchange(), error)

    def respond(self, reply: Reply) -> None:
        self.exchange().respond(reply)

    def exchange(self) -> Exchange:
        """An ordinary exchange in its place on the connection. It has nothing to do with the reply any more."""
        head, id_at = self._pattern.head, self._pattern.id_at
        body = self._data[len(self._data) - head.length :]
        headers = head.headers if id_at is None else {**head.headers, ID_HEADER: self._data[id_at]}
        exchange = Exchange(self._connection, head.method, head.url, headers, body, self.keep_alive, id_at is None)
        exchange.work = self
        self._connection.replace(self, exchange)
        self.abandoned = True
        return exchange


class KnownRequestOfOutputs(KnownRequest):
    """One that wants some outputs, or bytes."""

    __slots__ = ()

    def done(self, completed: Completed, start: int) -> None:
        if self.abandoned:
            return
        pattern, shared = self._pattern, completed.scratch
        try:
            only_bytes = shared[pattern] if pattern in shared else self._only_bytes(completed)
            if only_bytes is None:
                batch = completed.batch.slice(start, start + self.rows)
                reply = pattern.door.encoder.mixed(batch, pattern.asked.id, pattern.wanted)
        except Exception as error:
            self.failed(error)
            return
        if only_bytes is None:
            self.respond(reply)
            return
        text, values, row_bytes = only_bytes
        body = text + values[start * row_bytes : (start + self.rows) * row_bytes]
        if len(body) < COMPRESS_FROM_BYTES or b"accept-encoding" not in self.headers:
            self._connection.answer(self, body, text_length=len(text))
        else:
            self.respond(binary_reply(body, len(text)))

    def _only_bytes(self, completed: Completed) -> tuple[bytes, bytes, int] | None:
        """What all replies to this pattern in a batch share, see `ReplyEncoder.only_bytes`."""
        pattern = self._pattern
        shared = pattern.door.encoder.only_bytes(completed, self.rows, pattern.asked.id, pattern.wanted)
        completed.scratch[pattern] = shared
        return shared
