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
from foretell.engine.desk import Desk
from foretell.engine.lanes import Lanes
from foretell.engine.next_batch import NextBatch
from foretell.engine.objective import Objective
from foretell.engine.pace import Pace
from foretell.engine.pool import Pool
from foretell.engine.profile import Profile
from foretell.engine.recorder import Recorder
from foretell.engine.refusals import Refusals
from foretell.engine.run import Run
from foretell.engine.runner import Runner
from foretell.engine.under_way import UnderWay
from foretell.engine.work import Work
from foretell.errors import NotReady, Overloaded

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
        self._pool, self._profile = pool, profile
        self._settings, self._clock, self._loop, self._name = settings, clock, loop, name
        self._lanes = Lanes(settings.max_batch_size, profile)
        self._again = Again(settings, loop, clock, self._wake)
        self.delivery = Delivery(recorder, loop, name)
        self._refusals = Refusals(name, settings.max_queue_size)
        self._busy = UnderWay()
        self._scheduled = self._closed = False
        self._full_rows = math.inf
        """So many waiting rows are worth a look while all replicas are busy, see `_line_up`."""
        self._sweeper: asyncio.TimerHandle | None = None
        self._idle: asyncio.Event | None = None
        self.objective: Objective | None = None
        if settings.slo_ms is not None:
            self.objective = Objective(settings.slo_ms / 1e3, settings.max_batch_size, profile)
        self.pace = Pace()
        desk = Desk(pool, placement, profile, self._lanes, self._again, self.delivery, self.objective, self.pace, clock,
                    loop)  # fmt: skip
        self._runner = Runner(desk, self._free, self._go_on, settings.max_batch_size)
        self._next = NextBatch(desk, self._refusals, self._runner, self._busy)
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
            works, attempt = self._next.take()
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
        """Gives batches that wait to the replicas that are free next, where they are worth it: those go on with them at
        once then."""
        self._full_rows = math.inf
        if not self.pace.waits:
            self._join()
        while (first := self._next_free()) is not None:
            enough = self._runner.worth_rows(first)
            if self._lanes.interactive.rows < enough:
                self._full_rows = enough
                break
            works, attempt = self._next.take()
            if not works:
                break
            self._pool.hold(first.member)
            first.next = run = Run(first.member, works, attempt, max(first.expected, self._clock.monotonic()))
            run.lined_up = True
            self._start(run)
            first.alone = run.ended
            if run.open:
                self._full_rows = 1

    def _join(self) -> None:
        """Lets those that wait join a batch that is lined up and has not begun."""
        queue = self._lanes.interactive
        for run in self._busy.lined_up:
            group = run.works[0].group
            if run.open and not run.attempt and group.mergeable and next(iter(queue.groups), None) is group:
                works = self._next.alive(queue.take_of(group, self._next.most_rows - run.rows))
                if not self._runner.join(run, works):
                    queue.put_back(works)
            if run.open:
                self._full_rows = 1

    def _next_free(self) -> Run | None:
        """The call whose replica is free next and has none to go on with, where every replica has a call."""
        if self._lanes.bulk.groups or len(self._busy) < len(self._pool.members):
            return None
        first = self._busy.next_free(self._runner.takes_another)
        call_s = self._profile.call_s(self._runner.most_rows)
        return first if first and policy.lines_up(call_s, len(self._busy), not self.pace.waits) else None

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
        """Ends requests whose time is up, also those that a model still has: nobody waits past a limit. Those that
        nobody waits for any more end before their turn: they take places, and the memory of their values."""
        self._sweeper = None
        now, later = self._clock.monotonic(), False
        running = [work for run in self._busy.runs for work in run.works]
        waiting = [*self._lanes, *self._again.works()]
        self.delivery.gave_up([work for work in waiting if work.cancelled])
        for work in [*waiting, *running]:
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
            free_s = max(0.0, self._busy.free_at - work.arrived)
        return objective.admits(work.arrived, waiting, work.rows, members, free_s)

    def _drain_s(self) -> float | None:
        """About how long what waits now will take."""
        call_s = self._profile.call_s(self._settings.max_batch_size)
        calls = self._lanes.rows / self._settings.max_batch_size
        return None if call_s is None else calls * call_s / max(1, len(self._pool.members))

    def _not_ready(self) -> NotReady:
        return self._refusals.shutting_down() if self._closed else self._pool.not_ready()
