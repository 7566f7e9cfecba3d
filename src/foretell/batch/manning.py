"""How many processes a job has at any moment, so that they keep the machine busy and stay within its memory."""

from __future__ import annotations

import time
from collections.abc import Sequence

from foretell.batch.growth import Growth, Moment
from foretell.batch.staffing import Staff, fitting, least
from foretell.batch.vitals import available_bytes, idle_seconds, processor_seconds, proportional_bytes
from foretell.errors import InferenceError, InvalidSetting, Unavailable

_LOOK_S = 1.0
_LOOKS = 3
"""In a row that find too much memory taken, before something is done: what is short mends itself."""
_AVAILABLE = 0.9


class Manning:
    """`processes`: how many there should be now; `threads`: of a call in each; `peak_bytes`: the most memory that was
    seen, ours included."""

    def __init__(self, staff: Staff, cores: int, memory: int | None, *, grows: bool) -> None:
        """`memory`: bytes for all processes, this one included; None: what the machine has left. `grows`: whether more
        processes than to begin with may be tried.

        Raises `InvalidSetting` where memory is limited and this system does not tell how much is taken.
        """
        own, left = proportional_bytes(), available_bytes()
        self.scarce = memory is not None
        if memory is not None and own is None:
            raise InvalidSetting("this system does not tell how much memory processes take", where="memory",
                                 fix="leave it out, and choose processes and batch_size")  # fmt: skip
        self._memory = memory
        if memory is None and own is not None and left is not None:
            self._memory = own + int(left * _AVAILABLE)
        self._wanted = staff.wanted
        self._growth = Growth(staff.wanted, cores) if grows else None
        self._cores = cores
        self.processes, self.threads = staff.processes, staff.threads
        self.peak_bytes = own or 0
        self._looked, self._over = 0.0, 0

    def share(self) -> int | None:
        """Bytes that each process may have; None where nobody knows of a limit."""
        if self._memory is None:
            return None
        return max(0, self._memory - (proportional_bytes() or 0)) // max(1, self.processes)

    def may_overlap(self, device: str) -> bool:
        """Whether a process does well to read and write while it predicts on `device`: where a core is left for it.
        Where every core has its process, threads beside it would only take turns with it."""
        return device != "cpu" or self.processes < self._cores

    def loaded(self, pids: Sequence[int]) -> None:
        """These processes have loaded the model. Raises `InvalidSetting` where the memory is too small for one."""
        if self._memory is None or not pids:
            return
        own, each = proportional_bytes() or 0, [proportional_bytes(pid) or 0 for pid in pids]
        self.peak_bytes = max(self.peak_bytes, own + sum(each))
        fits = fitting(self._memory - own, each, max(self._wanted, self.processes))
        if not fits and self.scarce:
            needed = f"{-(-(own + least(max(each))) // 2**20):,} MiB or more"
            raise InvalidSetting("the model does not fit into the memory that the job may take", where="memory",
                                 expected=needed, got=f"{self._memory / 2**20:,.0f} MiB")  # fmt: skip
        self.processes = max(1, fits)

    def look(self, rows: int, ready: Sequence[int], call_rows: int, of_use: int) -> InferenceError | None:
        """Looks at the processes, and decides how many there should be.

        `rows`: how many were scored so far; `ready`: the processes that have loaded the model; `call_rows`: rows of a
        call now; `of_use`: how many processes would have something to do. Gives the error of a job that cannot go on.
        """
        now = time.monotonic()
        if now - self._looked < _LOOK_S:
            return None
        self._looked = now
        each = [proportional_bytes(pid) or 0 for pid in ready]
        taken = sum(each) + (proportional_bytes() or 0)
        self.peak_bytes = max(self.peak_bytes, taken)
        if self._memory is not None and taken > self._memory:
            return self._too_much(taken, max(1, len(ready)), call_rows)
        self._over = 0
        idle = idle_seconds()
        if self._growth is not None and each and self.processes >= self._wanted and idle is not None:
            moment = Moment(now, rows, sum(map(processor_seconds, ready)), idle)
            fits = of_use if self._memory is None else min(of_use, fitting(self._memory, each, of_use))
            self.processes = self._growth.seen(moment, len(ready), max(fits, 1))
        return None

    def _too_much(self, taken: int, ready: int, call_rows: int) -> InferenceError | None:
        self._over += 1
        if self._over < _LOOKS:
            return None
        self._over, self._growth = 0, None
        if ready > 1:
            self.processes = min(self.processes, ready) - 1
            return None
        if call_rows > 1 or not self.scarce:
            return None  # calls become smaller by themselves
        what = "one process with calls of one row takes more memory than the job may"
        return Unavailable(what, where="memory", expected=f"at most {(self._memory or 0) / 2**20:,.0f} MiB",
                           got=f"{taken / 2**20:,.0f} MiB")  # fmt: skip
