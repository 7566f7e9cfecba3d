"""Reading, preprocessing, predicting and writing at the same time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scoring

import foretell
from foretell import DataType, TensorSpec
from foretell.batch import score as job
from foretell.batch.manning import Manning
from foretell.batch.overlap import Overlap
from foretell.batch.reading import Reading
from foretell.batch.staffing import Staff
from foretell.batch.writing import Writing
from foretell.errors import Unavailable

LONG_S = 60
"""Nobody waits so long where things overlap; where they do not, the test ends."""


@pytest.fixture(autouse=True)
def cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job, "usable_cores", lambda: 2)


class Steps:
    """How often each thing was begun; waits until something was begun so often."""

    def __init__(self) -> None:
        self.begun: dict[str, int] = {}
        self.overlapped: list[bool] = []
        self._changed = threading.Condition()

    def begin(self, what: str) -> int:
        with self._changed:
            self.begun[what] = self.begun.get(what, 0) + 1
            self._changed.notify_all()
            return self.begun[what]

    def wait(self, what: str, times: int) -> None:
        with self._changed:
            there = self._changed.wait_for(lambda: self.begun.get(what, 0) >= times, LONG_S)
            self.overlapped.append(there)
            if not there:
                raise RuntimeError(f"{what} was not begun {times} times: {self.begun}")


class Model:
    """Each call of `predict` but the last waits until `what` was begun once more than it."""

    inputs = (TensorSpec("x", DataType.FP32, (2,)),)

    def __init__(self, steps: Steps, what: str) -> None:
        self._steps, self._what = steps, what

    def predict(self, x: np.ndarray) -> np.ndarray:
        number = self._steps.begin("predict")
        if number < 8 and self._what:
            self._steps.wait(self._what, number + 1)
        return x.sum(axis=1)


class Prepares(Model):
    def preprocess(self, x: np.ndarray) -> np.ndarray:
        self._steps.begin("preprocess")
        return x


def run(folder: Path, model: Any) -> foretell.batch.report.Report:
    """One shard of eight calls."""
    data = scoring.write_files(folder, files=1)
    report = foretell.score(model, data, folder / "out", key="id", mapping={"x": ["a", "b"]})
    assert scoring.answers(scoring.table(folder)) == scoring.expected(files=1)
    return report


def test_the_next_rows_are_read_while_these_are_predicted(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps, blocks = Steps(), Reading.blocks

    def counted(*arguments: Any) -> Iterator[Any]:
        for block in blocks(*arguments):
            steps.begin("read")
            yield block

    monkeypatch.setattr(Reading, "blocks", counted)
    run(folder, Model(steps, "read"))
    assert steps.begun["read"] == 8 and len(steps.overlapped) == 7


def test_the_next_call_is_preprocessed_while_this_one_predicts(folder: Path) -> None:
    steps = Steps()
    report = run(folder, Prepares(steps, "preprocess"))
    assert len(steps.overlapped) == 7
    assert report.stages["preprocess"] > 0 and report.stages["predict"] > 0


def test_answers_are_written_while_the_next_ones_are_predicted(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps, write = Steps(), Writing.write

    def late(self: Writing, *arguments: Any) -> None:
        number = steps.begin("write")
        if number < 8:
            steps.wait("predict", number + 1)
        write(self, *arguments)

    monkeypatch.setattr(Writing, "write", late)
    run(folder, Model(steps, ""))
    assert len(steps.overlapped) == 7


def test_no_more_is_read_ahead_than_a_few_blocks(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps, blocks, ahead = Steps(), Reading.blocks, list[int]()

    def counted(*arguments: Any) -> Iterator[Any]:
        for block in blocks(*arguments):
            ahead.append(steps.begin("read") - steps.begun.get("predict", 0))
            yield block

    monkeypatch.setattr(Reading, "blocks", counted)
    run(folder, Model(steps, "read"))
    assert max(ahead) <= 3


@pytest.mark.parametrize("bad", [-11.0, -22.0, -33.0])
def test_rows_are_found_that_end_a_process_which_does_several_things(folder: Path, bad: float) -> None:
    scoring.write_files(folder, files=2, bad={7: bad, 390: bad})
    limit = ("--call-timeout-s", "0.5") if bad == -33.0 else ()
    scoring.score(folder, "--key", "id", "--row-attempts", "1", *scoring.ALONE, *limit, code=3)
    assert scoring.answers(scoring.table(folder)) == scoring.expected(files=2, without=[7, 390])
    assert [line["key"]["id"] for line in scoring.quarantine(folder)] == [7, 390]


def test_the_output_is_the_same_in_turns(folder: Path, tmp_path: Path) -> None:
    bad = {3: -22.0, 405: -22.0}
    made = []
    for number, processes in enumerate(("1", "2")):
        each = scoring.fill(tmp_path / str(number))
        scoring.write_files(each, bad=bad)
        scoring.score(each, "--key", "id", "--processes", processes, "--batch-size", "50", code=3)
        lines = [{name: line[name] for name in ("row", "key", "code", "error")} for line in scoring.quarantine(each)]
        made.append((scoring.parts(each), lines))
    assert made[0][0] == made[1][0] and made[0][1] == made[1][1]
    assert len(made[0][1]) == 2


def test_a_disk_that_fills_while_others_predict_stops_the_job(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    data = scoring.write_files(folder, files=1)
    write = Writing.write

    def third(self: Writing, scored: Any, shown: Callable[[Any], Any]) -> None:
        if self.rows:
            monkeypatch.setattr(self.part, "write", full, raising=False)
        write(self, scored, shown)

    monkeypatch.setattr(Writing, "write", third)
    with pytest.raises(Unavailable, match=r"No space left on device.*make room"):
        foretell.score(Model(Steps(), ""), data, folder / "out", key="id", mapping={"x": ["a", "b"]})
    assert not list((folder / "out" / "_foretell").rglob("*.tmp"))
    monkeypatch.undo()
    foretell.score(Model(Steps(), ""), data, folder / "out", key="id", mapping={"x": ["a", "b"]}, fresh=True)
    assert scoring.answers(scoring.table(folder)) == scoring.expected(files=1)


def test_where_it_is_of_no_use_nothing_is_tried() -> None:
    choice = Overlap(of_use=False)
    for _ in range(5):
        assert not choice.now
        choice.learn(choice.now, 100, 1.0)


@pytest.mark.parametrize(("faster", "chosen"), [(2.0, True), (1.0, True), (0.9, False)])
def test_the_faster_way_is_kept(faster: float, chosen: bool) -> None:
    choice = Overlap(of_use=True)
    seen = []
    for _ in range(12):
        seen.append(choice.now)
        choice.learn(choice.now, 1000, 1 / faster if choice.now else 1.0)
    assert seen[:5].count(True) >= 2 and seen[:5].count(False) >= 2
    assert set(seen[5:]) == {chosen}


def test_one_slow_shard_decides_nothing() -> None:
    choice = Overlap(of_use=True)
    for at in range(12):
        choice.learn(choice.now, 1000, 5.0 if at == 1 else 0.5 if choice.now else 1.0)
    assert choice.now


@pytest.mark.parametrize(
    ("device", "processes", "overlaps"), [("cpu", 2, False), ("cpu", 1, True), ("cuda", 2, True), ("cuda:1", 1, True)]
)
def test_it_is_of_use_where_a_core_is_left_or_a_device_predicts(device: str, processes: int, overlaps: bool) -> None:
    manning = Manning(Staff(processes, 1, processes), 2, None, grows=False)
    assert manning.may_overlap(device) is overlaps
