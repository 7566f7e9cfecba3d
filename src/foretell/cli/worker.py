"""One of the processes of `foretell serve --workers N`; the supervisor starts it."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import sys
import warnings

import msgspec

from foretell.cli.greeting import serving_on
from foretell.cli.running import run
from foretell.cli.telling import Teller
from foretell.cli.worker_calls import Others, answer_for
from foretell.clock import SystemClock
from foretell.config import ServerSettings
from foretell.errors import InferenceError, InvalidSetting
from foretell.repository.loader import Loader
from foretell.serve.application import Application
from foretell.workers.channel import Channel
from foretell.workers.messages import Failed, Start, framed, receive_start, to_worker
from foretell.workers.parent import end_with_parent
from foretell.workers.siblings import Siblings
from foretell.workers.tally import Seat, Tally


def main() -> int:
    """`sys.argv` ends with the descriptor of the socket to the supervisor."""
    for number in (signal.SIGINT, signal.SIGHUP):  # the supervisor passes on what is meant for all
        signal.signal(number, signal.SIG_IGN)
    end_with_parent()
    connection = socket.socket(fileno=int(sys.argv[-1]))
    start = receive_start(connection)
    if start is None:
        return 0
    arguments = start.arguments
    settings = msgspec.convert(arguments["settings"], ServerSettings)
    tell = Teller(settings.log_format, start.worker)
    tell.take_over()
    if not start.tells:
        warnings.simplefilter("ignore")
    member = Member(start, connection, tell)
    try:
        return run(arguments["models"], arguments["flags"], settings, member)
    except InferenceError as error:
        return member.failed(error)
    finally:
        tell.end()


class Member:
    """One of several, as `running.Place` has it."""

    signals: tuple[signal.Signals, ...] = (signal.SIGTERM,)

    def __init__(self, start: Start, connection: socket.socket, tell: Teller) -> None:
        self.tell = tell
        self.workers, self.worker, self.tells = start.workers, start.worker, start.tells
        self._start, self._connection = start, connection
        self._siblings: Siblings | None = None
        self._watching: asyncio.Task[None] | None = None

    def stops(self) -> None:
        """The supervisor tells it for all."""

    def failed(self, error: InferenceError) -> int:
        """Tells why it ends, and returns the exit code."""
        code = 2 if isinstance(error, InvalidSetting) else 1
        if self._siblings is None:
            with contextlib.suppress(OSError):  # the supervisor is gone: nobody wants to know
                self._connection.sendall(framed(Failed(str(error), code)))
        else:
            self.tell.failed(error)
        return code

    async def enter(self, application: Application, loader: Loader, lines: list[str], stopping: asyncio.Event) -> bool:
        start, server = self._start, application.server
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, server.announce_end)
        tally = Tally(start.tally, start.workers, SystemClock().monotonic)
        seat = Seat(tally, start.worker, application.settings.max_connections)
        application.share([socket.socket(fileno=each) for each in start.sockets], seat)
        channel = await Channel.over(self._connection, to_worker.decode)
        siblings = self._siblings = Siblings(start.worker, start.workers, channel)
        answer_for(application, loader, siblings)
        application.join(Others(siblings))
        self._watching = asyncio.create_task(_stop_when_alone(siblings, stopping))
        ready = asyncio.create_task(siblings.ready([*lines, *serving_on(application)]))
        stopped = asyncio.create_task(stopping.wait())
        await asyncio.wait((ready, stopped), return_when=asyncio.FIRST_COMPLETED)
        for task in (ready, stopped):
            task.cancel()
        if stopping.is_set() or not ready.result():
            return False
        await application.start()
        return True

    async def leave(self) -> None:
        if self._watching is not None:
            self._watching.cancel()
        if self._siblings is not None:
            await self._siblings.close()


async def _stop_when_alone(siblings: Siblings, stopping: asyncio.Event) -> None:
    await siblings.left_alone()
    stopping.set()
