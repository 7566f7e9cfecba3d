"""What a run did, kept for its report while everybody who looks on is told."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime

from foretell.batch.job import Commit
from foretell.batch.progress import Onlooker, Progress
from foretell.batch.stages import STAGES
from foretell.batch.timeline import Point, Timeline
from foretell.errors import RowError

_MOST_EVENTS = 20


class Diary:
    """An `Onlooker` that remembers. Its memory is bounded, but for a number for each shard."""

    def __init__(self, onlookers: Sequence[Onlooker]) -> None:
        self._onlookers = onlookers
        self._start = time.monotonic()
        self.started_at = datetime.now(UTC)
        self.progress = Progress(0.0, 0, 0, None, 0, 0, 0)
        """The latest."""
        self.events: list[str] = []
        """What was unusual, the first of it."""
        self.unusual = 0
        self.shard_seconds: dict[int, float] = {}
        self.shard_rows: dict[int, int] = {}
        self.timeline = Timeline()
        self.most_processes = 0
        self._before = 0
        self._began_s: float | None = None
        self._checks_s: float | None = None
        self._publishes_s: float | None = None

    @property
    def seconds(self) -> float:
        """Since the run was asked for."""
        return time.monotonic() - self._start

    @property
    def phases(self) -> dict[str, float]:
        """Seconds until the first shard was given out, until the last one was done, and until now; before that, until
        keys had been read again, where they were."""
        now = self.seconds
        began = now if self._began_s is None else self._began_s
        published = now if self._publishes_s is None else self._publishes_s
        if self._checks_s is None:
            return {"start": began, "score": published - began, "publish": now - published}
        return {"start": began, "score": self._checks_s - began, "check": published - self._checks_s,
                "publish": now - published}  # fmt: skip

    def queried(self, rows: int) -> None:
        for each in self._onlookers:
            each.queried(rows)

    def began(self, progress: Progress) -> None:
        self._began_s, self._before = self.seconds, progress.quarantined
        self._note(progress)
        for each in self._onlookers:
            each.began(progress)

    def went_on(self, progress: Progress) -> None:
        if self._checks_s is not None:
            self.progress = progress
            return
        self._note(progress)
        for each in self._onlookers:
            each.went_on(progress)

    def committed(self, commit: Commit, seconds: float) -> None:
        """A shard is done, `seconds` after it was begun."""
        self.shard_seconds[commit.shard] = seconds
        self.shard_rows[commit.shard] = commit.rows + commit.quarantined

    def crashed(self, how: str, rows: str) -> None:
        self._unusual(f"a process {how} in {rows}")
        for each in self._onlookers:
            each.crashed(how, rows)

    def left_out(self, rows: str, why: RowError) -> None:
        self._unusual(f"left out: {rows}: {why.message}")
        for each in self._onlookers:
            each.left_out(rows, why)

    def checks_keys(self) -> None:
        self._checks_s = self.seconds
        for each in self._onlookers:
            each.checks_keys()

    def publishes(self) -> None:
        self._publishes_s = self.seconds
        for each in self._onlookers:
            each.publishes()

    def _unusual(self, what: str) -> None:
        self.unusual += 1
        if len(self.events) < _MOST_EVENTS:
            self.events.append(f"{self.seconds:.1f} s: {what}")

    def _note(self, progress: Progress) -> None:
        self.progress = progress
        self.most_processes = max(self.most_processes, progress.processes)
        read, decode, preprocess, predict, write = (progress.seconds.get(stage, 0.0) for stage in STAGES)
        now = Point(
            progress.elapsed_s, progress.scored_now, progress.quarantined - self._before,
            read, decode, preprocess, predict, write, progress.processes, progress.call_rows,
        )  # fmt: skip
        self.timeline.add(now)
