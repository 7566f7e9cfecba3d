"""The replicas of one model: who is free, who is lost, and how many there should be."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Mapping
from functools import partial

from foretell.clock import Clock
from foretell.config import ModelSettings
from foretell.engine.executors import JOIN_S
from foretell.engine.member import Member
from foretell.engine.replica import Replica
from foretell.errors import NotReady
from foretell.model import Loss, Model

Open = Callable[[], Model]
"""Opens the artefact again: a model that is not loaded yet."""

_LOST_S = 1.0
"""For so long, a replica that is lost may still answer whoever has it."""


class Pool:
    """Gives out replicas, the one with the least to do first. Safe from any thread.

    Who acquires a member releases it; a member that leaves is closed only when nobody has it any more, so that
    nothing accepted is lost when the pool shrinks or its members are replaced.
    """

    def __init__(self, settings: ModelSettings, clock: Clock, where: str, name: str) -> None:
        self._settings, self._clock, self._where, self._name = settings, clock, where, name
        self.members: tuple[Member, ...] = ()
        self.closed = False
        self.lost = 0
        """Replicas that ended by themselves, or had to be given up."""
        self.last_loss: Loss | None = None
        """Why the last of them was."""
        self._lock = threading.RLock()
        self.changed = threading.Condition(self._lock)
        """Guards everything here; notified at every change. Who only counts takes the lock itself: it costs less."""
        self.hopeless = False
        """Nobody is here, and nobody is expected soon."""
        self._next_at = 0.0
        """When the next one may be opened (monotonic), while that is so."""
        self._numbers = 0
        self._watchers: list[Callable[[], None]] = []
        self.on_losing: Callable[[Member], None] | None = None
        """Called before a lost member is missed: who opens others must know first from when on it may."""
        self.on_lost: Callable[[], None] | None = None
        """Called when it is out."""

    @property
    def ready(self) -> bool:
        return bool(self.members) and not self.closed

    def make(self, model: Model, device: str, generation: int = 0) -> Member:
        """A member of a model that is loaded on `device`, not yet one of those that take batches."""
        with self.changed:
            self._numbers += 1
            number = self._numbers
        replica = Replica(model, self._settings, self._clock, self._where)
        return Member(number, replica, self._name, generation, device)

    def add(self, member: Member) -> bool:
        """Lets it take batches; False where the pool has been closed meanwhile."""
        with self.changed:
            if self.closed:
                return False
            self.members = (*self.members, member)
            self.hopeless = False
            self.changed.notify_all()
        self._tell()
        if member.apart:
            member.replica.model.watch(partial(self.lose, member))
        return True

    def acquire(self, busy: Collection[Member] | Mapping[Member, object] = ()) -> Member | None:
        """The member with the fewest batches that is not in `busy`; it counts one more until `release`."""
        with self._lock:
            best: Member | None = None
            for member in self.members:
                if member not in busy and (best is None or member.outstanding < best.outstanding):
                    best = member
            if best is not None:
                if not best.outstanding:
                    best.busy_since = time.monotonic()
                best.outstanding += 1
            return best

    def hold(self, member: Member) -> None:
        """One more batch for a member that somebody has acquired, until `release`."""
        with self._lock:
            member.outstanding += 1

    def release(self, member: Member) -> None:
        with self._lock:
            member.outstanding -= 1
            if not member.outstanding:
                member.busy_s += time.monotonic() - member.busy_since
            if member.gone:
                self.changed.notify_all()

    def busy_s(self, now: float) -> float:
        """Seconds for which its members have had something to do until `now` (monotonic), added up."""
        with self.changed:
            return sum(m.busy_s + (now - m.busy_since if m.outstanding else 0.0) for m in self.members)

    def pick(self) -> Member:
        """`acquire` for callers that wait. Raises `NotReady`."""
        member = self.acquire()
        if member is None:
            raise self.not_ready()
        return member

    def not_ready(self) -> NotReady:
        if self.closed:
            return NotReady("the model is closed", where=self._where)
        error = NotReady("no replica of the model runs now", where=self._where, fix="try again later")
        error.retry_after_s = max(0.0, self._next_at - time.monotonic())
        return error

    def leave(self, member: Member) -> bool:
        """Takes it out; it gets no further batch. False where it has left before."""
        with self.changed:
            if member.gone:
                return False
            self._take_out(member)
        self._tell()
        return True

    def _take_out(self, member: Member) -> None:
        """The lock must be held."""
        member.gone = True
        self.members = tuple(other for other in self.members if other is not member)
        self.changed.notify_all()

    def lose(self, member: Member, loss: Loss = "ended") -> None:
        """It ended by itself, or hangs; `loss` says why where its model does not. Harmless when repeated."""
        with self.changed:
            if member.gone:
                return
            self.lost += 1
            self.last_loss = member.replica.model.loss or loss
            if self.on_losing is not None:
                self.on_losing(member)
            member.lost = True
            self._take_out(member)
        self._tell()
        threading.Thread(target=self.retire, args=(member, _LOST_S), name="foretell-lost", daemon=True).start()
        if self.on_lost is not None:
            self.on_lost()

    def retire(self, member: Member, patience_s: float) -> None:
        """Takes it out, waits until nobody has it, closes it."""
        self.leave(member)
        until = time.monotonic() + patience_s
        with self.changed:
            self.changed.wait_for(lambda: not member.outstanding or self.closed, patience_s)
        member.close(max(until, time.monotonic() + 1.0))

    def watch(self, told: Callable[[], None]) -> None:
        """`told` is called, on any thread, when members came or went."""
        with self.changed:
            self._watchers.append(told)

    def unwatch(self, told: Callable[[], None]) -> None:
        with self.changed:
            self._watchers = [other for other in self._watchers if other is not told]

    def give_up_for_now(self, next_at: float) -> None:
        """The next replica will not be opened before `next_at` (monotonic): who waits is told at once."""
        with self.changed:
            self.hopeless, self._next_at = not self.members, next_at
        self._tell()

    def close(self) -> None:
        """Closes every member, in `JOIN_S` all together."""
        with self.changed:
            self.closed = True
            members, self.members = self.members, ()
            for member in members:
                member.gone = True
            self.changed.notify_all()
        until = time.monotonic() + JOIN_S
        for member in members:
            member.close(until)

    def _tell(self) -> None:
        for told in list(self._watchers):
            told()
