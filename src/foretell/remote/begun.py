"""Calls that an event loop has begun and does not wait for: it goes on, and reads the answers when they have come."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Protocol

from foretell.clock import Clock
from foretell.columns import Batch
from foretell.errors import Cancelled, DeadlineExceeded, InferenceError
from foretell.model import Context, Done, Outcome
from foretell.remote.channel import ChannelClosed, Garbage
from foretell.remote.link import Link
from foretell.remote.messages import Answer, Failed, OutOfMemory, Reply

_MOST = 2
"""One that runs and one that is there when that has ended: the process waits for nobody between the two."""
_LOOK_S = 0.02


class Answering(Protocol):
    """What the model makes of what is read."""

    def answer(self, link: Link, reply: Reply | None) -> Batch: ...

    def break_off(self, link: Link, error: ChannelClosed | Garbage) -> None: ...


class BegunCall:
    """`place`: of its answer, where that is large."""

    __slots__ = ("ctx", "done", "forgotten", "number", "place")

    def __init__(self, number: int, place: int, ctx: Context, done: Done) -> None:
        self.number, self.place, self.ctx, self.done = number, place, ctx, done
        self.forgotten = False


class Begun:
    """Such calls of one link, in the order in which they were sent, which is that of their answers.

    Whoever uses it has the turn of the model, and thereby the right to read: the loop of these calls when there is
    something to read, or a thread with a call of its own, which reads the answers before its own and hands them over.
    """

    def __init__(
        self, link: Link, turn: threading.Lock, model: Callable[[], Answering | None], clock: Clock, where: str
    ) -> None:
        """`model`: which answers to understand, while it is there; a loop that listens does not hold it. `clock`: that
        of the deadlines."""
        self._link, self._turn, self._model = link, turn, model
        self._clock, self._where = clock, where
        self._calls: deque[BegunCall] = deque()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._number = -1
        self._listens = self._looks = self._over = False

    def __bool__(self) -> bool:
        return bool(self._calls)

    def send(self, batch: Batch, ctx: Context, done: Done) -> bool:
        """Begins a call on the running loop; False where that cannot be, and then nothing was sent."""
        calls = self._calls
        if len(calls) >= _MOST or not self._listening(asyncio.get_running_loop()):
            return False
        place = 1 - calls[-1].place if calls else 0
        try:
            number = self._link.begin(batch, ctx, self._clock, place)
        except (InferenceError, ChannelClosed):
            return False
        calls.append(BegunCall(number, place, ctx, done))
        if not self._looks and self._loop is not None:
            self._looks = True
            self._loop.call_later(_LOOK_S, self._look)
        return True

    def settle(self, limit_s: float | None) -> bool:
        """Reads the answers to all of them, each within `limit_s`; False where one took longer.

        Raises `ChannelClosed` and `Garbage`.
        """
        model = self._model()
        while self._calls and model is not None:
            reply = self._link.receive(limit_s)
            if reply is None:
                return False
            ended = self._ended(model, reply)
            self._hand(*ended)
        return True

    def farewell(self, patience_s: float) -> InferenceError | None:
        """Has the process close its model behind all of them, and ends; what closing it raises there."""
        until = time.monotonic() + patience_s
        try:
            if not self.settle(max(0.0, patience_s)):  # a wait of less than nothing would be one without an end
                return None
            reply = self._link.ask_to_close(max(0.0, until - time.monotonic()))
            return self._link.error(reply.fault) if isinstance(reply, Failed) else None
        except (ChannelClosed, Garbage):
            return None  # it has ended, or is about to be ended

    def end(self, error: InferenceError) -> None:
        """No answer will come any more. Only the first one was begun there: the process takes them one by one."""
        outcome: Outcome = None if self._over else error
        while self._calls:
            self._hand(self._calls.popleft(), outcome, 0.0)
            outcome = None

    def stop(self) -> None:
        """Lets go of the loop. Safe from any thread, and harmless when repeated."""
        loop, self._loop = self._loop, None
        if loop is None:
            return
        number, self._number, self._listens = self._number, -1, False
        try:
            here = asyncio.get_running_loop() is loop
        except RuntimeError:
            here = False
        if here:
            _let_go(loop, number)
            return
        try:
            loop.call_soon_threadsafe(_let_go, loop, number)
        except RuntimeError:
            os.close(number)

    def _listening(self, loop: asyncio.AbstractEventLoop) -> bool:
        if self._loop is not loop:
            if self._loop is not None and not self._loop.is_closed():
                return False
            self.stop()
            # A number of its own, which stays open until this loop has let it go.
            self._loop, self._number = loop, os.dup(self._link.channel.number)
        if not self._listens:
            loop.add_reader(self._number, self._readable)
            # uvloop has made it one that never waits, and the link's own number with it, where threads do wait.
            os.set_blocking(self._number, True)
            self._listens = True
        return True

    def _readable(self) -> None:
        """On the loop: there is something to read."""
        model = self._model()
        if model is None or not self._turn.acquire(blocking=False):
            self._pause()  # who has the turn reads the answers to all calls
            return
        ended = []
        try:
            for reply in self._link.arrived():
                ended.append(self._ended(model, reply))
        except (ChannelClosed, Garbage) as error:
            self._pause()
            # What is the matter may take a moment to be known.
            args = (self._link, error)
            threading.Thread(target=model.break_off, args=args, name="foretell-broken", daemon=True).start()
        finally:
            self._turn.release()
        for call, outcome, took_s in ended:
            call.done(outcome, took_s)

    def _ended(self, model: Answering, reply: Reply) -> tuple[BegunCall, Outcome, float]:
        """The call that a reply is for, and what came of it. Raises `Garbage`."""
        if not self._calls:
            raise Garbage("a reply that nobody asked for")
        outcome: Outcome
        took_s = 0.0
        self._over = isinstance(reply, OutOfMemory)  # no further one will be begun there
        try:
            outcome = model.answer(self._link, reply)
            took_s = reply.took_s if isinstance(reply, Answer) else 0.0
        except (InferenceError, MemoryError) as error:
            outcome = error
        call = self._calls.popleft()
        if isinstance(outcome, Cancelled):
            try:
                check_time(call.ctx, self._clock, self._where)
            except DeadlineExceeded as late:
                outcome = late
        return call, outcome, took_s

    def _hand(self, call: BegunCall, outcome: Outcome, took_s: float) -> None:
        """To the loop, from wherever it was read; a loop that has closed has nobody waiting on it."""
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(call.done, outcome, took_s)

    def _pause(self) -> None:
        """Listens no more until the next call is begun."""
        if self._listens and self._loop is not None:
            self._listens = False
            self._loop.remove_reader(self._number)

    def _look(self) -> None:
        """Tells the process of calls whose answers nobody waits for any more."""
        self._looks = False
        if not self._turn.acquire(blocking=False):
            return
        try:
            for call in self._calls:
                ctx = call.ctx
                if not call.forgotten and (
                    ctx.cancelled() or (ctx.deadline is not None and self._clock.monotonic() >= ctx.deadline)
                ):
                    call.forgotten = True
                    self._link.forget(call.number)
            if self._calls and self._loop is not None:
                self._looks = True
                self._loop.call_later(_LOOK_S, self._look)
        finally:
            self._turn.release()


def check_time(ctx: Context, clock: Clock, where: str) -> None:
    """Raises `DeadlineExceeded` where the process was told to stop since the time is up."""
    if ctx.deadline is not None and clock.monotonic() >= ctx.deadline:
        raise DeadlineExceeded("the time limit passed while the model worked", where=where)


def abandon(link: Link, begun: Begun, owner: int) -> None:
    """What is left of a model that nobody closed. In a copy of its process, the child is not there to end."""
    if os.getpid() == owner:
        begun.stop()
        link.abandon()


def _let_go(loop: asyncio.AbstractEventLoop, number: int) -> None:
    loop.remove_reader(number)
    os.close(number)
