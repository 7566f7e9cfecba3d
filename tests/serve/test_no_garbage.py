"""Whatever becomes of a request, nothing of it waits for the garbage collector, which a server lets rest: bodies may be
large."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import uvloop
from served_models import Echo, Poison
from serving import LoopFactory, Running, served
from stream_client import ask_stream
from streaming_models import Failing, Streaming
from wire import http, infer

from foretell.config import ModelSettings

TIMES = 5
REQUESTS: dict[str, bytes] = {
    "answered": infer("echo", [1]),
    "pipelined": infer("echo", [1]) * 5,
    "cached": infer("cached", [1]),
    "poison": infer("poison", [666]),
    "of a wrong shape": infer("echo", [[1, 2]], shape=[1, 3]),
    "no request": b"nonsense\r\n\r\n",
    "for another host": b"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n",
    "too large": http("POST", "/v2/models/echo/infer", headers={"Content-Length": 10**12}),
    "stream": ask_stream("counts", {"x": 3}),
    "stream that fails": ask_stream("fails", {"x": 3}),
    "stream that fails at once": ask_stream("fails", {"x": 0}),
    "stream of too much": ask_stream("counts", {"x": 3}, "generate"),
    "single answer": ask_stream("counts", {"x": 1}, "generate"),
    "unknown": http("GET", "/nowhere"),
}


@pytest.fixture
def new_loop() -> LoopFactory:
    """The loop of a server: connections of the standard one leave garbage of their own."""
    return uvloop.new_event_loop


def ask(server: Running, request: bytes) -> None:
    for _ in range(TIMES):
        with server.connect() as wire:
            wire.send(request).finish().rest()
    server.until(lambda: server.application.server.connections == 0)


@pytest.mark.parametrize("name", REQUESTS)
def test_no_request_leaves_garbage(serve: Callable[..., Running], name: str) -> None:
    cached = served(Echo(), "cached", settings=ModelSettings(cache_size=10))
    server = serve(cached, echo=Echo(), poison=Poison(), counts=Streaming(), fails=Failing())
    assert_none(server, lambda: ask(server, REQUESTS[name]))


def assert_none(server: Running, act: Callable[[], Any]) -> None:
    act()  # what is remembered is no garbage
    gc.collect()
    gc.freeze()  # nor is what was there before, such as the server of another test, whose last thread ends now
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        act()
        server.on_loop(lambda: None)
        gc.collect()
        found = Counter(type(each).__name__ for each in gc.garbage)
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
    assert not found, found
