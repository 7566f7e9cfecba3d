"""Messages over a socket between two processes of one machine: four bytes of length, then the message."""

from __future__ import annotations

import select
import socket
from typing import Any

import msgspec

MOST_MESSAGE_BYTES = 64 * 2**20

_PREFIX_BYTES = 4
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
        self._encoder.encode_into(message, outgoing, _PREFIX_BYTES)
        size = len(outgoing) - _PREFIX_BYTES
        if size > MOST_MESSAGE_BYTES:
            self._outgoing = bytearray()
            raise ValueError(f"a message of {size} bytes")
        outgoing[:_PREFIX_BYTES] = size.to_bytes(_PREFIX_BYTES, "little")
        self._send(outgoing, timeout_s)
        if len(outgoing) > _USUAL_BYTES:
            self._outgoing = bytearray()

    def _send(self, data: bytearray, timeout_s: float | None) -> None:
        try:
            if timeout_s is None or len(data) <= _USUAL_BYTES:  # so much always fits while nothing else is under way
                self._connection.sendall(data)
                return
            self._connection.settimeout(timeout_s)
            self._connection.sendall(data)
            self._connection.settimeout(None)
        except TimeoutError:
            raise
        except OSError as error:
            raise ChannelClosed from error

    def receive(self, timeout_s: float | None = None) -> memoryview | None:
        """The next message, valid until the next call; None where it is not complete within `timeout_s`.

        A message that has begun is kept, and the next call goes on with it.
        """
        while True:
            if timeout_s is not None and not self._poll.poll(timeout_s * 1000):
                return None
            with memoryview(self._incoming) as incoming:
                got = self._receive_into(incoming[self._got :])
            self._got += got
            if self._got < _PREFIX_BYTES:
                continue
            size = int.from_bytes(self._incoming[:_PREFIX_BYTES], "little")
            if size > MOST_MESSAGE_BYTES:
                raise Garbage(f"a message of {size} bytes")
            whole = _PREFIX_BYTES + size
            if self._got == whole:
                self._got = 0
                return self._taken(whole)
            if self._got > whole:
                raise Garbage("more than one message")
            if whole > len(self._incoming):
                longer = bytearray(whole)
                longer[: self._got] = self._incoming[: self._got]
                self._incoming = longer

    def _taken(self, whole: int) -> memoryview:
        message = memoryview(self._incoming)[_PREFIX_BYTES:whole]
        if whole > _USUAL_BYTES:
            self._incoming = bytearray(_USUAL_BYTES)
        return message

    def _receive_into(self, free: memoryview) -> int:
        try:
            got = self._connection.recv_into(free)
        except OSError as error:
            raise ChannelClosed from error
        if not got:
            raise ChannelClosed
        return got

    def shut(self) -> None:
        """Ends the conversation on both sides. Safe from any thread."""
        try:
            self._connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            return  # the other side was first

    def close(self) -> None:
        self._connection.close()
