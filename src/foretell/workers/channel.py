"""One end of the socket pair between the supervisor and a worker, on an event loop."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Generic, TypeVar

from foretell.workers.messages import PREFIX_BYTES, ToSupervisor, ToWorker, framed, length_of

_MOST_UNSENT_BYTES = 4 * 2**20
"""Beyond it the other side does not read, and is told nothing more."""

ReceivedT = TypeVar("ReceivedT")


class Channel(Generic[ReceivedT]):
    """Messages in both directions, in order."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, decode: Callable[[bytes], ReceivedT]
    ) -> None:
        self._reader, self._writer, self._decode = reader, writer, decode

    @classmethod
    async def over(cls, connection: socket.socket, decode: Callable[[bytes], ReceivedT]) -> Channel[ReceivedT]:
        """Takes the socket over."""
        connection.setblocking(False)
        return cls(*await asyncio.open_unix_connection(sock=connection), decode)

    def send(self, message: ToWorker | ToSupervisor) -> bool:
        """Whether the message is on its way: not to a side that is gone or does not read. Raises `TooLong`."""
        transport = self._writer.transport
        if transport.is_closing() or transport.get_write_buffer_size() > _MOST_UNSENT_BYTES:
            return False
        self._writer.write(framed(message))
        return True

    async def receive(self) -> ReceivedT | None:
        """The next message; None when the other side is gone. Raises `TooLong`, `msgspec.DecodeError`."""
        try:
            prefix = await self._reader.readexactly(PREFIX_BYTES)
            return self._decode(await self._reader.readexactly(length_of(prefix)))
        except (asyncio.IncompleteReadError, ConnectionError):
            return None

    def close(self) -> None:
        self._writer.close()
