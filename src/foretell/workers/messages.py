"""What the supervisor and a worker say to each other over their socket pair: JSON, each message with its length.

Nothing of it can be reached from outside: a socket pair has no name.
"""

from __future__ import annotations

import socket
from typing import Any

import msgspec

MOST_BYTES = 16 * 2**20
"""Of one message."""
PREFIX_BYTES = 4

SUPERVISOR = -1
"""Stands for the supervisor where others are workers, numbered from 0."""


class Start(msgspec.Struct, tag="start"):
    """The first message to a worker. `sockets`, `tally`: descriptors that it inherits. `tells`: it may tell people
    what it notices while it loads; of several that load the same, one does."""

    worker: int
    workers: int
    arguments: dict[str, Any]
    sockets: list[int]
    tally: int
    tells: bool


class Told(msgspec.Struct, tag="told"):
    """To a worker: a message from a sibling or the supervisor, to be answered with a `Reply` of the same number."""

    number: int
    name: str
    payload: Any


class Open(msgspec.Struct, tag="open"):
    """To a worker that is loaded: serve from now on. `before`: what its siblings were told and keep to, in order."""

    before: list[Told]


class Answers(msgspec.Struct, tag="answers"):
    """To a worker that asked. `replies` and `errors` by worker; `missing`: who did not answer in time."""

    number: int
    replies: dict[int, Any]
    errors: dict[int, str]
    missing: list[int]


class Ready(msgspec.Struct, tag="ready"):
    """From a worker: it is loaded. `lines`: what people want to know of what is served."""

    lines: list[str]


class Failed(msgspec.Struct, tag="failed"):
    """From a worker: it cannot be loaded, for this reason, and ends with this code."""

    sentence: str
    exit_code: int


class Ask(msgspec.Struct, tag="ask"):
    """From a worker: tell this to all others and collect what they reply.

    `keep`: under this key, workers that start later are told it, too; a later message under the same key replaces it.
    """

    number: int
    name: str
    payload: Any
    limit_s: float
    keep: str | None = None


class Reply(msgspec.Struct, tag="reply"):
    """From a worker, to what it was told. `error`: one sentence, where it could not be done."""

    number: int
    payload: Any = None
    error: str | None = None


ToWorker = Start | Told | Open | Answers
ToSupervisor = Ready | Failed | Ask | Reply

to_worker = msgspec.json.Decoder(ToWorker)
to_supervisor = msgspec.json.Decoder(ToSupervisor)


class TooLong(Exception):
    """A message that is longer than `MOST_BYTES`."""


def framed(message: ToWorker | ToSupervisor) -> bytes:
    """As it travels. Raises `TooLong`."""
    body = msgspec.json.encode(message)
    if len(body) > MOST_BYTES:
        raise TooLong(f"{len(body)} bytes")
    return len(body).to_bytes(PREFIX_BYTES) + body


def length_of(prefix: bytes) -> int:
    """Bytes of the message that follows. Raises `TooLong`."""
    length = int.from_bytes(prefix)
    if length > MOST_BYTES:
        raise TooLong(f"{length} bytes")
    return length


def receive_start(connection: socket.socket) -> Start | None:
    """The first message, waited for; None where the supervisor is gone."""
    prefix = _exactly(connection, PREFIX_BYTES)
    body = _exactly(connection, length_of(prefix)) if prefix else b""
    message = to_worker.decode(body) if body else None
    return message if isinstance(message, Start) else None


def _exactly(connection: socket.socket, size: int) -> bytes:
    """`size` bytes; none at all where the other side is gone."""
    received = b""
    while len(received) < size:
        piece = connection.recv(size - len(received))
        if not piece:
            return b""
        received += piece
    return received
