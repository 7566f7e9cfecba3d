"""What a job does, as a file in the text format of Prometheus, for the textfile collector of node_exporter."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from foretell.batch.progress import Nobody, Progress
from foretell.batch.report import Report
from foretell.clock import Clock, SystemClock
from foretell.file_lock import Occupied

_STATES = ("running", "done", "stopped", "interrupted")
_SUCCESS = "job_last_success_timestamp_seconds"
_MOST_BYTES = 2**16
"""Of the file of the run before, which is looked at for when a run last succeeded."""


class Metrics(Nobody):
    """Nobody asks for them."""

    def runs(self) -> None:
        """The output is this run's, and the file with it."""

    def ended(self, report: Report) -> None:
        """The output is in its place."""


class JobMetrics(Metrics):
    """An `Onlooker` that writes the file every few seconds. A write that fails does not stop the job."""

    def __init__(self, path: Path, model: str, version: str, clock: Clock | None = None) -> None:
        """Raises `InvalidSetting` where `path` cannot be written."""
        from foretell.observe.metrics_file import EVERY_S, MetricsFile  # few jobs need it, and all wait for their start

        self._clock, self._every_s = clock or SystemClock(), EVERY_S
        name = path.name.removesuffix(".prom")
        self._file = MetricsFile(path, {"job_name": name, "model": model, "version": version}, "job")
        self._started, self._began, self._success = time.time(), self._clock.monotonic(), _last_success(path)
        self._progress = Progress(0.0, 0, 0, None, 0, 0, 0)
        self._next = 0.0

    def runs(self) -> None:
        self._write("running")

    def began(self, progress: Progress) -> None:
        self._progress = progress
        self._write("running")

    def went_on(self, progress: Progress) -> None:
        self._progress = progress
        if self._clock.monotonic() >= self._next:
            self._write("running")

    def ended(self, report: Report) -> None:
        self._success = time.time()
        self._progress = Progress(
            report.seconds, report.rows, report.scored_now, report.total_rows, report.quarantined, report.shards_done,
            report.shards, seconds=report.stages, crashes=report.crashes, bytes=report.bytes_out,
            reasons=report.reasons, committed=report.rows,
        )  # fmt: skip
        self._write("done")

    def failed(self, state: str) -> None:
        """The run is over, and the output is not in its place."""
        self._write(state)

    def _write(self, state: str) -> None:
        from foretell.observe.metrics_file import by, one_of

        self._next = self._clock.monotonic() + self._every_s
        now, samples = self._progress, self._file.samples()
        add = samples.add
        add("job_rows_total", "Rows that have an answer, of all runs of the job.", "counter", now.committed)
        add("job_rows_expected", "Rows of the data, with those that are not scored yet.", "gauge", now.total_rows)
        add("job_quarantined_rows_total", "Rows that were put aside without an answer, by reason.", "counter",
            by("code", dict(sorted(now.reasons.items()))))  # fmt: skip
        add("job_output_bytes_total", "Bytes of the parts that are committed.", "counter", now.bytes)
        add("job_shards", "Shards of the data.", "gauge", now.shards)
        add("job_shards_done", "Shards that are committed.", "gauge", now.shards_done)
        add("job_crashes_total", "Processes that ended before time, in this run.", "counter", now.crashes)
        add("job_processes", "Processes that score now.", "gauge", now.processes)
        add("job_call_rows", "Rows of one call of the model now.", "gauge", now.call_rows)
        add("job_stage_seconds_total", "Time of all processes by stage, in this run.", "counter",
            by("stage", now.seconds))  # fmt: skip
        add("job_duration_seconds", "Time of this run until now, or until its end.", "gauge",
            self._clock.monotonic() - self._began)  # fmt: skip
        add("job_start_timestamp_seconds", "When this run began.", "gauge", self._started)
        add(_SUCCESS, "When a run last put all of its output in its place.", "gauge", self._success)
        add("job_state", "1 for what the run is doing, or how it ended; 0 for all else.", "gauge",
            one_of("state", _STATES, state))  # fmt: skip
        self._file.write(samples)


@contextmanager
def metrics_of(path: str | None, model: str, version: str) -> Iterator[Metrics]:
    """`path` None: none are asked for. Raises `InvalidSetting` where it cannot be written."""
    if path is None:
        yield Metrics()
        return
    metrics = JobMetrics(Path(path), model, version)
    try:
        yield metrics
    except Occupied:
        raise  # the file is that of the job which runs
    except BaseException as error:
        metrics.failed("interrupted" if isinstance(error, KeyboardInterrupt) else "stopped")
        raise


def _last_success(path: Path) -> float | None:
    """As the run before has written it, whichever version of the model it had."""
    with contextlib.suppress(OSError, ValueError), path.open(encoding="utf-8") as file:
        for line in file.read(_MOST_BYTES).splitlines():
            if line.startswith(f"foretell_{_SUCCESS}{{"):
                return float(line.rpartition(" ")[2])
    return None
