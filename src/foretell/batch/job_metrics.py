"""What a job does, as a file in the text format of Prometheus, for the textfile collector of node_exporter."""

from __future__ import annotations

import contextlib
import os
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from foretell.batch.progress import Nobody, Progress
from foretell.batch.report import Report
from foretell.clock import Clock, SystemClock
from foretell.errors import InvalidSetting
from foretell.file_lock import Occupied

EVERY_S = 5.0
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
    """An `Onlooker` that writes the file every few seconds. Each write takes the place of the one before in one step.

    A write that fails is told once, as a warning, and does not stop the job; the next one is tried all the same.
    """

    def __init__(self, path: Path, model: str, version: str, clock: Clock | None = None) -> None:
        """Raises `InvalidSetting` where `path` cannot be written."""
        from foretell.observe.prometheus import escape  # few jobs need it, and all wait for their start

        self._path, self._clock = path, clock or SystemClock()
        name = path.name.removesuffix(".prom")
        given = {"job_name": name, "model": model, "version": version}
        self._labels = ",".join(f'{label}="{escape(value)}"' for label, value in given.items())
        self._started, self._began, self._success = time.time(), self._clock.monotonic(), _last_success(path)
        self._progress = Progress(0.0, 0, 0, None, 0, 0, 0)
        self._next = 0.0
        self._told = False
        try:
            if path.is_dir():
                raise IsADirectoryError(0, "it is a folder")
            self._beside.write_text("")
            self._beside.unlink()
        except OSError as error:
            what, got = "the metrics file cannot be written", error.strerror or error
            fix = "name a file in a folder that is there and may be written to"
            raise InvalidSetting(what, where=str(path), got=got, fix=fix) from None

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

    @property
    def _beside(self) -> Path:
        return self._path.with_name(f".{self._path.name}.{os.getpid()}")

    def _write(self, state: str) -> None:
        self._next = self._clock.monotonic() + EVERY_S
        try:
            self._beside.write_text(self._text(state), "utf-8", "replace")
            os.replace(self._beside, self._path)
        except OSError as error:
            with contextlib.suppress(OSError):
                self._beside.unlink()
            if not self._told:
                said = f"{self._path}: the metrics cannot be written: {error.strerror or error}; the job goes on"
                warnings.warn(said, stacklevel=2)
            self._told = True

    def _text(self, state: str) -> str:
        from foretell.observe.prometheus import escape, head

        now, labels = self._progress, self._labels
        lines: list[str] = []

        def add(name: str, text: str, kind: str, values: Mapping[str, float]) -> None:
            """`values`: by the labels of each, beside those that all have."""
            if values:
                lines.extend(head(name, text, kind))
                lines.extend(f"foretell_{name}{{{labels}{more}}} {value}" for more, value in values.items())

        def one(value: float | None) -> Mapping[str, float]:
            return {} if value is None else {"": value}

        add("job_rows_total", "Rows that have an answer, of all runs of the job.", "counter", one(now.committed))
        add("job_rows_expected", "Rows of the data, with those that are not scored yet.", "gauge", one(now.total_rows))
        by_code = {f',code="{escape(code)}"': count for code, count in sorted(now.reasons.items())}
        add("job_quarantined_rows_total", "Rows that were put aside without an answer, by reason.", "counter", by_code)
        add("job_output_bytes_total", "Bytes of the parts that are committed.", "counter", one(now.bytes))
        add("job_shards", "Shards of the data.", "gauge", one(now.shards))
        add("job_shards_done", "Shards that are committed.", "gauge", one(now.shards_done))
        add("job_crashes_total", "Processes that ended before time, in this run.", "counter", one(now.crashes))
        add("job_processes", "Processes that score now.", "gauge", one(now.processes))
        add("job_call_rows", "Rows of one call of the model now.", "gauge", one(now.call_rows))
        by_stage = {f',stage="{stage}"': seconds for stage, seconds in now.seconds.items()}
        add("job_stage_seconds_total", "Time of all processes by stage, in this run.", "counter", by_stage)
        add("job_duration_seconds", "Time of this run until now, or until its end.", "gauge",
            one(self._clock.monotonic() - self._began))  # fmt: skip
        add("job_start_timestamp_seconds", "When this run began.", "gauge", one(self._started))
        add(_SUCCESS, "When a run last put all of its output in its place.", "gauge", one(self._success))
        add("job_state", "1 for what the run is doing, or how it ended; 0 for all else.", "gauge",
            {f',state="{each}"': int(each == state) for each in _STATES})  # fmt: skip
        return "\n".join(lines) + "\n"


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
