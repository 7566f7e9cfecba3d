"""The metrics of a job, as the parser of Prometheus reads them."""

from __future__ import annotations

import json
import os
import signal
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scoring
from looking import until
from prometheus_client.parser import text_string_to_metric_families

import foretell
from foretell.batch.job_metrics import JobMetrics, metrics_of
from foretell.batch.progress import Progress
from foretell.batch.report import Report
from foretell.clock import ManualClock
from foretell.errors import InvalidSetting, ModelError
from foretell.file_lock import Occupied
from foretell.observe.metrics_file import EVERY_S

LABELS = {"job_name": "nightly", "model": "Sum", "version": "1"}
NOW = Progress(2.0, 70, 70, 100, 3, 2, 4, processes=2, call_rows=64, seconds={"read": 0.5, "predict": 1.5}, crashes=1,
               bytes=99, reasons={"model_error": 3}, committed=60)  # fmt: skip


def read(path: Path) -> dict[str, Any]:
    """By name, and what a metric has beside the labels of the job; the types as Prometheus knows them."""
    found: dict[str, Any] = {}
    for family in text_string_to_metric_families(path.read_text("utf-8")):
        assert family.documentation.endswith(".")
        for sample in family.samples:
            assert sample.name.endswith("_total") == (family.type == "counter")
            more = tuple(value for key, value in sample.labels.items() if key not in LABELS)
            key = sample.name.removeprefix("foretell_job_")
            found[" ".join([key, *more])] = sample.value
    return found


def state(found: dict[str, Any]) -> str:
    (known,) = [key.removeprefix("state ") for key, value in found.items() if key.startswith("state ") and value == 1]
    return known


def test_a_job_leaves_its_metrics(folder: Path) -> None:
    scoring.write_files(folder, bad={7: -44.0, 9: -22.0, 1500: -22.0, 801: -11.0})
    done = scoring.score(folder, "--key", "id", "--json", "--metrics-file", "nightly.prom", code=3)
    report = json.loads(done.stdout)
    found = read(folder / "nightly.prom")
    assert state(found) == "done"
    expected = {
        "rows_total": 1596, "rows_expected": 1600, "quarantined_rows_total model_error": 3,
        "quarantined_rows_total transient": 1, "shards": 4, "shards_done": 4, "output_bytes_total": report["bytes_out"],
        "crashes_total": report["crashes"], "processes": 0,
    }  # fmt: skip
    assert {key: found[key] for key in expected} == expected
    assert found["stage_seconds_total predict"] == pytest.approx(report["stages"]["predict"])
    assert found["last_success_timestamp_seconds"] >= found["start_timestamp_seconds"] + found["duration_seconds"] - 1
    assert [name for name in os.listdir(folder) if "nightly" in name] == ["nightly.prom"]


def test_every_sample_has_the_name_of_the_job_the_model_and_its_version(tmp_path: Path) -> None:
    JobMetrics(tmp_path / "nightly.prom", "Sum", "1").began(NOW)
    for family in text_string_to_metric_families((tmp_path / "nightly.prom").read_text()):
        assert family.name.startswith("foretell_job_")
        for sample in family.samples:
            assert LABELS.items() <= sample.labels.items()


def test_the_file_is_written_every_few_seconds_while_the_job_runs(tmp_path: Path) -> None:
    clock, path = ManualClock(), tmp_path / "a.prom"
    metrics = JobMetrics(path, "Sum", "1", clock)
    assert not path.exists()
    metrics.runs()
    assert (state(read(path)), read(path)["rows_total"]) == ("running", 0)
    clock.advance(EVERY_S)
    metrics.went_on(NOW)
    found = read(path)
    assert (found["rows_total"], found["processes"], found["call_rows"], found["shards_done"]) == (60, 2, 64, 2)
    assert (found["crashes_total"], found["output_bytes_total"], found["stage_seconds_total read"]) == (1, 99, 0.5)
    assert "last_success_timestamp_seconds" not in found
    path.unlink()
    metrics.went_on(NOW)
    assert not path.exists()
    clock.advance(EVERY_S)
    metrics.went_on(NOW)
    assert path.exists()


