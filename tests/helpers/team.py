"""Workers and their hub on one event loop, with real socket pairs between them."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import dataclass

from foretell.workers.channel import Channel
from foretell.workers.hub import Hub
from foretell.workers.messages import Ask, Ready, Reply, ToSupervisor, to_supervisor, to_worker
from foretell.workers.siblings import Siblings


@dataclass
class Member:
    siblings: Siblings
    line: Channel[ToSupervisor]
    heard: asyncio.Task[None]


class Team:
    """`members[i].siblings` is what worker `i` has; the hub is what the supervisor has."""

    def __init__(self) -> None:
        self.hub = Hub()
        self.members: dict[int, Member] = {}

    async def add(self, worker: int) -> Siblings:
        """A worker that is loaded as soon as somebody awaits its `ready`."""
        ours, theirs = socket.socketpair()
        line = await Channel.over(ours, to_supervisor.decode)
        siblings = Siblings(worker, 3, await Channel.over(theirs, to_worker.decode))
        self.members[worker] = Member(siblings, line, asyncio.create_task(self._listen(worker, line)))
        return siblings

    async def serving(self, worker: int) -> Siblings:
        siblings = await self.add(worker)
        assert await siblings.ready([])
        return siblings

    async def dies(self, worker: int) -> None:
        """All that the supervisor sees of a death."""
        member = self.members.pop(worker)
        member.line.close()
        await member.heard
        self.hub.leaves(worker)
        await member.siblings.left_alone()
        await member.siblings.close()

    async def close(self) -> None:
        for worker in list(self.members):
            await self.dies(worker)
        self.hub.close()

    async def _listen(self, worker: int, line: Channel[ToSupervisor]) -> None:
        while (message := await line.receive()) is not None:
            if isinstance(message, Ready):
                self.hub.joins(worker, line)
            elif isinstance(message, Ask):
                self.hub.asks(worker, message)
            else:
                assert isinstance(message, Reply)
                self.hub.replied(worker, message)
