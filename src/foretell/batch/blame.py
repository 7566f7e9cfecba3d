"""What is learned from processes that end: which rows are to be called with care, and which are left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from foretell.batch.board import Doing, Seen
from foretell.batch.careful import Care
from foretell.batch.job import Job
from foretell.batch.limits import Limits
from foretell.batch.progress import Onlooker
from foretell.batch.stages import OF_ROWS
from foretell.errors import ModelError, RowError

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

    def learn(self, job: Job, shards: Sequence[int], seen: Seen, how: str, *, stuck: bool) -> None:
        """A process that had these shards ended, doing what was `seen` last. `how`: the end of a sentence; `stuck`:
        since it was ended for taking too long. Raises `ModelError` where no row can be what ends processes."""
        doing = seen.over_rows() if stuck else seen.doing[0] if len(seen.doing) == 1 else None
        if doing is None and seen.doing and not all(self.care(shard).in_turns for shard in shards):
            for shard in shards:
                self._care[shard] = replace(self.care(shard), in_turns=True)
            self._onlooker.crashed(how, f"shard {shards[0]}")
        elif doing is None or doing.stage not in OF_ROWS or doing.shard not in shards:
            self._outside_of_rows(job, shards[0], doing, how)
        else:
            self._of_rows(job, doing, how, stuck=stuck)

    def _outside_of_rows(self, job: Job, shard: int, doing: Doing | None, how: str) -> None:
        self._outside[shard] += 1
        if self._outside[shard] > _SHARD_CRASHES:
            what = f"processes end while they {doing.stage if doing else 'rest in'} shard {shard}: the last one {how}"
            raise ModelError(what, where=_named(job, shard, doing))
        self._onlooker.crashed(how, f"shard {shard}")

    def _of_rows(self, job: Job, doing: Doing, how: str, *, stuck: bool) -> None:
        why = RowError("deadline_exceeded", "the model did not answer this row in time") if stuck else RowError(
            "model_error", f"the process {how} while it {OF_ROWS[doing.stage]} this row")  # fmt: skip
        shard, named = doing.shard, _named(job, doing.shard, doing)
        care = self.care(shard).after(doing.first_row, doing.rows, why, self._limits.row_attempts)
        self._care[shard] = care
        if doing.first_row in care.left_out and doing.rows == 1:
            self._onlooker.left_out(named, why)
        else:
            self._onlooker.crashed("was ended, since a call took too long" if stuck else how, named)


def _named(job: Job, shard: int, doing: Doing | None) -> str:
    path = job.data.files[job.plan.shards[shard].file].path
    if doing is None or not doing.rows:
        return path
    last = doing.first_row + doing.rows - 1
    return f"{path}, row {last}" if doing.rows == 1 else f"{path}, rows {doing.first_row} to {last}"
