"""The HTTP server: sockets, connections, the clock of their time limits, and an orderly end."""

from __future__ import annotations

import asyncio
import contextlib
import email.utils
import socket
import time
from collections.abc import Callable
from typing import Protocol

from foretell.config import ServerSettings
from foretell.errors import InferenceError, NotReady
from foretell.serve.access_log import AccessLog, LoggedExchange, access_log_of
from foretell.serve.answer_sizes import AnswerSizes
from foretell.serve.connection import HttpConnection, PlainConnection
from foretell.serve.cors import Cors, CorsConnection, with_preflight
from foretell.serve.exchange import Exchange
from foretell.serve.heads import HeadCache
from foretell.serve.held import HeldBodies
from foretell.serve.hosts import hosts_of
from foretell.serve.listen import Listener, bind
from foretell.serve.messages import Reply
from foretell.serve.packing import Packer
from foretell.serve.patterns import Patterns
from foretell.serve.reply_heads import ReplyHeads
from foretell.serve.writing import ReplyWriter

_SWEEP_S = 1.0
_LINGER_S = 1.0
_GRACE_S = 0.5
"""How long requests may come over open connections after the end was announced by closing the door."""


class Application(Protocol):
    """What answers requests. `handle` must see to it that `exchange.respond` is called once."""

    def handle(self, exchange: Exchange) -> None: ...

    def error_reply(self, error: InferenceError) -> Reply: ...


class Turn(Protocol):
    """Where several processes share a socket: how many clients each has, and who takes the next one in."""

    def may_take(self, connections: int, *, waited: bool) -> bool:
        """Whether this process, which has so many, takes the next one; `waited`: it was left to others long enough."""

    def holds(self, connections: int) -> None:
        """It has so many now, and is awake."""

    def leave(self) -> None:
        """It takes no more."""


