"""Looking at a running server from outside, over its own routes."""

from __future__ import annotations

import threading
from collections.abc import Callable

from program import WAIT_S, Server
from wire import Answer, Wire, http


def get(server: Server, path: str) -> Answer:
    with Wire(server.port) as wire:
        return wire.send(http("GET", path)).answer()


def until(holds: Callable[[], object]) -> None:
    """Asks again and again, and leaves the processor in between to those who are asked."""
    alarm = threading.Event()
    timer = threading.Timer(WAIT_S, alarm.set)
    timer.start()
    try:
        while not holds():
            assert not alarm.wait(0.002), "it never comes"
    finally:
        timer.cancel()


def figure(server: Server, name: str, model: str = "m") -> float:
    """A metric of a model."""
    lines = get(server, "/metrics").body.decode().splitlines()
    (line,) = [line for line in lines if line.startswith(f'foretell_{name}{{model="{model}",')]
    return float(line.rpartition(" ")[2])
