"""A view of a running job that is drawn anew in place."""

from __future__ import annotations

from collections import deque
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from foretell.cli.notes import visible
from foretell.cli.scoring_view import crash_line, left, left_out_line, processes, shares
from foretell.errors import RowError

if TYPE_CHECKING:
    from foretell.batch.progress import Progress

_LAST = 3
_BAR = 24
_NARROW = 76
"""Columns below which numbers stand under each other, and only the rows have a bar."""


class LiveView:
    """Rows and time left; what each stage takes of the processes' time; the last things that were unusual."""

    def __init__(self) -> None:
        console = Console(stderr=True)
        self._narrow = console.width < _NARROW
        self._live = Live(console=console, refresh_per_second=4, transient=True)
        self._events: deque[str] = deque(maxlen=_LAST)

    def __enter__(self) -> Self:
        self._live.start()
        self._live.update(Text("loading the model ..."))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def queried(self, rows: int) -> None:
        self._live.update(Text(f"reading the query: {rows:,} rows ..."))

    def began(self, progress: Progress) -> None:
        self.went_on(progress)

    def went_on(self, progress: Progress) -> None:
        self._live.update(self._drawn(progress))

    def crashed(self, how: str, rows: str) -> None:
        self._events.append(crash_line(how, rows))

    def left_out(self, rows: str, why: RowError) -> None:
        self._events.append(left_out_line(rows, why))

    def checks_keys(self) -> None:
        self._live.update(Text("looking for keys that stand more than once ..."))

    def publishes(self) -> None:
        self._live.update(Text("putting the output in its place ..."))

    def _drawn(self, progress: Progress) -> Group:
        lines: list[RenderableType] = [*self._head(progress), "", f"What {processes(progress)} are doing:"]
        if progress.processes == 1:
            lines[-1] = "What the process is doing:"
        lines += [self._stages(progress), "", Text(self._counts(progress))]
        if progress.quarantined:
            rows = "row" if progress.quarantined == 1 else "rows"
            lines.append(Text(f"{progress.quarantined:,} {rows} put aside without an answer", style="yellow"))
        return Group(*lines, *[Text(visible(event)) for event in self._events])

    def _head(self, progress: Progress) -> list[RenderableType]:
        done, total = progress.rows + progress.quarantined, progress.total_rows
        part = (done, total) if total else (progress.shards_done, progress.shards)
        bar = ProgressBar(total=max(1, part[1]), completed=part[0], width=_BAR)
        share = f"{min(1.0, part[0] / max(1, part[1])):.0%}"
        rows = f"{done:,} of {total:,} rows" if total is not None else f"{done:,} rows"
        rate = f"{progress.rate:,.0f} rows/s"
        table = Table.grid(padding=(0, 2))
        if self._narrow:
            table.add_row(bar, share)
            soon = [Text(left(progress.left_s))] if progress.left_s is not None else []
            return [table, Text(rows), Text(rate), *soon]
        table.add_row(bar, share, rows, rate, left(progress.left_s) if progress.left_s is not None else "")
        return [table]

    def _stages(self, progress: Progress) -> Table:
        table = Table.grid(padding=(0, 2))
        for stage, share in shares(progress).items():
            mark = "<- the bottleneck" if stage == progress.bottleneck else ""
            bar = [] if self._narrow else [ProgressBar(total=1, completed=share, width=_BAR)]
            table.add_row(stage, *bar, Text(f"{share:.0%}", justify="right"), mark)
        return table

    def _counts(self, progress: Progress) -> str:
        calls = f"; {progress.call_rows:,} rows a call" if progress.call_rows else ""
        return f"{progress.shards_done:,} of {progress.shards:,} shards done{calls}"
