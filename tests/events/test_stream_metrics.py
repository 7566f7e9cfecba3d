"""The metrics of a stream, as the parser of Prometheus reads them."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import eventing
import pytest
from looking import until
from prometheus_client.parser import text_string_to_metric_families

from foretell import InvalidSetting
from foretell.events import metrics
from foretell.events.trouble import TooManyDead

LABELS = {"stream_name": "events", "model": "Sum", "version": "1"}


def read(path: Path) -> dict[str, Any]:
    """By name, and what a metric has beside the labels of the stream; the types as Prometheus knows them."""
    found: dict[str, Any] = {}
    for family in text_string_to_metric_families(path.read_text("utf-8")):
        assert family.documentation.endswith(".")
        for sample in family.samples:
            assert sample.name.endswith("_total") == (family.type == "counter")
            assert set(LABELS) <= set(sample.labels)
            more = tuple(value for key, value in sample.labels.items() if key not in LABELS)
            found[" ".join([sample.name.removeprefix("foretell_events_"), *more])] = sample.value
    return found


def state(found: dict[str, Any]) -> str:
    (known,) = [key.removeprefix("state ") for key, value in found.items() if key.startswith("state ") and value == 1]
    return known


def test_a_stream_leaves_its_metrics(tmp_path: Path) -> None:
    content = eventing.events(range(100), {7: b'{"id":7,"a":"x","b":1}\n'})
    (tmp_path / "in.jsonl").write_bytes(content)
    report = eventing.stream(tmp_path, metrics_file=str(tmp_path / "events.prom"))
    found = read(tmp_path / "events.prom")
    expected = {
        "total": 100, "dead_letters_total invalid_input": 1, "behind_bytes": 0,
        "commits_total": report.commits, "calls_total": report.calls, "output_bytes_total": report.bytes_out,
        "input_bytes_total": report.bytes_in, "crashes_total": 0, "rotations_total": 0, "truncations_total": 0,
    }  # fmt: skip
    assert {key: found[key] for key in expected} == expected
    assert state(found) == "done"
    assert time.time() - 60 < found["start_timestamp_seconds"] <= found["last_commit_timestamp_seconds"] <= time.time()
    assert [name for name in os.listdir(tmp_path) if name.startswith(("events", ".events"))] == ["events.prom"]


def test_it_is_written_while_nothing_comes_and_says_how_far_behind_the_stream_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics, "EVERY_S", 0.02)
    source, path = tmp_path / "in.jsonl", tmp_path / "events.prom"
    source.write_bytes(eventing.events(range(10)))
    stops: list[Callable[[], None]] = []

    @contextmanager
    def stopper(stop: Callable[[], None]) -> Iterator[None]:
        stops.append(stop)
        yield

    def run() -> None:
        eventing.stream(tmp_path, once=False, stopper=stopper, metrics_file=str(path), commit_interval_s=0.01)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        until(lambda: path.exists() and read(path).get("behind_bytes") == 0)
        assert state(read(path)) == "running"
        with source.open("ab") as file:  # an event without its end is not answered yet
            file.write(b'{"id":10,')
        until(lambda: read(path)["behind_bytes"] == len(b'{"id":10,'))
    finally:
        stops[0]()
        thread.join()
    assert state(read(path)) == "stopped"


def test_a_stream_that_failed_says_so(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_bytes(b"no object\n" * 101)
    with pytest.raises(TooManyDead):
        eventing.stream(tmp_path, metrics_file=str(tmp_path / "events.prom"))
    found = read(tmp_path / "events.prom")
    assert (state(found), found["commits_total"]) == ("failed", 0)
    assert "last_commit_timestamp_seconds" not in found


@pytest.mark.parametrize("name", ["in.jsonl", "out.jsonl", "out.dead-letters.jsonl"])
def test_it_is_none_of_the_files_of_the_stream(tmp_path: Path, name: str) -> None:
    (tmp_path / "in.jsonl").write_bytes(eventing.events(range(3)))
    with pytest.raises(InvalidSetting, match="the metrics file is the"):
        eventing.stream(tmp_path, metrics_file=str(tmp_path / name))
    assert (tmp_path / "in.jsonl").read_bytes() == eventing.events(range(3))


def test_a_file_that_cannot_be_written_is_told_before_anything_is_done(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_bytes(eventing.events(range(3)))
    with pytest.raises(InvalidSetting, match="the metrics file cannot be written"):
        eventing.stream(tmp_path, metrics_file=str(tmp_path / "nowhere" / "events.prom"))
    assert not (tmp_path / "out.jsonl").exists()
