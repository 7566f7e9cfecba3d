"""What a stream does, as a file in the text format of Prometheus, written while it runs."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from foretell.errors import InvalidSetting
from foretell.events.report import Report
from foretell.observe.metrics_file import EVERY_S, MetricsFile, by, one_of

_STATES = ("running", "done", "stopped", "failed")

Look = Callable[[], tuple[Report, int | None, float | None]]
"""The report up to now, how many bytes of the source are not committed, and the seconds since something last was; None:
not known. Asked by a thread of its own."""


class StreamMetrics:
    """The file of one run. A write that fails is told, and does not stop the stream."""

    def __init__(self, path: str, ends: Mapping[str, str], model: str, version: str) -> None:
        """`ends`: the names of source, sink and the like. Raises `InvalidSetting` where `path` is one of them, or
        cannot be written."""
        for what, name in ends.items():
            if os.path.realpath(path) == os.path.realpath(name):
                told = f"the metrics file is the {what.replace('_', ' ')}"
                raise InvalidSetting(told, where=path, fix="name another file")
        name = Path(path).name.removesuffix(".prom")
        self._file = MetricsFile(Path(path), {"stream_name": name, "model": model, "version": version}, "stream")
        self._started = time.time()

    @contextmanager
    def written(self, look: Look) -> Iterator[None]:
        """Written at once, then every few seconds, whether events come or not, and at the end with how it ended."""
        over = threading.Event()

        def keep_writing() -> None:
            while not over.wait(EVERY_S):
                self._write(look, "running")

        self._write(look, "running")
        writer = threading.Thread(target=keep_writing, name="foretell-stream-metrics", daemon=True)
        writer.start()
        end = "failed"
        try:
            yield
            end = look()[0].outcome
        finally:
            over.set()
            writer.join()
            self._write(look, end)

    def _write(self, look: Look, state: str) -> None:
        report, behind, since_commit_s = look()
        committed_at = None if since_commit_s is None else time.time() - since_commit_s
        samples = self._file.samples()
        add = samples.add
        add("events_total", "Events that have ended, of all runs of the stream.", "counter", report.events_total)
        add("events_dead_letters_total", "Events without an answer by reason, in this run.", "counter",
            by("code", dict(sorted(report.reasons.items()))))  # fmt: skip
        add("events_input_bytes_total", "Text of the events, in this run.", "counter", report.bytes_in)
        add("events_output_bytes_total", "Text of the results, in this run.", "counter", report.bytes_out)
        add("events_calls_total", "Calls of the model, in this run.", "counter", report.calls)
        add("events_commits_total", "Commits, in this run.", "counter", report.commits)
        add("events_crashes_total", "Ends of the process of the model, in this run.", "counter", report.crashes)
        add("events_rotations_total", "Rotations of the source, in this run.", "counter", report.rotations)
        add("events_truncations_total", "Times that the source was cut off, in this run.", "counter",
            report.truncations)  # fmt: skip
        add("events_behind_bytes", "Bytes of the source that are not answered and committed.", "gauge", behind)
        add("events_last_commit_timestamp_seconds", "When this run last committed.", "gauge", committed_at)
        add("events_duration_seconds", "Time of this run until now, or until its end.", "gauge", report.seconds)
        add("events_start_timestamp_seconds", "When this run began.", "gauge", self._started)
        add("events_state", "1 for what the stream is doing, or how it ended; 0 for all else.", "gauge",
            one_of("state", _STATES, state))  # fmt: skip
        self._file.write(samples)
