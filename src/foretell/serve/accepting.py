"""Takes clients in where the loop's servers cannot: those with a handshake, and those that processes share."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from functools import partial
from typing import Protocol

_AT_ONCE = 64
"""Clients taken in before those that are in get their turn."""
_MOST_AT_LAST = 4096
_PAUSE_S = 0.5
_SHUTDOWN_S = 5.0
_GIVE_WAY_S = 0.001
_MOST_GIVEN_WAY = 8
_FULL_S = 0.016
"""How long a process that is full, and leaves a client to another that is slow, does not look."""


class Entrance(Protocol):
    """Whoever has the clients that are in, and knows those that are about to come in beside them."""

    def has_room(self) -> bool:
        """Whether the next client may come in; it is counted as refused where not."""

    def my_turn(self, *, waited: bool) -> bool:
        """Whether the next client is for this process, and not for another that waits at the same socket.

        `waited`: it was left to the others for long enough; one that has fewer seems to be busy.
        """

    def expects(self, connection: asyncio.Protocol) -> None:
        """It is about to come in, and takes its room from now on."""

    def expects_no_more(self, connection: asyncio.Protocol) -> None:
        """It has come in, or never will."""

    def stranger(self) -> asyncio.Protocol:
        """A connection that tells a client without TLS that it needs that, and nothing else."""


class Acceptor:
    """Takes clients in and hands them on, after their handshake where there is one: they have `timeout_s` for it.

    The loop's own servers say nothing of handshakes that are under way, so nobody could count them; nor do they leave
    a client to another process.
    """

    def __init__(
        self,
        bound: socket.socket,
        context: ssl.SSLContext | None,
        factory: Callable[[], asyncio.Protocol],
        entrance: Entrance,
        timeout_s: float,
    ) -> None:
        self.context = context
        self._bound, self._factory, self._entrance, self._timeout_s = bound, factory, entrance, timeout_s
        self._coming: set[asyncio.Task[None]] = set()
        self._loop = asyncio.get_running_loop()
        self._paused: asyncio.TimerHandle | None = None
        self._given_way = 0
        self._listen()

    def close(self) -> None:
        """Takes no more clients; who has not finished its handshake is let go."""
        if self._paused is not None:
            self._paused.cancel()
        self._loop.remove_reader(self._bound)
        for task in self._coming:
            task.cancel()

    async def last_call(self) -> None:
        """Takes in who waits at the door now, unless that takes a handshake."""
        if self.context is not None:
            return
        for _ in range(_MOST_AT_LAST):
            if not self._take_one():
                break
        if self._coming:
            await asyncio.wait(self._coming)

    def _listen(self) -> None:
        self._loop.add_reader(self._bound, self._accept)

    def _pause(self, for_s: float) -> None:
        self._loop.remove_reader(self._bound)
        self._paused = self._loop.call_later(for_s, self._listen)

    def _accept(self) -> None:
        for _ in range(_AT_ONCE):
            waited = self._given_way >= _MOST_GIVEN_WAY
            if not self._entrance.my_turn(waited=waited):
                # The socket stays readable until somebody has taken the client: looking at once would be a busy wait.
                self._given_way += 1
                self._pause(_FULL_S if waited else _GIVE_WAY_S)
                return
            self._given_way = 0
            if not self._take_one():
                return

    def _take_one(self) -> bool:
        """Whether there may be more."""
        try:
            client, _ = self._bound.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return False
        except OSError:  # no descriptor is left: others have to close first
            self._pause(_PAUSE_S)
            return False
        if self.context is not None and not self._entrance.has_room():
            client.close()
            return True
        client.setblocking(False)
        connection = self._factory()
        self._entrance.expects(connection)
        ours = [client]
        task = self._loop.create_task(self._bring_in(ours, connection))
        self._coming.add(task)

        def came(task: asyncio.Task[None]) -> None:
            self._coming.discard(task)
            self._entrance.expects_no_more(connection)
            for never_begun in ours:
                never_begun.close()

        task.add_done_callback(came)
        return True

    async def _bring_in(self, ours: list[socket.socket], connection: asyncio.Protocol) -> None:
        context, wait_s = self.context, self._timeout_s
        try:
            stranger = context is not None and await self._speaks_plainly(ours[0])
        except OSError:  # silence, or it has gone
            return
        client = ours.pop()
        bring = partial(self._loop.connect_accepted_socket, lambda: connection, client)
        try:
            if context is None:
                await bring()
            elif stranger:
                await self._loop.connect_accepted_socket(self._entrance.stranger, client)
            else:
                await bring(ssl=context, ssl_handshake_timeout=wait_s, ssl_shutdown_timeout=_SHUTDOWN_S)
        except OSError:  # garbage, silence, a client without the right certificate: there is nobody to tell
            client.close()

    async def _speaks_plainly(self, client: socket.socket) -> bool:
        """Whether its first byte is a letter, as every request of HTTP has; no message of TLS begins so.

        Raises `OSError` where none comes in time.
        """
        try:
            first = client.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            readable = asyncio.Event()
            self._loop.add_reader(client, readable.set)
            try:
                async with asyncio.timeout(self._timeout_s):
                    await readable.wait()
            finally:
                self._loop.remove_reader(client)
            first = client.recv(1, socket.MSG_PEEK)
        return first.isalpha()
