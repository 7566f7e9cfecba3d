"""Messages over a socket between two processes of one machine: four bytes of length, then the message."""

from __future__ import annotations

import select
import socket
import struct
import time
from collections.abc import Iterator
from typing import Any

import msgspec

from foretell.clock import LOOK_S

MOST_MESSAGE_BYTES = 64 * 2**20

_PREFIX = struct.Struct("<I")
_USUAL_BYTES = 128 * 2**10


class ChannelClosed(Exception):
    """The other side has closed its end, or ended."""


class Garbage(Exception):
    """The other side sent what is no message. The text says what, for the people who run the server."""


class Channel:
    """One side of a conversation in which few messages are under way at a time.

    Not thread-safe, but for `shut`, which ends the waiting of the others.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._poll = select.poll()
        self._poll.register(connection, select.POLLIN)
        self._encoder = msgspec.msgpack.Encoder()
        self._outgoing = bytearray()
        self._incoming = bytearray(_USUAL_BYTES)
        self._at = self._got = 0
        """What has come and was not taken yet is `_incoming[_at:_got]`."""

    @property
    def number(self) -> int:
        """The descriptor of its socket."""
        return self._connection.fileno()

    def send(self, message: Any, timeout_s: float | None = None, most_bytes: int = MOST_MESSAGE_BYTES) -> None:
        """Raises `ValueError` for a message of more than `most_bytes`, which then is not sent; `TimeoutError`."""
        outgoing = self._outgoing
        self._encoder.encode_into(message, outgoing, _PREFIX.size)
        size = len(outgoing) - _PREFIX.size
        if size > most_bytes:
            self._outgoing = bytearray()
            raise ValueError(f"a message of {size} bytes")
        _PREFIX.pack_into(outgoing, 0, size)
        try:
            if size <= _USUAL_BYTES:  # so much always fits while nothing else is under way
                self._connection.sendall(outgoing)
            else:
                self._outgoing = bytearray()
                self._connection.settimeout(timeout_s)
                self._connection.sendall(outgoing)
                self._connection.settimeout(None)
        except TimeoutError:
            raise
        except OSError as error:
            raise ChannelClosed from error

    def receive(self, timeout_s: float | None = None) -> memoryview | None:
        """The next message, valid until the next call; None where it is not complete within `timeout_s`.

        A message that has begun is kept, and the next call goes on with it. Raises `ChannelClosed` and `Garbage`.
        """
        while (message := self._taken()) is None:
            if timeout_s is not None and not self._comes(timeout_s):
                return None
            self._fill()
        return message

    def _comes(self, timeout_s: float) -> bool:
        """Whether something comes within the time. Handlers of signals run at most `LOOK_S` late."""
        until = time.monotonic() + timeout_s
        while not self._poll.poll(min(timeout_s, LOOK_S) * 1000):
            timeout_s = until - time.monotonic()
            if timeout_s <= 0:
                return False
        return True

    def arrived(self) -> Iterator[memoryview]:
        """The messages that are complete with what can be read now, each valid until the next. Does not wait.

        Raises `ChannelClosed` and `Garbage`.
        """
        self._fill(socket.MSG_DONTWAIT)
        while (message := self._taken()) is not None:
            yield message

    def _fill(self, flags: int = 0) -> None:
        """Takes in what there is. The part of a message that is there already is at the start by then."""
        try:
            if self._got:
                with memoryview(self._incoming) as incoming:
                    got = self._connection.recv_into(incoming[self._got :], 0, flags)
            else:
                got = self._connection.recv_into(self._incoming, 0, flags)
        except BlockingIOError:
            if not flags:  # somebody has made the socket one that never waits
                self._poll.poll()
            return
        except OSError as error:
            raise ChannelClosed from error
        if not got:
            raise ChannelClosed
        self._got += got

    def _taken(self) -> memoryview | None:
        """The next message, where it is there; else there is room for the rest of it."""
        at, there = self._at, self._got - self._at
        whole = _PREFIX.size
        if there >= whole:
            whole += _PREFIX.unpack_from(self._incoming, at)[0]
            if there >= whole:
                return self._take(at, at + whole)
            if whole > MOST_MESSAGE_BYTES + _PREFIX.size:
                raise Garbage(f"a message of {whole} bytes")
        if at or whole > len(self._incoming):
            # Never in its own place: a message that was taken before may still be looked at.
            rest = bytearray(max(whole, _USUAL_BYTES))
            rest[:there] = self._incoming[at : self._got]
            self._incoming, self._at, self._got = rest, 0, there
        return None

    def _take(self, start: int, end: int) -> memoryview:
        message = memoryview(self._incoming)[start + _PREFIX.size : end]
        self._at = end
        if end == self._got:
            self._at = self._got = 0
            if end > _USUAL_BYTES:
                self._incoming = bytearray(_USUAL_BYTES)
        return message

    def shut(self) -> None:
        """Ends the conversation on both sides. Safe from any thread."""
        try:
            self._connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            return  # the other side was first

    def close(self) -> None:
        self._connection.close()
