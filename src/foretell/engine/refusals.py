"""What requests are told that the batcher refuses or gives up."""

from __future__ import annotations

from foretell.errors import DeadlineExceeded, NotReady, Overloaded


class Refusals:
    """The errors of one model's queue. `where` names the model."""

    def __init__(self, where: str, max_queue_size: int) -> None:
        self._where, self._most = where, max_queue_size

    def queue_full(self, waiting: int, rows: int, drain_s: float | None) -> Overloaded:
        error = Overloaded(
            "the queue is full",
            where=self._where,
            expected=f"at most {self._most} rows waiting",
            got=f"{waiting} waiting and {rows} more",
            fix="try again later",
        )
        error.retry_after_s = drain_s
        return error

    def too_late(self, slo_s: float, drain_s: float | None) -> Overloaded:
        error = Overloaded(
            "the answer would come too late",
            where=self._where,
            expected=f"an answer within slo_ms = {slo_s * 1e3:g}",
            fix="try again later",
        )
        error.retry_after_s = drain_s
        return error

    def expired(self) -> DeadlineExceeded:
        return DeadlineExceeded("the time limit of the request passed", where=self._where)

    def shutting_down(self) -> NotReady:
        return NotReady("the model is shutting down", where=self._where, fix="try again elsewhere")
