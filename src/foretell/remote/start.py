"""Starting a process that is talked to, and that ends with this one at whatever moment."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Sequence
from contextlib import ExitStack

from foretell.remote.process import Process

_UNREAD_BYTES = 256 * 2**10
"""Linux has 208 KiB unless somebody has set another default; macOS 8 KiB."""


def start(
    module: str,
    name: str,
    ours: ExitStack,
    on_end: Callable[[], None],
    files: Sequence[int] = (),
    words: Sequence[str] = (),
) -> tuple[socket.socket, Process]:
    """Runs `python -m MODULE SOCKET LIFELINE FILE... WORD...`; our end of the socket, and the process.

    `LIFELINE`: the reading end of a pipe that this process holds open as long as it lives. `files`: further descriptors
    that it gets. What this process holds is given back by `ours`. Raises `Unavailable`.
    """
    with ExitStack() as theirs:
        mine, connection = pair()
        ours.callback(mine.close)
        theirs.callback(connection.close)
        lifeline, held = os.pipe()
        ours.callback(os.close, held)
        theirs.callback(os.close, lifeline)
        given = (connection.fileno(), lifeline, *files)
        return mine, Process(module, [*map(str, given), *words], given, on_end, name)


def pair() -> tuple[socket.socket, socket.socket]:
    """Two ends, each of which takes two messages that need no room elsewhere, or one usual one, before the other reads:
    two processes that both write first would wait for each other for ever."""
    ends = socket.socketpair()
    for end in ends:
        for way in (socket.SO_SNDBUF, socket.SO_RCVBUF):
            if end.getsockopt(socket.SOL_SOCKET, way) < _UNREAD_BYTES:
                end.setsockopt(socket.SOL_SOCKET, way, _UNREAD_BYTES)
    return ends
