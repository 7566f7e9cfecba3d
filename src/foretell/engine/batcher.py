"""The online half of the engine: requests wait here only while every replica is busy, then leave together.

Everything runs on one event loop's thread. There is no task, future or timer per request: requests queue, and one
callback per tick of the loop takes what is there.
"""

from __future__ import annotations

import asyncio
import math
from copy import copy

from foretell.clock import Clock
from foretell.config import ModelSettings
from foretell.engine import policy
from foretell.engine.again import Again
from foretell.engine.delivery import Delivery
from foretell.engine.lanes import Lanes
from foretell.engine.member import Member
from foretell.engine.objective import Objective
from foretell.engine.pool import Pool
from foretell.engine.profile import Profile
from foretell.engine.recorder import Recorder
from foretell.engine.refusals import Refusals
from foretell.engine.run import Run
from foretell.engine.runner import Runner
from foretell.engine.work import Work
from foretell.errors import Cancelled, NotReady, Overloaded

_SWEEP_S = 0.05


class Batcher:
    """Forms batches of requests for the replicas of a pool. `submit` takes a request; it always ends in `done` or
    `fail`."""

    def __init__(
        self,
        pool: Pool,
        placement: policy.Placement,
        profile: Profile,
        settings: ModelSettings,
        recorder: Recorder,
        clock: Clock,
        loop: asyncio.AbstractEventLoop,
        name: str,
    ) -> None:
        self._pool, self._placement, self._profile = pool, placement, profile
        self._settings, self._clock, self._loop, self._name = settings, clock, loop, name
        self._lanes = Lanes(settings.max_batch_size, profile)
        self._again = Again(settings, loop, clock, self._wake)
        self.delivery = Delivery(recorder, loop, name)
        self._refusals = Refusals(name, settings.max_queue_size)
        self._busy: dict[Member, Run] = {}
        self._scheduled = self._closed = False
        self._full_rows = math.inf
        """So many waiting rows are worth a look while all replicas are busy, see `_line_up`."""
        self._sweeper: asyncio.TimerHandle | None = None
        self._idle: asyncio.Event | None = None
        self.objective: Objective | None = None
        if settings.slo_ms is not None:
            self.objective = Objective(settings.slo_ms / 1e3, settings.max_batch_size, profile)
        self._runner = Runner(
            pool, placement, profile, self._lanes, self._again, self.delivery, self.objective, clock, loop, self._free,
            self._go_on, settings.max_batch_size,
        )  # fmt: skip
        pool.watch(self._members_changed)

    @property
    def waiting_rows(self) -> int:
        return self._lanes.rows

    @property
    def bulk_share(self) -> float:
        """Of the time of calls, lately."""
        return self._lanes.bulk_share

    @property
    def pending(self) -> bool:
        """Whether any accepted request has not ended."""
        return bool(self._busy) or bool(self._lanes) or bool(self._again)

    def submit(self, work: Work) -> None:
        """Takes a request, or fails it at once (`Overloaded`, `NotReady`)."""
        queue = self._lanes.of(work) if work.group.bulk else self._lanes.interactive
        waiting = queue.rows
        most = self._settings.max_queue_size
        if waiting + work.rows > most and not policy.admits(waiting, work.rows, most):
            self._refuse(work, self._refusals.queue_full(waiting, work.rows, self._drain_s()))
            return
        if self._closed or self._pool.hopeless:
            self.delivery.fail([work], self._not_ready())
            return
        if not work.arrived:
            work.arrived = self._clock.monotonic()
        if self.objective is not None and not work.group.bulk and not self._in_time(self.objective, work, waiting):
            self._refuse(work, self._refusals.too_late(self.objective.slo_s, self._drain_s()))
            return
        queue.add(work)
        if work.deadline is not None and self._sweeper is None:
            self._sweeper = self._loop.call_later(_SWEEP_S, self._sweep)
        if not self._scheduled and (len(self._busy) < len(self._pool.members) or queue.rows >= self._full_rows):
            self._scheduled = True
            self._loop.call_soon(self._dispatch)

    def submit_alone(self, work: Work) -> None:
        """`submit` by somebody beside whom nobody else can come in this tick of the loop: there is no end of it to wait
        for."""
        if self._scheduled:
            self.submit(work)
            return
        self._scheduled = True
        try:
            self.submit(work)
        finally:
            self._dispatch()

    async def drain(self) -> None:
        """Returns when every accepted request has ended."""
        while self.pending:
            self._idle = self._idle or asyncio.Event()
            await self._idle.wait()

    def close(self) -> None:
        """Refuses new requests and fails those still waiting; the running batches are not interrupted."""
        self._closed = True
        self._pool.unwatch(self._members_changed)
        self._refuse_waiting()
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        self._settle()

    def _dispatch(self) -> None:
        """Gives what waits now to the replicas that are free."""
        self._scheduled = False
        while (member := self._pool.acquire(self._busy)) is not None:
            works, attempt = self._take()
            if not works:
                self._pool.release(member)
                break
            run = self._busy[member] = Run(member, works, attempt, self._clock.monotonic())
            self._start(run)
            if run.ended:  # it ran on the loop, which reads its sockets before the next one
                break
        else:
            self._line_up()
        if self._idle is not None:
            self._settle()

    def _start(self, run: Run) -> None:
        try:
            self._runner.start(run)
        except BaseException as error:
            # Whatever it is, accepted requests end, and those behind them get their turn.
            self._runner.end_failed(run, self.delivery.unexpected(error))
            if isinstance(error, KeyboardInterrupt):
                raise
        if self._settings.call_timeout_s is not None and self._sweeper is None:
            self._sweeper = self._loop.call_later(_SWEEP_S, self._sweep)

    def _line_up(self) -> None:
        """Gives full batches that wait to the replicas that are free next: they go on with them at once then."""
        self._full_rows = math.inf
        most = self._runner.most_rows
        while (first := self._next_free(most)) is not None:
            if self._lanes.interactive.rows < most:
                self._full_rows = most
                break
            works, attempt = self._take()
            if not works:
                break
            self._pool.hold(first.member)
            first.next = run = Run(first.member, works, attempt, max(first.expected, self._clock.monotonic()))
            run.lined_up = True
            self._start(run)
            first.alone = run.ended

    def _next_free(self, most: int) -> Run | None:
        """The call whose replica is free next and has none to go on with, where every replica has a call."""
        if self._lanes.bulk.groups or len(self._busy) < len(self._pool.members):
            return None
        runs = [run for run in self._busy.values() if self._runner.takes_another(run)]
        if not runs or not policy.lines_up(self._profile.call_s(most)):
            return None
        return min(runs, key=lambda run: run.expected)

    def _take(self) -> tuple[list[Work], int]:
        """The next batch's requests that still want an answer, and how often they were tried before."""
        now = self._clock.monotonic()
        while self._again.due:
            works, attempt = self._again.due.popleft()
            if alive := self._alive(works, now):
                return alive, attempt
        most = self._runner.most_rows
        free = len(self._pool.members) - len(self._busy)
        if free > 1:
            most = min(most, policy.share_rows(self._lanes.rows, free, self._profile))
        lanes = self._lanes
        works = self._alive(lanes.take(most, now) if lanes.bulk.groups else lanes.interactive.take(most), now)
        while not works and self._lanes:
            works = self._alive(self._lanes.take(most, now), now)
        return works, 0

    def _alive(self, works: list[Work], now: float) -> list[Work]:
        """Without those whose caller has gone or whose time is up; they never reach the model."""
        alive = []
        for work in works:
            if work.ended:
                continue
            if work.cancelled:
                self.delivery.fail([work], Cancelled("the caller gave up", where=self._name))
            elif work.deadline is not None and now >= work.deadline:
                self.delivery.fail([work], self._refusals.expired())
            else:
                alive.append(work)
        return alive

    def _free(self, run: Run) -> None:
        """The replica is free: take the next batch on the next tick, after the loop has read its sockets."""
        if run.ended:
            return
        run.ended = True
        self._pool.release(run.member)
        first = self._busy.get(run.member)
        if first is run:
            del self._busy[run.member]
            if run.next is not None:
                self._follow(run.next)
        elif first is not None and first.next is run:
            first.next = None
        run.next = None
        if self._closed or self._pool.hopeless:  # what has just been put back, or was to be tried again
            self._refuse_waiting()
        if self._lanes or self._again.due:
            self._wake()
        elif self._idle is not None:
            self._settle()

    def _go_on(self, run: Run) -> None:
        """The replica is free, and takes the next batch at once."""
        self._scheduled = True
        try:
            self._free(run)
        finally:
            self._dispatch()

    def _follow(self, run: Run) -> None:
        """What was lined up has its turn."""
        self._busy[run.member] = run
        call_s = run.expected - run.started
        run.started = self._clock.monotonic()
        run.expected = run.started + call_s

    def _wake(self) -> None:
        if not self._scheduled and not self._closed:
            self._scheduled = True
            self._loop.call_soon(self._dispatch)

    def _members_changed(self) -> None:
        self._runner.threadsafe(self._look_at_members)

    def _look_at_members(self) -> None:
        if self._pool.hopeless:
            self._refuse_waiting()
        self._wake()

    def _refuse(self, work: Work, error: Overloaded) -> None:
        self.delivery.fail([work], error if work.only_tells else copy(error))

    def _refuse_waiting(self) -> None:
        """Nobody will take what waits."""
        self.delivery.fail([*self._lanes.clear(), *self._again.clear()], self._not_ready())
        self.delivery.flush()

    def _settle(self) -> None:
        if self._idle is not None and not self.pending:
            self._idle.set()
            self._idle = None

    def _sweep(self) -> None:
        """Ends requests whose time is up, also those that a model still has: nobody waits past a limit."""
        self._sweeper = None
        now, later = self._clock.monotonic(), False
        runs = [*self._busy.values(), *(run.next for run in self._busy.values() if run.next is not None)]
        running = [work for run in runs for work in run.works]
        for work in [*self._lanes, *self._again.works(), *running]:
            if work.deadline is None or work.ended:
                continue
            if now >= work.deadline:
                self.delivery.fail([work], self._refusals.expired())
            else:
                later = True
        self._lanes.forget_ended()
        limit_s = self._settings.call_timeout_s
        if limit_s is not None:
            for run in [run for run in self._busy.values() if now - run.started > limit_s]:
                self._runner.give_up(run, limit_s, self._name)
            later = later or bool(self._busy)
        self._settle()
        self.delivery.flush()
        if later and not self._closed:
            self._sweeper = self._loop.call_later(_SWEEP_S, self._sweep)

    def _in_time(self, objective: Objective, work: Work, waiting: int) -> bool:
        """Whether the objective lets a request in."""
        members, free_s = len(self._pool.members), 0.0
        if members and len(self._busy) >= members:
            free_s = max(0.0, min([(run.next or run).expected for run in self._busy.values()]) - work.arrived)
        return objective.admits(work.arrived, waiting, work.rows, members, free_s)

    def _drain_s(self) -> float | None:
        """About how long what waits now will take."""
        call_s = self._profile.call_s(self._settings.max_batch_size)
        calls = self._lanes.rows / self._settings.max_batch_size
        return None if call_s is None else calls * call_s / max(1, len(self._pool.members))

    def _not_ready(self) -> NotReady:
        return self._refusals.shutting_down() if self._closed else self._pool.not_ready()