def test_names_may_be_anything(tmp_path: Path) -> None:
    path = tmp_path / 'my "job"\\ ü.prom'
    JobMetrics(path, 'a"b\\c\nd', "1\u202e").runs()
    (sample, *_) = next(iter(text_string_to_metric_families(path.read_text("utf-8")))).samples
    assert sample.labels == {"job_name": 'my "job"\\ ü', "model": 'a"b\\c\nd', "version": "1\u202e"}


def test_a_run_that_fails_says_so_and_keeps_when_one_last_succeeded(folder: Path) -> None:
    def total(x: np.ndarray) -> np.ndarray:
        return x.sum(axis=1)

    data, path = scoring.write_files(folder), folder / "nightly.prom"
    ask: dict[str, Any] = {"key": "id", "version": "1", "metrics_file": str(path)}
    foretell.score(total, data, folder / "out", **ask, mapping={"x": ["a", "b"]})
    first = read(path)
    with pytest.raises(foretell.InvalidInput):
        foretell.score(total, data, folder / "other", **{**ask, "version": "2"}, mapping={"x": ["a", "none"]})
    second = read(path)
    assert (state(first), state(second)) == ("done", "stopped")
    assert second["last_success_timestamp_seconds"] == first["last_success_timestamp_seconds"]
    assert foretell.score(total, data, folder / "out", **ask, mapping={"x": ["a", "b"]}).scored_now == 0
    third = read(path)
    assert (state(third), third["rows_total"], third["shards_done"]) == ("done", 1600, 4)
    assert third["last_success_timestamp_seconds"] > first["last_success_timestamp_seconds"]


def test_data_that_is_not_there_is_a_run_that_failed(folder: Path) -> None:
    scoring.score(folder, "none", "--metrics-file", "a.prom", code=1)
    assert state(read(folder / "a.prom")) == "stopped"


def test_a_job_that_is_interrupted_says_so(folder: Path) -> None:
    scoring.write_files(folder)
    with scoring.started(folder, "--key", "id", "--metrics-file", "a.prom", model="models.py:Gated") as job:
        until(lambda: job.poll() is not None or any((folder / "out").glob("_foretell/*/shards/000000.json")))
        assert state(read(folder / "a.prom")) == "running"
        job.send_signal(signal.SIGINT)
        assert job.wait(60) == 130
    found = read(folder / "a.prom")
    assert (state(found), "last_success_timestamp_seconds" in found) == ("interrupted", False)


def test_a_job_that_is_refused_for_another_leaves_that_ones_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.prom"
    path.write_text("of the one that runs")
    with pytest.raises(Occupied), metrics_of(str(path), "Sum", "1"):
        raise Occupied("another job writes here")
    assert path.read_text() == "of the one that runs"
    with pytest.raises(ModelError), metrics_of(str(path), "Sum", "1"):
        raise ModelError("no")
    assert state(read(path)) == "stopped"


@pytest.mark.parametrize("path", ["no/such/folder.prom", "."])
def test_a_path_that_cannot_be_written_is_refused_before_anything_is_done(folder: Path, path: str) -> None:
    scoring.write_files(folder, files=1)
    done = scoring.score(folder, "--key", "id", "--metrics-file", path, code=2)
    assert "the metrics file cannot be written" in done.stderr
    assert not (folder / "out").exists()


def test_a_write_that_fails_later_is_told_once_and_stops_nothing(tmp_path: Path) -> None:
    clock, place = ManualClock(), tmp_path / "place"
    place.mkdir()
    metrics = JobMetrics(place / "a.prom", "Sum", "1", clock)
    place.rmdir()
    with pytest.warns(UserWarning, match=r"a\.prom: the metrics cannot be written: .*; the job goes on"):
        metrics.runs()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        metrics.began(NOW)
        place.mkdir()
        metrics.ended(Report("out", 70, 3, 70, 1.0, 4, 4, 0, 0, 2, 0, {}, shards_done=4))
    assert state(read(place / "a.prom")) == "done"


def test_no_path_is_no_metrics() -> None:
    with pytest.raises(InvalidSetting):
        foretell.score("m:M", "data", "out", metrics_file="")
    with metrics_of(None, "Sum", "1") as metrics:
        metrics.runs()
