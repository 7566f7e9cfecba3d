"""A large body whose length is known, read by the kernel to where it stays."""

from __future__ import annotations

import asyncio
from typing import Protocol

import numpy as np

from foretell.serve.messages import HttpError

LARGE_BYTES = 128 * 2**10
"""From this size on, reading a body piece by piece and joining the pieces costs more than all the rest."""

_ALIGNED = 16


class Reader(Protocol):
    """Whose body it is: what the transport tells goes there, but for the bytes."""

    def large_body_read(self) -> None:
        """More of it is there, or all of it."""
        ...

    def connection_lost(self, exc: Exception | None) -> None: ...
    def eof_received(self) -> bool: ...
    def pause_writing(self) -> None: ...
    def resume_writing(self) -> None: ...


class LargeBody(asyncio.BufferedProtocol):
    """Stands in for a connection with its transport until the rest of one body is there.

    Its memory is asked for at once and taken page by page as the bytes arrive: a client that only announces a large
    body takes none.
    """

    def __init__(self, reader: Reader, length: int, text_length: int) -> None:
        """`text_length`: how many bytes of the body stand before the tensors, which shall begin where numbers may.

        Raises `HttpError` 503 where the memory is not to be had.
        """
        self._reader = reader
        lead = -text_length % _ALIGNED
        try:
            self._view = np.empty(lead + length, np.uint8).data[lead:]
        except MemoryError:
            what = f"there is no memory for a body of {length} bytes now"
            raise HttpError(503, what, ((b"Retry-After", b"1"),)) from None
        self._at = 0

    @property
    def size(self) -> int:
        """Bytes that are there."""
        return self._at

    @property
    def whole(self) -> bool:
        return self._at == len(self._view)

    def content(self) -> memoryview:
        """Read-only, as a `bytes` is. Valid once it is `whole`."""
        return self._view.toreadonly()

    def add(self, piece: bytes) -> None:
        """What had been read before it took over. Its framing has been checked: it never is too long."""
        self._view[self._at : self._at + len(piece)] = piece
        self._at += len(piece)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._view[self._at :]

    def buffer_updated(self, nbytes: int) -> None:
        self._at += nbytes
        self._reader.large_body_read()

    def connection_lost(self, exc: Exception | None) -> None:
        self._reader.connection_lost(exc)

    def eof_received(self) -> bool:
        return self._reader.eof_received()

    def pause_writing(self) -> None:
        self._reader.pause_writing()

    def resume_writing(self) -> None:
        self._reader.resume_writing()
