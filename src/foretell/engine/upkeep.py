"""Keeps as many replicas running as are wanted: opens what is missing, replaces what is lost, retires what is over."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Sequence

from foretell.config import ModelSettings
from foretell.engine import policy
from foretell.engine.devices import device_of_next, idlest
from foretell.engine.member import Member
from foretell.engine.pool import Open, Pool
from foretell.errors import InferenceError
from foretell.saying import Say, nobody

_LOOK_S = 1.0
_RETIRE_S = 60.0
_SOON_S = 2.0
"""Who waits for a replica that will be opened within this time goes on waiting."""


class Upkeep:
    """A thread that compares what there is with what is wanted, at every change of the pool and once a second.

    `opens`: makes a member of a generation on a device, ready to take batches. `apart`: opens the model in a process of
    its own; where it is given, a model whose calls hold the event loop up is moved there (`policy.belongs_apart`).
    """

    def __init__(
        self,
        pool: Pool,
        settings: ModelSettings,
        opens: Callable[[Open, int, str], Member],
        again: Open,
        apart: Open | None,
        waiting_rows: Callable[[], int],
        say: Say | None,
    ) -> None:
        """`say` gets a line for people about what happens to replicas by itself."""
        self._pool, self._settings, self._opens = pool, settings, opens
        self._say = say or nobody
        self._again, self._apart = again, apart
        self._back: Open | None = None
        """How replicas were opened before they began to move; None once the first one has."""
        self._waiting_rows = waiting_rows
        self.wanted = settings.least_replicas
        self.generation = 0
        self.last_error: str = ""
        """Why the last replica could not be opened, for who runs the server; until one could."""
        self.last_code: str | None = None
        """The same for whoever asks."""
        self._failures = 0
        self._not_before = 0.0
        self._busy_before, self._before = 0.0, (0, 0.0)
        self._looked_at = self._quiet_since = time.monotonic()
        pool.on_losing, pool.on_lost = self._losing, self._lost
        self._thread = threading.Thread(target=self._run, name="foretell-upkeep", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """The pool has been closed: ends. A model that is just being opened is closed by its thread."""
        if threading.current_thread() is not self._thread and self._thread.is_alive():
            self._thread.join(_LOOK_S)

    def _losing(self, member: Member) -> None:
        self._count_failure(time.monotonic() - member.born)

    def _lost(self) -> None:
        self._say(f"a replica was lost ({self._pool.last_loss}); it is replaced", event="replica_lost", level="warning")
        self._tell_if_late()

    def _count_failure(self, lived_s: float) -> None:
        with self._pool.changed:
            self._failures = 1 if lived_s >= policy.LIVED_S else self._failures + 1
            self._not_before = time.monotonic() + policy.restart_delay_s(self._failures, lived_s)
            self._pool.changed.notify_all()

    def _tell_if_late(self) -> None:
        """Who waits is told where the next replica will not be there soon."""
        if self._not_before - time.monotonic() > _SOON_S:
            self._pool.give_up_for_now(self._not_before)

    def _run(self) -> None:
        pool = self._pool
        while not pool.closed:
            step = self._step()
            if step is not None:
                step()
                continue
            with pool.changed:
                if not pool.closed and self._step() is None:
                    pool.changed.wait(self._pause_s())
            self._look()

    def _pause_s(self) -> float:
        left_s = self._not_before - time.monotonic()
        return min(_LOOK_S, left_s) if left_s > 0 else _LOOK_S

    def _step(self) -> Callable[[], None] | None:
        """What is to be done now; None: nothing."""
        members = self._pool.members
        old = [member for member in members if member.generation != self.generation]
        new = len(members) - len(old)
        if new < self.wanted and time.monotonic() >= self._not_before:
            return self._open
        if old and new:
            return lambda: self._pool.retire(old[0], _RETIRE_S)
        if len(members) > self.wanted and not old:
            return lambda: self._pool.retire(idlest(members), _RETIRE_S)
        return None

    def _open(self) -> None:
        try:
            device = device_of_next(self._settings.devices, self._pool.members, self.generation)
            member = self._opens(self._again, self.generation, device)
        except InferenceError as error:
            self.last_error, self.last_code = str(error), error.code
            self._say(f"a replica could not be opened: {error}", event="replica_failed", level="error")
            if self._back is not None:  # it cannot live there, and runs well enough where it is
                self._again, self._back = self._back, None
                self.generation -= 1
            else:
                self._count_failure(0.0)
                self._tell_if_late()
            return
        self._back = self.last_code = None
        self.last_error = ""
        if not self._pool.add(member):
            member.close(time.monotonic() + _LOOK_S)

    def _look(self) -> None:
        """Once a second: where calls belong, and how many replicas the load needs."""
        now = time.monotonic()
        passed_s = now - self._looked_at
        if passed_s < _LOOK_S / 2 or self._pool.closed:
            return
        members = self._pool.members
        busy_s = self._pool.busy_s(now)
        was_busy_s = max(0.0, busy_s - self._busy_before)
        share = was_busy_s / (passed_s * len(members)) if members else 0.0
        self._busy_before, self._looked_at = busy_s, now
        if not policy.fewer_would_do(len(members), share):
            self._quiet_since = now
        least, most = self._settings.least_replicas, self._settings.most_replicas
        wanted = policy.replicas_wanted(
            self.wanted, least, most, share, self._waiting_rows() > 0, now - self._quiet_since
        )
        if wanted < self.wanted:
            self._quiet_since = now
        self.wanted = wanted
        if self._apart is not None and self._computes(members, was_busy_s):
            self._back, self._again, self._apart = self._again, self._apart, None
            self.generation += 1
            self._say("its calls compute for long, so it moves to a process of its own", event="replica_moves")

    def _computes(self, members: Sequence[Member], busy_s: float) -> bool:
        """Whether calls lately were such that they belong apart. `busy_s`: how long they took all together."""
        computed = [member.computed for member in members]
        calls, cpu_s = sum(each[0] for each in computed), sum(each[1] for each in computed)
        lately = calls - self._before[0], busy_s if math.isinf(cpu_s) else cpu_s - self._before[1]
        self._before = calls, cpu_s
        return policy.belongs_apart(*lately)
