"""A whole server in this process, on a loop of its own in a thread, so that a test is nothing but a client."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any, TypeVar

from wire import Answer, Wire, infer, values

from foretell.backends.opened import Opened
from foretell.catalog import LiveCatalog, Served, StaticCatalog
from foretell.clock import Clock
from foretell.config import ModelSettings, ServerSettings
from foretell.engine.engine import Engine
from foretell.engine.pool import Open
from foretell.engine.streams import Streams
from foretell.errors import InferenceError
from foretell.model import Model
from foretell.observe.stats import Stats
from foretell.serve.application import Application
from foretell.serve.connection import HttpConnection

WAIT_S = 20.0
ResultT = TypeVar("ResultT")
LoopFactory = Callable[[], asyncio.AbstractEventLoop]


def served(
    model: Model,
    name: str,
    version: str = "1",
    settings: ModelSettings | None = None,
    clock: Clock | None = None,
    again: Open | None = None,
) -> Served:
    """A loaded model, as the command line would have it."""
    engine = Engine(
        model, settings or ModelSettings(), name=name, version=version, recorder=Stats(), clock=clock, again=again
    ).load()
    return Served(name, version, engine, Opened(model, name, "", "a test", "python", None, ()))


class Running:
    """A started server. `problems`: what reached the loop's exception handler; no test may leave any behind."""

    def __init__(
        self,
        catalog: StaticCatalog | LiveCatalog,
        settings: ServerSettings,
        new_loop: LoopFactory,
        **options: Any,
    ) -> None:
        """`options`: more of what `Application` takes."""
        self.catalog = catalog
        self.problems: list[str] = []
        self._up: Future[Application] = Future()
        self._stop: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._run, args=(settings, new_loop, options), daemon=True)
        self._thread.start()
        try:
            self.application = self._up.result(WAIT_S)
        except InferenceError:
            self.close()
            raise
        self.host, self.port = self.application.server.address
        self.connecting: dict[str, Any] = {} if self.port else {"path": self.host}
        """How a client reaches it; a test of TLS puts its context here."""

    @property
    def url(self) -> str:
        return f"127.0.0.1:{self.port}"

    def connect(self, **options: Any) -> Wire:
        return Wire(self.port, **{**self.connecting, **options})

    def ask(self, request: bytes, **options: Any) -> Answer:
        """The one reply to one request, on a connection of its own."""
        with self.connect(**options) as wire:
            return wire.send(request).answer()

    def on_loop(self, call: Callable[[], ResultT]) -> ResultT:
        """Runs `call` on the server's thread."""

        async def run() -> ResultT:
            return call()

        assert self._loop is not None
        return asyncio.run_coroutine_threadsafe(run(), self._loop).result(WAIT_S)

    def until(self, condition: Callable[[], bool], pause_s: float = 0.0) -> None:
        """Returns when `condition` holds on the server's thread; looked at once per tick of its loop, or with a pause
        before the next look, for what takes its time."""

        async def run() -> None:
            async with asyncio.timeout(WAIT_S):
                while not condition():
                    await asyncio.sleep(pause_s)

        assert self._loop is not None
        asyncio.run_coroutine_threadsafe(run(), self._loop).result(WAIT_S + 5)

    def only_connection(self) -> HttpConnection:
        """The one connection, once it is there."""
        connections = self.application.server._connections
        self.until(lambda: len(connections) == 1)
        return next(iter(connections))

    def expire(self, later_s: float) -> None:
        """As if `later_s` seconds had passed for every connection.

        They come on top of the real ones, of which the server knows whole seconds: stay well below a limit that must
        not be reached.
        """
        server = self.application.server

        def sweep() -> None:
            for connection in list(server._connections):
                connection.expire(server.now + later_s)

        self.on_loop(sweep)

    def engine(self, name: str) -> Engine:
        return self.catalog.resolve(name).engine

    def streams(self, name: str) -> Streams:
        """Of a model that streams."""
        streams = self.engine(name).streams
        assert streams is not None
        return streams

    def streams_idle(self, name: str) -> bool:
        """Whether nothing of a model's streams is left."""
        streams = self.streams(name)
        return not streams.running and not streams.waiting_rows

    def failures(self, name: str, code: str) -> int:
        """How many requests of a model ended so."""
        recorder = self.catalog.find(name).recorder
        assert isinstance(recorder, Stats)
        return recorder.failures.get(code, 0)

    def change(self, call: Callable[[LiveCatalog], object]) -> None:
        """Changes the catalogue as a loader does: on the server's thread."""
        catalog = self.catalog
        assert isinstance(catalog, LiveCatalog)
        self.on_loop(lambda: call(catalog))

    def stop(self) -> None:
        """Begins the orderly stop and returns at once."""
        assert self._loop is not None and self._stop is not None
        self._loop.call_soon_threadsafe(self._stop.set)

    def join(self) -> None:
        self._thread.join(WAIT_S + 10)
        assert not self._thread.is_alive(), "the server does not stop"

    def close(self) -> None:
        if self._thread.is_alive() and not self._up.exception(WAIT_S):
            with contextlib.suppress(RuntimeError):  # a test has stopped it: its loop may close right now
                self.stop()
        self.join()
        for one in self.catalog.loaded():
            one.engine.close()

    def _run(self, settings: ServerSettings, new_loop: LoopFactory, options: dict[str, Any]) -> None:
        with asyncio.Runner(loop_factory=new_loop) as runner:
            runner.run(self._serve(settings, options))

    async def _serve(self, settings: ServerSettings, options: dict[str, Any]) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        self._loop.set_exception_handler(self._problem)
        try:
            application = Application(self.catalog, settings, **options)
            await application.start()
        except BaseException as error:
            self._up.set_exception(error)
            if isinstance(error, InferenceError):  # a start that is refused in a sentence
                return
            raise
        self._up.set_result(application)
        await self._stop.wait()
        await application.stop()

    def _problem(self, loop: asyncio.AbstractEventLoop, context: Mapping[str, Any]) -> None:
        self.problems.append(f"{context.get('message')}: {context.get('exception')!r}")


def still_answers(server: Running) -> None:
    """The next client of `echo` gets its answer."""
    assert values(server.ask(infer("echo", [7]))) == [7]
