"""The process that has a database's driver, as the job sees it: one task, one answer, and it ends."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import ExitStack

from foretell.batch.sql.messages import Failed, Going, Place, Reply, Task, replies
from foretell.errors import Unavailable
from foretell.remote.channel import Channel, ChannelClosed, Garbage
from foretell.remote.faults import fault
from foretell.remote.start import start

_CHILD = "foretell.batch.sql.child"
_END_S = 10.0


def here() -> Place:
    """Where this process works."""
    folder = os.getcwd()
    return Place(folder, [os.path.join(folder, place) for place in sys.path if isinstance(place, str)])


def ask(task: Task, going: Callable[[int], None]) -> Reply:
    """Has a process do `task`. It ends with this one, at whatever moment. Raises what went wrong there, and
    `Unavailable` where it ended in the middle. `going`: told of rows, on this thread."""
    with ExitStack() as ours:
        mine, process = start(_CHILD, "sql", ours, _nothing)
        ours.callback(process.join, _END_S)
        ours.callback(process.kill)
        channel = Channel(mine)
        try:
            channel.send(task)
            return _answer(channel, going)
        except (ChannelClosed, Garbage, ValueError):
            process.wait(_END_S)
            what = f"the process that works with the database {process.ending}"
            raise Unavailable(what, fix="run the same command again: it goes on where it stopped") from None


def _answer(channel: Channel, going: Callable[[int], None]) -> Reply:
    while True:
        message = channel.receive()
        if message is None:
            continue
        reply: Reply = replies.decode(message)
        if isinstance(reply, Failed):
            raise fault(reply.note)
        if not isinstance(reply, Going):
            return reply
        going(reply.rows)


def _nothing() -> None:
    """The connection tells of its end."""
