"""The writing half of a connection: replies leave in the order of the requests, while the client reads them."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

from foretell.errors import InferenceError
from foretell.serve.exchange import Exchange
from foretell.serve.messages import Reply, binary_reply
from foretell.serve.reading import RequestReader
from foretell.serve.stream_reply import StreamReply

if TYPE_CHECKING:
    from foretell.serve.model_door import ModelDoor
    from foretell.serve.patterns import KnownRequest
    from foretell.serve.server import HttpServer

_MOST_BEHIND_BYTES = 1 << 20
"""Of replies that are there and wait for those before them, or are to be expected; beyond it, nothing more is begun."""
_LARGE_BYTES = 1 << 13
"""Of a reply; so many smaller ones as a connection may usually ask for at once have room together."""
_STREAM_WATER_BYTES = 1 << 16


class ReplyWriter(RequestReader):
    """Gives replies out in order, one write per tick of the loop at most; begins nothing that has no room."""

    __slots__ = ("_behind_bytes", "_crowded", "_dirty", "_full", "_put_off", "_transport")

    def __init__(self, server: HttpServer) -> None:
        super().__init__(server)
        self._transport: asyncio.Transport | None = None
        self._dirty = self._crowded = self._full = False
        self._put_off: deque[Exchange] = deque()
        """Requests that came behind others, when there was no room for their replies."""
        self._behind_bytes = 0

    def _close(self) -> None:
        """The last reply is written."""
        raise NotImplementedError

    def _accept(self, exchange: Exchange) -> None:
        self._exchanges.append(exchange)
        if not exchange.keep_alive:
            self._closing = True
        if self._paused:
            self._put_off.append(exchange)
            return
        begun = len(self._exchanges) - 1
        puts_off = begun and (self._put_off or not self._fits(exchange, begun))
        if begun + 1 >= self._settings.max_pipelined and exchange.keep_alive:
            self._crowd()
        if puts_off:
            self._put_off.append(exchange)
        else:
            self.server.handle(exchange)

    def _crowd(self) -> None:
        """Nothing more is read nor begun until some of what waits is gone."""
        self._crowded = True
        self._throttle()

    def _go_on(self) -> None:
        """Begins what was put off, while there is room."""
        while self._put_off and not self._paused:
            if not self._fits(self._put_off[0], self._begun):
                if len(self._exchanges) >= self._settings.max_pipelined:
                    self._crowd()
                return
            exchange = self._put_off.popleft()
            if self._begun >= self._settings.max_pipelined:
                self._crowd()
            self.server.handle(exchange)

    @property
    def _begun(self) -> int:
        return len(self._exchanges) - len(self._put_off)

    def _fits(self, exchange: Exchange, begun: int) -> bool:
        """Whether its answer may wait beside those of what has begun."""
        return self.server.answer_sizes.fits(exchange, begun, _MOST_BEHIND_BYTES)

    def wait_for(self, request: KnownRequest) -> None:
        """Takes the only request that it has now."""
        self._misses, self.state = 0, "idle"
        self._exchanges.append(request)

    def replace(self, request: KnownRequest, exchange: Exchange) -> None:
        """Lets `exchange` wait in the place of `request`."""
        self._exchanges[self._exchanges.index(request)] = exchange

    def answer(
        self, request: KnownRequest, body: bytes, request_id: bytes | None = None, text_length: int | None = None
    ) -> None:
        """Writes the reply at once, where nothing else is to be written before it or with it.

        `request_id`: the caller's own. `text_length`: of a binary reply, which has an id of ours.
        """
        exchanges, transport = self._exchanges, self._transport
        if transport is None or len(exchanges) != 1 or not request.keep_alive:
            request.respond(Reply(body) if text_length is None else binary_reply(body, text_length))
            return
        exchanges.pop()
        heads = self.server.reply_heads
        if request_id is not None:
            head = heads.others(len(body), request_id)
        elif text_length is not None:
            head = heads.of_bytes(len(body), text_length)
        else:
            head = heads.own(len(body))
        transport.write(head + body)
        if self.state == "idle":
            self.since = self.server.now

    def refuse(self, request: KnownRequest, door: ModelDoor, error: InferenceError) -> bool:
        """As `answer`, with an error that many are told; False where it has to go the long way."""
        exchanges, transport = self._exchanges, self._transport
        if transport is None or len(exchanges) != 1 or not request.keep_alive:
            return False
        head, body = door.refusal(error)
        exchanges.pop()
        server = self.server
        server.responses[4] += 1
        transport.write(b"%b%b\r\n\r\n%b" % (head, server.reply_heads.new_id(), body))
        if self.state == "idle":
            self.since = server.now
        return True

    def replied(self, exchange: Exchange) -> None:
        """A reply is there; it leaves when those before it have left, with all others of this tick."""
        if exchange.out is not None and len(exchange.out) > _LARGE_BYTES:
            self.server.answer_sizes.learn(exchange)
        if self._exchanges and self._exchanges[0] is exchange:
            if not self._dirty:
                self._dirty = True
                self.server.dirty(self)
        elif exchange.out is not None:
            self._behind_bytes += len(exchange.out)
            if self._behind_bytes > _MOST_BEHIND_BYTES and not self._crowded:
                self._crowd()

    def flush(self) -> None:
        """Writes every reply whose turn it is."""
        self._dirty = False
        exchanges, transport = self._exchanges, self._transport
        if transport is None or not exchanges or (reply := exchanges[0].out) is None:
            return
        last = exchanges.popleft()
        if exchanges and exchanges[0].out is not None:
            replies = [reply]
            while exchanges and (reply := exchanges[0].out) is not None:
                replies.append(reply)
                self._behind_bytes -= len(reply)
                last = exchanges.popleft()
            reply = b"".join(replies)
        transport.write(reply)
        if not last.keep_alive:
            self._close()
        elif self._crowded and self._has_room():
            self._crowded = False
            self._throttle()
        elif self._put_off:
            self._go_on()
        if not exchanges and self.state == "idle":
            self.since = self.server.now
        elif exchanges and (stream := self._first_stream()) is not None:
            stream.turn()

    def _has_room(self) -> bool:
        """Whether half of what may wait is gone."""
        return self._begun < self._settings.max_pipelined // 2 + 1 and self._behind_bytes <= _MOST_BEHIND_BYTES // 2

    def pause_writing(self) -> None:
        self._full = True
        if self._exchanges:
            self.since = self.server.now
        self._throttle()

    def resume_writing(self) -> None:
        self._full = False
        self._throttle()
        if (stream := self._first_stream()) is not None:
            stream.turn()

    @property
    def speaks_http_1_0(self) -> bool:
        """Of the request that is just being accepted."""
        return self._parser.get_http_version() == "1.0"

    def may_stream(self, exchange: Exchange) -> bool:
        """Whether parts of its reply may be written now."""
        return bool(self._exchanges) and self._exchanges[0] is exchange and not self._full

    def stream(self, data: bytes) -> None:
        """Writes a part of the first reply."""
        self._write(data)

    def limit_unsent(self) -> None:
        """From the head of a stream on, little waits for a client that reads slowly; the model waits instead."""
        if self._transport is not None:
            self._transport.set_write_buffer_limits(high=_STREAM_WATER_BYTES)

    def _first_stream(self) -> StreamReply | None:
        """The reply whose turn it is, if it comes in parts."""
        work = self._exchanges[0].work if self._exchanges else None
        return work if isinstance(work, StreamReply) else None

    def _throttle(self) -> None:
        """Reads on only while there is room for further requests and for their replies."""
        wanted = self._crowded or self._full
        if wanted != self._paused and self._transport is not None and not self._transport.is_closing():
            self._paused = wanted
            if wanted:
                self._transport.pause_reading()
            else:
                self._transport.resume_reading()
                self._go_on()

    def _write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)