class HttpServer:
    """Listens, hands requests to the application, writes replies once per tick, sweeps slow clients."""

    def __init__(self, application: Application, settings: ServerSettings) -> None:
        self.settings = settings
        self.welcomes = True
        """Whether readiness may say yes: no end has been announced."""
        self.draining = False
        self.now = time.monotonic()
        """Seconds; renewed once a second, which is exact enough for time limits of connections."""
        self.date = b""
        self.refused_connections = 0
        self.handle: Callable[[Exchange], None] = application.handle
        self.error_reply = application.error_reply
        self.gate: Callable[[Exchange], None] | None = None
        """Asked before a large body is read; raises `InferenceError` where nobody would look at it."""
        self.factory: Callable[[], HttpConnection] = lambda: HttpConnection(self)
        if settings.cors_origins:
            cors = Cors(settings.cors_origins)
            self.handle = with_preflight(cors, application.handle)
            self.factory = lambda: CorsConnection(self, cors)
        self.held = HeldBodies(max(settings.max_buffered_bytes, 2 * settings.max_body_bytes))
        self.answer_sizes = AnswerSizes()
        self.packer = Packer()
        self._connections: set[HttpConnection] = set()
        self.alone = False
        """Whether there is one connection only."""
        self._expected: set[asyncio.Protocol] = set()
        """Those that have been accepted and are not in yet, of all sockets. None of them is in `_connections`, too."""
        self.reply_heads = ReplyHeads()
        self.json_head = self.reply_heads.own
        self.responses = [0] * 6
        """Replies by the first digit of their status, but for those whose heads were remembered."""
        self.heads = HeadCache()
        self.hosts = hosts_of(settings.allowed_hosts, settings.host, local=True)
        self.access_log: AccessLog | None = None
        """Opened by `start`, where the settings ask for one."""
        self.exchange: type[Exchange] = Exchange if settings.access_log == "off" else LoggedExchange
        self.patterns = Patterns()
        self._dirty: list[ReplyWriter] = []
        self._flush_scheduled = False
        self._listener: Listener | None = None
        self._turn: Turn | None = None
        self._sweeper: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._empty: asyncio.Event | None = None

    @property
    def replies_simply(self) -> bool:
        """Whether nothing but the reply comes of a request: no line in a log, no header for pages of other origins."""
        settings = self.settings
        logged = self.exchange is not Exchange
        return not (self.draining or logged or settings.cors_origins or settings.max_pipelined < 2)

    @property
    def connections(self) -> int:
        return len(self._connections)

    @property
    def listener(self) -> Listener:
        """Where it listens. Raises `RuntimeError` before `start`."""
        if self._listener is None:
            raise RuntimeError("the server has not been started")
        return self._listener

    @property
    def address(self) -> tuple[str, int]:
        """Host and port it really listens on; for a Unix socket its path and 0."""
        return self.listener.address

    def responses_by_class(self) -> dict[str, int]:
        """Replies so far: "2xx" and the like."""
        remembered = {2: self.reply_heads.count}
        return {f"{digit}xx": self.responses[digit] + remembered.get(digit, 0) for digit in range(1, 6)}

    def bind(self, sockets: list[socket.socket] | None = None, turn: Turn | None = None) -> None:
        """Lets clients wait for `start`, in `sockets` or in those it makes. `turn`: other processes share the sockets.

        Raises `Unavailable` where the address is not to be had, `InvalidSetting` for a file that cannot be.
        """
        settings, self._turn = self.settings, turn
        self.access_log = access_log_of(settings)
        bound = bind(settings) if sockets is None else sockets
        listener = self._listener = Listener(settings, bound, shared=turn is not None)
        tcp = not settings.unix_socket
        self.hosts = hosts_of(settings.allowed_hosts, settings.host, local=listener.local, tcp=tcp)

    async def start(self) -> None:
        """Takes clients in. Binds where nobody has, and raises as that does, and `InvalidSetting` for a certificate or
        key that cannot be used."""
        self._loop = asyncio.get_running_loop()
        if self._listener is None:
            self.bind()
        self._sweep()
        await self.listener.start(self.factory, self)

    def announce_end(self) -> None:
        """Is not ready from now on, and serves as before."""
        self.welcomes = False

    async def linger(self, enough: asyncio.Event) -> None:
        """Says for `drain_delay_s`, or until there is `enough`, that it is not ready, and serves as before meanwhile.

        Proxies and orchestrators find out by asking, and send clients here until then.
        """
        self.announce_end()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.settings.drain_delay_s):
                await enough.wait()

    async def stop(self) -> None:
        """Takes no new connection, answers what was accepted (up to `drain_timeout_s`), closes.

        Requests that are on their way over open connections are still answered, and told that it was the last. What
        is not answered in time is told to try elsewhere.
        """
        self.draining, self.welcomes = True, False
        self.patterns.clear()
        if self._turn is not None:
            self._turn.leave()
        if self._listener is not None:
            await self._listener.last_call()
            self._listener.close()
        for connection in list(self._connections):
            connection.close_after_last()
        await self._all_closed(min(_GRACE_S, self.settings.drain_timeout_s))
        for connection in list(self._connections):
            connection.close_if_idle()
        await self._all_closed(self.settings.drain_timeout_s)
        for connection in list(self._connections):
            connection.give_up(NotReady("the server is shutting down", fix="try again elsewhere"))
        self.flush()
        await self._all_closed(_LINGER_S)
        for connection in list(self._connections):
            connection.abort()
        if self._sweeper is not None:
            self._sweeper.cancel()
        self.packer.close()
        if self.access_log is not None:
            await asyncio.to_thread(self.access_log.lines.close)

    def has_room(self) -> bool:
        """Whether another client may come in beside those that have, and those that are about to."""
        return self._fits(self._count)

    @property
    def _count(self) -> int:
        return len(self._connections) + len(self._expected)

    def _fits(self, beside: int) -> bool:
        if beside < self.settings.max_connections:
            return True
        self.refused_connections += 1
        return False

    def reload(self) -> None:
        """See `Listener.reload`. Before it listens there is nothing to do: it reads the files then."""
        if self._listener is not None:
            self._listener.reload()

    def my_turn(self, *, waited: bool) -> bool:
        """Whether the next client is this process's to take in."""
        if self._turn is None or self.draining:
            return True
        self._turn.holds(self._count)
        return self._turn.may_take(self._count, waited=waited)

    def expects(self, connection: asyncio.Protocol) -> None:
        """It is accepted, and on its way to `opened`."""
        self._expected.add(connection)

    def expects_no_more(self, connection: asyncio.Protocol) -> None:
        """It is in, or will not come: its handshake failed. Harmless when repeated."""
        if connection in self._expected:
            self._expected.remove(connection)
            self._tell_count()

    def stranger(self) -> asyncio.Protocol:
        """For a client that speaks HTTP where TLS is needed."""
        return PlainConnection(self)

    def opened(self, connection: HttpConnection) -> bool:
        """Whether there is room for it."""
        self._expected.discard(connection)
        if not self._fits(len(self._connections)):  # those behind it take no room from it
            return False
        self._connections.add(connection)
        self.alone = len(self._connections) == 1
        return True

    def closed(self, connection: HttpConnection) -> None:
        self._connections.discard(connection)
        self.alone = len(self._connections) == 1
        self._tell_count()
        if self._empty is not None and not self._connections:
            self._empty.set()

    def _tell_count(self) -> None:
        if self._turn is not None and not self.draining:
            self._turn.holds(self._count)

    def dirty(self, connection: ReplyWriter) -> None:
        """Remembers a connection with something to write, for `flush`."""
        self._dirty.append(connection)
        if not self._flush_scheduled and self._loop is not None:
            self._flush_scheduled = True
            self._loop.call_soon(self.flush)

    def flush(self) -> None:
        """Writes what there is, one write for each connection. Batchers call it right after a delivery."""
        self._flush_scheduled = False
        connections, self._dirty = self._dirty, []
        for connection in connections:
            connection.flush()

    def _sweep(self) -> None:
        self.now = time.monotonic()
        self.date = b"Date: %b\r\n" % email.utils.formatdate(usegmt=True).encode()
        self.reply_heads.renew(self.date)
        for connection in list(self._connections):
            connection.expire(self.now)
        self._tell_count()
        if self._loop is not None:
            self._sweeper = self._loop.call_later(_SWEEP_S, self._sweep)

    async def _all_closed(self, most_s: float) -> None:
        """Returns when no connection is left, or after `most_s`."""
        if self._connections:
            self._empty = asyncio.Event()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(most_s):
                    await self._empty.wait()
