"""The prediction log: what was asked and what was answered, so that it can be watched, and scored again."""

from __future__ import annotations

import random
from pathlib import Path

from foretell.config import ServerSettings
from foretell.observe.line_file import LineFile
from foretell.observe.prometheus import head
from foretell.observe.records import NOT_ENCODED, QUEUE_FULL, RecordWriter
from foretell.observe.rotation import Rotation
from foretell.serve.prediction_lines import lines_of
from foretell.serve.prediction_record import Answered

_FILE = "predictions.jsonl"
_MODE = 0o600
"""Nobody else may read it: it holds what people have asked."""


class PredictionLog:
    """Takes records on the server's thread; all else happens on the writer's."""

    def __init__(self, settings: ServerSettings, path: str) -> None:
        """Raises `InvalidSetting` for a file that cannot be written."""
        self.most_bytes = settings.prediction_log_record_bytes
        self._excluded = frozenset(settings.prediction_log_exclude)
        self._sample, self._random = settings.prediction_log_sample, random.Random()
        self._without_values, self._patience_s = 0, settings.drain_timeout_s
        rotation = Rotation(path, settings.prediction_log_file_bytes, settings.prediction_log_files)
        self.records = RecordWriter(LineFile(path, _MODE, rotation), self._lines, f"the prediction log {path}")

    def choose(self) -> PredictionLog | None:
        """Itself, where the next request is one of the sample, and there is room for it. Where there is none, the
        request is lost here: it costs no record that nobody takes, and goes its usual way."""
        if self._sample < 1 and self._random.random() >= self._sample:
            return None
        if self.records.full:
            self.records.drop(QUEUE_FULL)
            return None
        return self

    def add(self, record: Answered) -> None:
        self.records.add(record, record.size)

    def lost(self) -> None:
        self.records.drop(NOT_ENCODED)

    def close(self) -> None:
        """Writes what waits, for as long as the end of the server may take."""
        self.records.close(self._patience_s)

    def exposition(self) -> str:
        """Its metrics."""
        records = self.records
        lines = [
            *head("prediction_log_records_total", "Requests written to the prediction log.", "counter"),
            f"foretell_prediction_log_records_total {records.written}",
            *head("prediction_log_dropped_total", "Requests that the prediction log has lost, by reason.", "counter"),
            *(f'foretell_prediction_log_dropped_total{{reason="{why}"}} {n}' for why, n in records.dropped.items()),
            *head("prediction_log_without_values_total", "Requests whose values were too large for it.", "counter"),
            f"foretell_prediction_log_without_values_total {self._without_values}",
            *head("prediction_log_waiting_bytes", "Memory of what waits to be written to it.", "gauge"),
            f"foretell_prediction_log_waiting_bytes {records.waiting_bytes}",
        ]
        return "\n".join(lines) + "\n"

    def _lines(self, record: Answered) -> bytes:
        lines, cut = lines_of(record, self._excluded, self.most_bytes)
        self._without_values += cut
        return lines


def prediction_log_of(settings: ServerSettings) -> PredictionLog | None:
    """Raises `InvalidSetting` for a file that cannot be written."""
    path = settings.prediction_log
    return None if path is None else PredictionLog(settings, path)


def prediction_file(path: str, worker: int | None) -> str:
    """The file of a process, where `path` is what was asked for: a file, or a folder. `worker`: which of several it
    is."""
    file = Path(path, _FILE) if path.endswith("/") or Path(path).is_dir() else Path(path)
    return str(file if worker is None else file.with_name(f"{file.stem}.worker{worker}{file.suffix}"))
