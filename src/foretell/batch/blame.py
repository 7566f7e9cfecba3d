"""What is learned from processes that end: which rows are to be called with care, and which are left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from foretell.batch.board import Seen
from foretell.batch.careful import Care
from foretell.batch.job import Job
from foretell.batch.limits import Limits
from foretell.batch.progress import Onlooker
from foretell.errors import ModelError, RowError

OF_ROWS: Mapping[str, str] = {"predict": "computed", "decode": "decoded"}
"""Stages whose rows may be what ends the process."""
_SHARD_CRASHES = 5
"""Ends of processes within one shard, outside of any call, that are no reason to stop yet."""


class Blame:
    """Of one run of a job."""

    def __init__(self, limits: Limits, onlooker: Onlooker) -> None:
        self._limits, self._onlooker = limits, onlooker
        self._care: dict[int, Care] = {}
        self._outside: Counter[int] = Counter()

    def care(self, shard: int) -> Care:
        """How the rows of a shard are to be called."""
        return self._care.get(shard, Care())

    def learn(self, job: Job, shard: int, seen: Seen, how: str, *, stuck: bool) -> None:
        """A process ended in `shard`, doing what was `seen` last. `how`: the end of a sentence; `stuck`: since it was
        ended for taking too long. Raises `ModelError` where no row can be what ends processes."""
        if seen.stage not in OF_ROWS:
            self._outside[shard] += 1
            if self._outside[shard] > _SHARD_CRASHES:
                doing = "rest in" if seen.stage == "idle" else seen.stage
                what = f"processes end while they {doing} shard {shard}: the last one {how}"
                raise ModelError(what, where=_named(job, shard, seen))
            self._onlooker.crashed(how, f"shard {shard}")
            return
        why = RowError("deadline_exceeded", "the model did not answer this row in time") if stuck else RowError(
            "model_error", f"the process {how} while it {OF_ROWS[seen.stage]} this row")  # fmt: skip
        care = self.care(shard).after(seen.first_row, seen.rows, why, self._limits.row_attempts)
        self._care[shard] = care
        if seen.first_row in care.left_out and seen.rows == 1:
            self._onlooker.left_out(_named(job, shard, seen), why)
        else:
            told = "was ended, since a call took too long" if stuck else how
            self._onlooker.crashed(told, _named(job, shard, seen))


def _named(job: Job, shard: int, seen: Seen) -> str:
    path = job.data.files[job.plan.shards[shard].file].path
    last = seen.first_row + seen.rows - 1
    return f"{path}, row {last}" if seen.rows == 1 else f"{path}, rows {seen.first_row} to {last}"
