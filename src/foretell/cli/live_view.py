"""A view of a running job that is drawn anew in place."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from foretell.cli.scoring_view import duration, shares
from foretell.errors import RowError

if TYPE_CHECKING:
    from foretell.batch.progress import Progress

_LAST = 3
_BAR = 24


class LiveView:
    """Rows and time left; what each stage takes of the processes' time; the last things that were unusual."""

    def __init__(self) -> None:
        self._live = Live(console=Console(stderr=True), refresh_per_second=4, transient=True)
        self._events: list[str] = []
        self._state = "loading the model"

    def __enter__(self) -> Self:
        self._live.start()
        self._live.update(Text(f"{self._state} ..."))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def began(self, progress: Progress) -> None:
        self._state = "scoring"
        self.went_on(progress)

    def went_on(self, progress: Progress) -> None:
        self._live.update(self._drawn(progress))

    def crashed(self, how: str, rows: str) -> None:
        self._events.append(f"a process {how} in {rows}; it is scored again with more care")

    def left_out(self, rows: str, why: RowError) -> None:
        self._events.append(f"left out: {rows}: {why.message}")

    def publishes(self) -> None:
        self._live.update(Text("putting the output in its place ..."))

    def _drawn(self, progress: Progress) -> Group:
        done, total = progress.rows + progress.quarantined, progress.total_rows
        head = Table.grid(padding=(0, 2))
        bar = ProgressBar(total=total or progress.shards, completed=done if total else progress.shards_done, width=_BAR)
        left = f"{duration(progress.left_s)} left" if progress.left_s is not None else ""
        of = f" of {total:,}" if total is not None else ""
        head.add_row(bar, f"{done:,}{of} rows", f"{progress.rate:,.0f} rows/s", left)
        stages = Table.grid(padding=(0, 2))
        for stage, share in shares(progress).items():
            note = "  <- the bottleneck" if stage == progress.bottleneck and stage != "idle" else ""
            stages.add_row(stage, ProgressBar(total=1, completed=share, width=_BAR), f"{share:.0%}{note}")
        processes = f"{progress.processes} processes" if progress.processes != 1 else "1 process"
        counts = (f"{progress.shards_done:,} of {progress.shards:,} shards; {processes}, {progress.call_rows:,} rows "
                  f"a call; {progress.quarantined:,} rows without an answer")  # fmt: skip
        return Group(head, stages, Text(counts), *[Text(event) for event in self._events[-_LAST:]])
