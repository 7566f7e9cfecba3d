"""Messages over a socket between two processes of one machine: four bytes of length, then the message."""

from __future__ import annotations

import select
import socket
import struct
from typing import Any

import msgspec

MOST_MESSAGE_BYTES = 64 * 2**20

_PREFIX = struct.Struct("<I")
_USUAL_BYTES = 128 * 2**10


class ChannelClosed(Exception):
    """The other side has closed its end, or ended."""


class Garbage(Exception):
    """The other side sent what is no message. The text says what, for the people who run the server."""


class Channel:
    """One side of a conversation in which the sides take turns, so that never more than one message is under way.

    Not thread-safe, but for `shut`, which ends the waiting of the others.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._poll = select.poll()
        self._poll.register(connection, select.POLLIN)
        self._encoder = msgspec.msgpack.Encoder()
        self._outgoing = bytearray()
        self._incoming = bytearray(_USUAL_BYTES)
        self._got = 0

    def send(self, message: Any, timeout_s: float | None = None) -> None:
        """Raises `ValueError` for a message that is too large, which then is not sent; `TimeoutError`."""
        outgoing = self._outgoing
        self._encoder.encode_into(message, outgoing, _PREFIX.size)
        size = len(outgoing) - _PREFIX.size
        if size > MOST_MESSAGE_BYTES:
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
        while timeout_s is None or self._poll.poll(timeout_s * 1000):
            got = self._got = self._got + self._received()
            if got < _PREFIX.size:
                continue
            whole = _PREFIX.unpack_from(self._incoming)[0] + _PREFIX.size
            if got == whole:
                return self._taken(whole)
            if got > whole:
                raise Garbage("more than one message")
            if whole > len(self._incoming):
                self._make_room(whole)
        return None

    def _received(self) -> int:
        try:
            if self._got:
                with memoryview(self._incoming) as incoming:
                    got = self._connection.recv_into(incoming[self._got :])
            else:
                got = self._connection.recv_into(self._incoming)
        except OSError as error:
            raise ChannelClosed from error
        if not got:
            raise ChannelClosed
        return got

    def _make_room(self, whole: int) -> None:
        if whole > MOST_MESSAGE_BYTES + _PREFIX.size:
            raise Garbage(f"a message of {whole} bytes")
        longer = bytearray(whole)
        longer[: self._got] = self._incoming[: self._got]
        self._incoming = longer

    def _taken(self, whole: int) -> memoryview:
        self._got = 0
        message = memoryview(self._incoming)[_PREFIX.size : whole]
        if whole > _USUAL_BYTES:
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
