"""What requests are told that the batcher refuses or gives up."""

from __future__ import annotations

import math
from collections.abc import Callable

from foretell.errors import DeadlineExceeded, NotReady, Overloaded


class Refusals:
    """The errors of one model's queue. `where` names the model.

    Where there is too much to do, saying so must cost little: who is refused for the same reason in the same second is
    told with the same object. Who raises it raises a copy: raising writes to it.
    """

    def __init__(self, where: str, max_queue_size: int) -> None:
        self._where, self._most = where, max_queue_size
        self._key: tuple[float, ...] = ()
        self._error = Overloaded("")

    def queue_full(self, waiting: int, rows: int, drain_s: float | None) -> Overloaded:
        return self._kept(self._queue_full, drain_s, waiting, rows)

    def too_late(self, slo_s: float, drain_s: float | None) -> Overloaded:
        return self._kept(self._too_late, drain_s, slo_s)

    def _kept(self, make: Callable[..., Overloaded], drain_s: float | None, *about: float) -> Overloaded:
        key = *about, math.ceil(drain_s or 0.0)
        if key != self._key:
            self._key, self._error = key, make(*about)
            self._error.retry_after_s = drain_s
        return self._error

    def _queue_full(self, waiting: int, rows: int) -> Overloaded:
        return Overloaded(
            "the queue is full",
            where=self._where,
            expected=f"at most {self._most} rows waiting",
            got=f"{waiting} waiting and {rows} more",
            fix="try again later",
        )

    def _too_late(self, slo_s: float) -> Overloaded:
        return Overloaded(
            "the answer would come too late",
            where=self._where,
            expected=f"an answer within slo_ms = {slo_s * 1e3:g}",
            fix="try again later",
        )

    def expired(self) -> DeadlineExceeded:
        return DeadlineExceeded("the time limit of the request passed", where=self._where)

    def shutting_down(self) -> NotReady:
        return NotReady("the model is shutting down", where=self._where, fix="try again elsewhere")
