"""What a process that shares its sockets tells the others: each client counts once, from when it is accepted."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from served_models import Echo
from serving import LoopFactory, served

from foretell.catalog import LiveCatalog
from foretell.config import ServerSettings
from foretell.serve.accepting import Acceptor
from foretell.serve.application import Application
from foretell.serve.listen import bind
from foretell.workers.tally import Seat, Tally

MOST = 16
SETTINGS = ServerSettings(http_port=0, max_connections=MOST, drain_timeout_s=1.0)
WAIT_S = 20.0


class Noting(Seat):
    """Calls `note` with every number of clients that it tells the others."""

    note: Callable[[int], None]

    def holds(self, connections: int) -> None:
        self.note(connections)
        super().holds(connections)


@pytest.fixture
def seat() -> Iterator[Noting]:
    """One of two workers; the other one is full."""
    tally = Tally.made(2, time.monotonic)
    tally.holds(1, MOST)
    yield Noting(tally, 0, MOST)
    tally.close()


async def started(seat: Noting, sockets: list[socket.socket]) -> Application:
    application = Application(LiveCatalog([served(Echo(), "echo")]), SETTINGS)
    application.share(sockets, seat)
    await application.start()
    return application


async def end(application: Application) -> None:
    await application.stop()
    application.catalog.resolve("echo").engine.close()


def client_of(bound: socket.socket) -> socket.socket:
    """On its way, without waiting until it is taken in."""
    client = socket.socket()
    client.setblocking(False)
    client.connect_ex(bound.getsockname())
    return client


@pytest.mark.parametrize("doors", [1, 2])
def test_who_comes_in_counts_once_at_every_moment(new_loop: LoopFactory, seat: Noting, doors: int) -> None:
    """Clients come one with each tick of the loop, so that each meets others that are half in."""
    clients: list[socket.socket] = []
    told: list[tuple[int, int]] = []
    seat.note = lambda connections: told.append((connections, len(clients)))

    async def serve(stack: ExitStack) -> None:
        sockets = [bound for _ in range(doors) for bound in bind(SETTINGS)]
        application = await started(seat, sockets)
        for number in range(MOST):
            clients.append(stack.enter_context(client_of(sockets[number % doors])))
            await asyncio.sleep(0)
        async with asyncio.timeout(WAIT_S):
            while application.server.connections < MOST:
                await asyncio.sleep(0)
        assert application.server.refused_connections == 0
        await end(application)

    with ExitStack() as stack, asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(serve(stack))
    numbers = [connections for connections, _ in told]
    assert [pair for pair in told if pair[0] > pair[1]] == []
    assert numbers[: numbers.index(MOST)] == sorted(numbers[: numbers.index(MOST)])


def test_who_was_accepted_in_the_moment_of_the_end_is_let_go(new_loop: LoopFactory, seat: Noting) -> None:
    seat.note = lambda connections: None

    async def serve() -> None:
        (bound,) = sockets = bind(SETTINGS)
        application = await started(seat, sockets)
        (acceptor,) = application.server.listener._accepting
        assert isinstance(acceptor, Acceptor)
        loop = asyncio.get_running_loop()
        with client_of(bound) as client:
            while not acceptor._coming:
                acceptor._accept()
            acceptor.close()
            assert await asyncio.wait_for(loop.sock_recv(client, 1), WAIT_S) == b""
        assert application.server.connections == 0
        await end(application)

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(serve())
