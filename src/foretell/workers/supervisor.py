"""Keeps a number of workers running: starts them, starts those again that die, and ends them all."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from functools import partial
from typing import Any

from foretell.clock import Clock
from foretell.errors import InferenceError, InvalidModel, InvalidSetting, Unavailable
from foretell.observe.together import Family, Together, written
from foretell.saying import Say
from foretell.workers.child import Child, Plan
from foretell.workers.hub import Hub
from foretell.workers.messages import Ask, Failed, Ready, Start, ToSupervisor
from foretell.workers.restarts import Restarts
from foretell.workers.tally import Tally

METRICS = "metrics"
"""A worker that asks this hears the metrics of all; one that is told this replies with its own."""

_SCRAPE_S = 1.0
"""How long a worker has to tell its metrics."""
_WRONG_USE = 2


class Supervisor:
    """Belongs to the thread of the event loop, which must be the main one: Linux ends the workers with it."""

    def __init__(self, plan: Plan, clock: Clock, say: Say) -> None:
        self._plan, self._say = plan, say
        self._hub = Hub()
        self._hub.serve(METRICS, self._metrics)
        self._tally = Tally.made(plan.workers, clock.monotonic)
        self._together = Together("worker")
        self._restarts = [Restarts(clock) for _ in range(plan.workers)]
        self._children: dict[int, Child] = {}
        self._loaded: list[asyncio.Future[list[str]]] = []
        self._keepers: list[asyncio.Task[None]] = []
        self._stopping = asyncio.Event()
        self._opened = False

    @property
    def pids(self) -> list[int]:
        """Of the workers that run, in their order."""
        return [self._children[worker].pid for worker in sorted(self._children)]

    async def start(self) -> list[str]:
        """Starts all workers, and returns once they are loaded: what people want to know of what is served.

        Raises the error that a worker has, in its words. `stop` is needed even then.
        """
        loop = asyncio.get_running_loop()
        self._loaded = [loop.create_future() for _ in self._restarts]
        self._keepers = [loop.create_task(self._keep(worker)) for worker in range(self._plan.workers)]
        return (await asyncio.gather(*self._loaded))[0]

    def open(self) -> None:
        """Lets the workers take clients in. The sockets must be listening by now."""
        self._opened = True
        for child in self._children.values():
            if child.loaded:
                self._lets_in(child)

    def _lets_in(self, child: Child) -> None:
        self._tally.holds(child.worker, 0)  # from now on: the others leave it its part even before it is there
        self._hub.joins(child.worker, child)

    def pass_on(self, number: int) -> None:
        """Passes a signal on to every worker that is loaded: who still loads sees what is new anyway."""
        for child in self._children.values():
            if child.loaded:
                child.signal(number)

    def announce_end(self) -> None:
        """Has the workers say that they are not ready. Not by SIGTERM: two that come together are one to the system."""
        self.pass_on(signal.SIGUSR1)

    async def stop(self) -> bool:
        """Ends all workers in order, and by force those that take too long; whether there were none of these."""
        self._stopping.set()
        self._signal(signal.SIGTERM)
        late = set[asyncio.Task[None]]()
        if self._keepers:
            _, late = await asyncio.wait(self._keepers, timeout=self._plan.end_within_s)
        for child in self._children.values():
            line = f"{child} did not end within {self._plan.end_within_s:g} s: killed"
            self._say(line, event="worker_killed", level="warning")
        self._signal(signal.SIGKILL)
        await asyncio.gather(*self._keepers, return_exceptions=True)
        for loaded in self._loaded:
            if not loaded.cancel() and not loaded.cancelled():
                loaded.exception()  # one error is told, and the others are the same
        self._hub.close()
        self._tally.close()
        return not late

    def _signal(self, number: int) -> None:
        for child in self._children.values():
            child.signal(number)

    async def _keep(self, worker: int) -> None:
        """One worker, again and again."""
        restarts, loaded = self._restarts[worker], self._loaded[worker]
        while not self._stopping.is_set():
            restarts.started()
            try:
                ending = await self._live(worker)
            except Unavailable as error:
                ending = InferenceError(str(error))
            if not loaded.done():
                loaded.set_exception(ending)
            if self._stopping.is_set() or loaded.cancelled() or loaded.exception() is not None:
                return
            wait_s = restarts.died()
            line = f"{ending}; starting it again{f' in {wait_s:g} s' if wait_s else ''}"
            self._say(line, event="worker_ended", level="warning", worker=worker)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._stopping.wait()

    async def _live(self, worker: int) -> InferenceError:
        """Starts a worker, listens to it until it has ended, and says how that came. Raises `Unavailable`."""
        tells = worker == 0 and not self._restarts[worker].total
        plan = self._plan
        start = Start(worker, plan.workers, dict(plan.arguments), list(plan.sockets), self._tally.descriptor, tells)
        child = self._children[worker] = await Child.start(plan, start)
        if self._stopping.is_set():
            child.signal(signal.SIGTERM)
        try:
            ending = await child.ended(partial(self._hear, child))
        finally:
            del self._children[worker]
            self._tally.absent(worker)
            self._hub.leaves(worker)
            self._together.leaves(worker)
        failed = child.failed
        if failed is not None:
            return (InvalidSetting if failed.exit_code == _WRONG_USE else InvalidModel)(failed.sentence)
        return InvalidModel(f"{child} {ending}{'' if child.loaded else ' while it loaded'}")

    def _hear(self, child: Child, message: ToSupervisor) -> None:
        if isinstance(message, Failed):
            child.failed = message
        elif isinstance(message, Ready):
            child.loaded = True
            if not self._loaded[child.worker].done():
                self._loaded[child.worker].set_result(message.lines)
            if self._opened:
                self._lets_in(child)
        elif isinstance(message, Ask):
            self._hub.asks(child.worker, message)
        else:
            self._hub.replied(child.worker, message)

    async def _metrics(self, _: Any) -> str:
        """Of all workers together. Who does not answer in time is not waited for."""
        asked = dict(self._children)
        replies, _ = await self._hub.gather(self._hub.present(), METRICS, None, _SCRAPE_S)
        told = [each for each in replies if self._children.get(each) is asked.get(each)]  # not of one that died since
        for worker in told:
            self._together.tells(worker, str(replies[worker]))
        total, deaths = self._plan.workers, sum(restarts.total for restarts in self._restarts)
        own = (
            ("foretell_workers", "Processes that serve.", "gauge", total),
            (
                "foretell_workers_missing",
                "Of these, those that did not tell their metrics.",
                "gauge",
                total - len(told),
            ),
            ("foretell_worker_deaths_total", "Workers that ended unasked.", "counter", deaths),
        )
        return self._together.exposition(told) + "".join(
            written(name, Family(text, kind, {name: number})) for name, text, kind, number in own
        )
