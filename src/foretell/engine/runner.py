"""A batch on its replica: how it gets there, and how each of its requests ends."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial

from foretell.columns import Batch
from foretell.engine import policy
from foretell.engine.desk import Desk
from foretell.engine.gather import gather
from foretell.engine.isolate import budget, isolate
from foretell.engine.run import Run
from foretell.engine.work import Work, assemble, shared_context
from foretell.errors import Cancelled, DeadlineExceeded, InferenceError, NotReady, ReplicaLost, TransientError, raise_as
from foretell.model import Context, Outcome

_OF_THE_CALL = (NotReady, TransientError, DeadlineExceeded, Cancelled)
"""Failures that tell nothing of the requests: a search for a bad one would find none."""


class Runner:
    """Runs batches, on the loop, in a process or on the member's thread, and delivers. `free` is told when a member is
    free again."""

    def __init__(self, desk: Desk, free: Callable[[Run], None], go_on: Callable[[Run], None], full_rows: int) -> None:
        """`go_on`: as `free`, where the next batch is to leave at once. `full_rows`: of the largest batch."""
        self._pool, self._placement, self._profile, self._lanes = desk.pool, desk.placement, desk.profile, desk.lanes
        self._again, self._delivery, self._objective = desk.again, desk.delivery, desk.objective
        self._clock, self._loop, self.pace = desk.clock, desk.loop, desk.pace
        self._free, self._go_on, self._full_rows = free, go_on, full_rows
        self._joining = threading.Lock()
        """Whoever has it may let requests join an open run, or close it."""

    def start(self, run: Run) -> None:
        if run.lined_up and not run.member.apart and not self.pace.waits:
            self._open(run)
            return
        try:
            run.batch = assemble(run.works)
        except (InferenceError, ValueError, TypeError, MemoryError):
            run.batch, left_over = gather(run.works, self._delivery)
            if left_over:
                self._lanes.of(left_over[0]).put_back(left_over)
        if run.batch is None:
            self._free(run)
        elif self._placement.inline and not run.member.apart and run.member.outstanding == 1:
            run.inline = True
            self._run_inline(run, run.batch)
        elif run.member.apart and self._begin(run, run.batch):
            run.begun = True
        elif run.lined_up and run.member.apart:
            self._put_back(run)
        else:
            self._run_threaded(run, run.batch)

    def _run_inline(self, run: Run, batch: Batch) -> None:
        run.ctx = ctx = shared_context(run.works, run.member.device, watched=False)
        try:
            answer = run.member.replica.run(batch, ctx, retry=False)
        except InferenceError as error:
            self._failed(run, error)
            return
        finished = self._clock.monotonic()
        self._learn(run, answer, finished)
        self._deliver(run, answer, finished)
        self._free(run)

    def _begin(self, run: Run, batch: Batch) -> bool:
        """Whether the process of the member has it: this loop then hears of its end, and no thread waits for it."""
        run.expected = run.started + (self._profile.call_s(batch.rows) or 0.0)
        run.ctx = ctx = shared_context(run.works, run.member.device)
        return run.member.replica.begin(batch, ctx, partial(self._finish_begun, run))

    def _finish_begun(self, run: Run, outcome: Outcome, took_s: float) -> None:
        if run.ended:  # given up, see `give_up`
            return
        if outcome is None:
            self._put_back(run)
            return
        if isinstance(outcome, BaseException):
            self._failed(run, self._delivery.unexpected(outcome))
            return
        if self._answered(run, outcome, self._clock.monotonic(), took_s):
            return
        pause_s = self._pause_s(run, outcome.rows)
        if pause_s:
            run.member.thread.rest(pause_s, lambda: self.threadsafe(self._free, run))
        else:
            self._free(run)

    def _put_back(self, run: Run) -> None:
        """Its requests wait again, in their places: it was not begun."""
        for work in reversed(run.works):
            if not work.ended:
                self._lanes.of(work).put_back([work])
        self._free(run)

    def _run_threaded(self, run: Run, batch: Batch) -> None:
        run.ctx = ctx = shared_context(run.works, run.member.device)
        self._give_thread(run, lambda: (batch, ctx), batch.rows)

    def _open(self, run: Run) -> None:
        """Lets requests join it until its thread takes it, which waits for nobody then."""
        run.open = True
        self._give_thread(run, partial(self._close, run), run.rows)

    def join(self, run: Run, works: Sequence[Work]) -> bool:
        """Adds `works` to an open run; False where its thread has just taken it."""
        with self._joining:
            if run.open:
                run.works += works
                run.rows += sum([work.rows for work in works])
            return run.open

    def _close(self, run: Run) -> tuple[Batch, Context]:
        """What an open run has become; on the thread of its member. Raises `Cancelled` where everybody has left it."""
        with self._joining:
            run.open = False
        if left := [work for work in run.works if work.cancelled]:
            self.threadsafe(self._delivery.gave_up, left)
        works = [work for work in run.works if not work.cancelled and not work.ended]
        if not works:
            raise Cancelled("every caller gave up")
        if len(works) < len(run.works):
            run.works, run.rows = works, sum([work.rows for work in works])
        batch = assemble(run.works)
        run.batch, run.ctx = batch, shared_context(run.works, run.member.device)
        return batch, run.ctx

    def _give_thread(self, run: Run, take: Callable[[], tuple[Batch, Context]], rows: int) -> None:
        run.expected = run.started + (self._profile.call_s(rows) or 0.0)
        threadsafe = self.threadsafe

        def on_done(future: Future[Batch], took_s: float) -> None:
            threadsafe(self._finish_threaded, run, future, self._clock.monotonic(), took_s)

        run.call = run.member.thread.submit_later(
            take,
            pause_s=self._pause_s(run, rows),
            on_done=on_done,
            on_free=lambda: threadsafe(self._free_if_delivered, run),
        )

    def _finish_threaded(self, run: Run, future: Future[Batch], finished: float, took_s: float) -> None:
        run.call = None  # which has this run
        if run.ended:  # given up, see `give_up`
            return
        if future.cancelled():
            self._put_back(run)
            return
        error = future.exception()
        if error is not None and run.batch is None:  # it was open, and has no rows, or what has joined does not fit
            run.lined_up = False
            if all(work.ended for work in run.works):
                self._free(run)
            else:
                self.start(run)
            return
        if error is not None:
            self._failed(run, self._delivery.unexpected(error))
            return
        self._answered(run, future.result(), finished, took_s)
        run.delivered = True

    def _answered(self, run: Run, answer: Batch, finished: float, took_s: float) -> bool:
        """A call away from the loop has ended well, after `took_s`. Whether its replica has gone on already."""
        if run.lined_up:  # only who ran it knows when it began
            run.started = finished - took_s
        self._learn(run, answer, finished)
        if len(run.works) > 1 or not self.pace.waits:  # nobody waits for one caller to come back
            self.pace.ended(answer.rows, run.started, finished)
        enough = self.most_rows if self.pace.waits else 1
        goes_on = run.next is not None or self._lanes.interactive.rows >= enough
        if goes_on:  # before the answers are handed out: nobody needs to come back first
            self._go_on(run)
        self._deliver(run, answer, finished)
        return goes_on

    def takes_another(self, run: Run) -> bool:
        """Whether a batch may be lined up behind it: never one that would run on the loop, which would stand still."""
        if run.next is not None or run.alone or run.member.gone:
            return False
        return run.member.apart or not self._placement.inline

    @property
    def most_rows(self) -> int:
        """Of a batch, now."""
        return self._full_rows if self._objective is None else self._objective.rows

    def worth_rows(self, run: Run) -> int:
        """So many waiting rows are worth lining up behind it. Only a thread lets others join them later."""
        if self.pace.waits:
            return self.most_rows
        return min(self.most_rows, run.rows) if run.member.apart else 1

    def _pause_s(self, run: Run, rows: int) -> float:
        """How long a replica waits for callers to come back after a call of so many rows."""
        if len(run.works) == 1 or not self.pace.waits:
            return 0.0
        return policy.pause_s(self._profile.call_s(rows) or 0.0)

    def _learn(self, run: Run, answer: Batch, finished: float) -> None:
        """What a call that ended well tells of the next ones."""
        started, works = run.started, run.works
        run.finished = finished
        self._profile.learn(answer.rows, finished - started)
        self._placement.follow(self._profile.recent_s)
        if self._lanes.counts:
            self._lanes.ran(works, finished - started, finished)
        if works[0].group.family is not None:
            elements = sum([work.rows * sum(work.group.sizes) for work in works])
            self._lanes.lengths.learn(elements + run.ctx.padded, finished - started)

    def _deliver(self, run: Run, answer: Batch, finished: float) -> None:
        works = run.works
        self._delivery.answer(works, answer, run.started, finished, run)
        if self._objective is not None:
            now = self._clock.monotonic()
            # What lies between the end of the call and now is also how late the loop hears of its sockets.
            limit = now + (now - finished) - self._objective.slo_s
            arrived = [work.arrived for work in works if not work.group.bulk]
            self._objective.answered(len(arrived), sum([at < limit for at in arrived]), now - finished)
            self._objective.learned(now)

    def _failed(self, run: Run, error: InferenceError) -> None:
        """A call failed whole: it is tried again, or searched for who made it fail, or everybody in it fails."""
        if isinstance(error, ReplicaLost):
            self._pool.lose(run.member)
        if isinstance(error, TransientError) and self._again.take(run.works, run.attempt, error):
            self._free(run)
        elif len(run.works) == 1 or isinstance(error, _OF_THE_CALL):
            self.end_failed(run, error)
        else:
            self._isolate(run, error)

    def _isolate(self, run: Run, error: InferenceError) -> None:
        """Finds who made a shared batch fail, off the loop; the others get their answers."""
        works = run.works

        def call(group: Sequence[Work]) -> Batch:
            try:
                return run.member.thread.submit(assemble(group), shared_context(group, run.member.device)).result()
            except BaseException as failure:  # whatever it is, it ends this group and no other
                raise_as(self._delivery.unexpected(failure), failure)

        def search() -> None:
            self.threadsafe(self._deliver_isolated, run, isolate(works, call, error, budget(len(works))))

        try:
            self._loop.run_in_executor(None, search)
        except RuntimeError:  # the loop is about to end: it takes no more work for its threads
            self.end_failed(run, error)

    def _deliver_isolated(self, run: Run, results: list[tuple[Sequence[Work], Batch | InferenceError]]) -> None:
        now = run.finished = self._clock.monotonic()
        for works, outcome in results:
            if isinstance(outcome, TransientError) and self._again.take(list(works), run.attempt, outcome):
                continue
            if isinstance(outcome, InferenceError):
                self._delivery.fail(works, outcome)
                if isinstance(outcome, ReplicaLost):
                    self._pool.lose(run.member)
            else:
                self._delivery.answer(works, outcome, now, now, run)
        self._delivery.flush()
        self._free(run)

    def end_failed(self, run: Run, error: InferenceError) -> None:
        self._delivery.fail(run.works, error)
        self._delivery.flush()
        self._free(run)

    def _free_if_delivered(self, run: Run) -> None:
        if run.delivered:
            self._free(run)

    def give_up(self, run: Run, limit_s: float, where: str) -> None:
        """A call hangs: its callers are told, its replica is replaced, and what it may still answer is nobody's."""
        what = "its process took longer than {} s for a call" if run.begun else "the call took longer than {} s"
        error = ReplicaLost(what.format(f"{limit_s:g}"), where=where, fix="try again")
        self._pool.lose(run.member, "hung")
        if run.next is not None and run.next.call is not None:
            run.next.call.cancel()
        if run.begun:  # nobody waits in its model who would notice
            run.member.replica.model.give_up()
        self.end_failed(run, error)

    def threadsafe(self, call: Callable[..., None], *args: object) -> None:
        """Runs `call` on the loop; a loop that has closed has nobody waiting on it."""
        try:
            self._loop.call_soon_threadsafe(call, *args)
        except RuntimeError:
            if not self._loop.is_closed():
                raise
