"""`foretell.score`: the same job as a call, and live objects in this process."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scoring

import foretell
from foretell.errors import InvalidInput, InvalidSetting


def total(x: np.ndarray) -> np.ndarray:
    return x.sum(axis=1)


def test_a_model_by_its_name_runs_in_processes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    scoring.write_files(folder, bad={7: -11.0})
    report = foretell.score("models.py:Sum", "data", "out", key="id")
    assert (report.rows, report.quarantined, report.shards) == (1599, 1, 4)
    assert scoring.answers(scoring.table(folder)) == scoring.expected(without=[7])
    assert foretell.score("models.py:Sum", "data", "out", key="id").scored_now == 0
    done = scoring.score(folder, "--key", "id", code=3)
    assert "nothing to do" in done.stdout


def test_a_live_object_runs_here(folder: Path) -> None:
    data = scoring.write_files(folder)
    report = foretell.score(total, data, folder / "out", key="id", mapping={"x": ["a", "b"]})
    assert (report.rows, report.processes, report.model["name"]) == (1600, 1, "total")
    assert scoring.answers(scoring.table(folder)) == scoring.expected()


def test_a_live_object_goes_on_only_under_a_version(folder: Path) -> None:
    data = scoring.write_files(folder, files=1)
    ask = {"key": "id", "mapping": {"x": ["a", "b"]}}
    foretell.score(total, data, folder / "out", **ask)
    with pytest.raises(InvalidInput, match="the model changed"):
        foretell.score(total, data, folder / "out", **ask)
    foretell.score(total, data, folder / "out", **ask, version="3", fresh=True)
    assert foretell.score(total, data, folder / "out", **ask, version="3").scored_now == 0


def test_rows_that_fail_in_a_live_object_are_put_aside(folder: Path) -> None:
    def refuses(x: np.ndarray) -> np.ndarray:
        if (x[:, 0] == -22.0).any():
            raise ValueError("minus twenty-two")
        return x.sum(axis=1)

    data = scoring.write_files(folder, bad={3: -22.0})
    report = foretell.score(refuses, data, folder / "out", key="id", mapping={"x": ["a", "b"]})
    assert (report.rows, report.reasons) == (1599, {"model_error": 1})
    assert [line["key"]["id"] for line in scoring.quarantine(folder)] == [3]


def test_options_have_the_names_of_the_settings(folder: Path) -> None:
    data = scoring.write_files(folder, files=1)
    with pytest.raises(InvalidSetting, match="did you mean 'max_quarantined'"):
        foretell.score(total, data, folder / "out", max_quarantine=3)
    with pytest.raises(InvalidSetting, match="a call of a live object cannot be ended"):
        foretell.score(total, data, folder / "out", call_timeout_s=3)
