"""One worker process, as the supervisor sees it: started, spoken to, ended."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from foretell.errors import Unavailable
from foretell.workers.channel import Channel
from foretell.workers.messages import Failed, Start, TooLong, ToSupervisor, ToWorker, to_supervisor

_LAST_WORDS_S = 1.0
"""How long after its end what it has said is still read, where something else holds its socket open."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to run. `command`: gets the number of the worker's socket added. `arguments`: plain JSON for the workers.

    `sockets`: descriptors of the listening sockets. `end_within_s`: how long a worker may take to end in order.
    """

    workers: int
    command: Sequence[str]
    environment: Mapping[str, str]
    arguments: Mapping[str, Any]
    sockets: Sequence[int]
    end_within_s: float


class Child:
    """A started worker, in a session of its own: whoever interrupts it from a keyboard means the supervisor.

    `Child.start` makes one.
    """

    def __init__(self, worker: int, process: asyncio.subprocess.Process, channel: Channel[ToSupervisor]) -> None:
        self.worker, self.pid = worker, process.pid
        self.loaded = False
        self.failed: Failed | None = None
        """Why it could not be loaded, in its own words."""
        self._process, self._channel = process, channel

    @classmethod
    async def start(cls, plan: Plan, start: Start) -> Child:
        """Raises `Unavailable` where there is no room for another process."""
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                process = await asyncio.create_subprocess_exec(
                    *plan.command, str(theirs.fileno()), stdin=asyncio.subprocess.DEVNULL, env=dict(plan.environment),
                    pass_fds=(theirs.fileno(), start.tally, *start.sockets), start_new_session=True,
                )  # fmt: skip
        except OSError as error:
            ours.close()
            raise Unavailable("a worker cannot be started", got=error.strerror or error) from error
        child = cls(start.worker, process, await Channel.over(ours, to_supervisor.decode))
        child.send(start)
        return child

    def __str__(self) -> str:
        return f"worker {self.worker} (process {self.pid})"

    def send(self, message: ToWorker) -> bool:
        return self._channel.send(message)

    def signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(number)

    async def ended(self, hear: Callable[[ToSupervisor], None]) -> str:
        """Hands on all it says, waits for its end, and returns how it ended: the end of a sentence."""
        listening = asyncio.create_task(self._listen(hear))
        try:
            code = await self._process.wait()
            await asyncio.wait([listening], timeout=_LAST_WORDS_S)
        finally:
            listening.cancel()
            self._channel.close()
        if code >= 0:
            return f"ended with exit code {code}"
        with contextlib.suppress(ValueError):
            return f"was ended by {signal.Signals(-code).name}"
        return f"was ended by signal {-code}"

    async def _listen(self, hear: Callable[[ToSupervisor], None]) -> None:
        try:
            while (message := await self._channel.receive()) is not None:
                hear(message)
        except (TooLong, msgspec.DecodeError):  # whatever this is, it is no worker any more
            self.signal(signal.SIGKILL)
