"""`foretell verify` within this process: where the certificate goes, and what cannot be proven."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from foretell.cli import main

CODE = """
import numpy as np
from foretell import DataType, TensorSpec

class Sum:
    inputs = (TensorSpec("x", DataType.FP32, (2,)),)

    def predict(self, x):
        return x.sum(1)

class Mean(Sum):
    row_wise = False

    def predict(self, x):
        return x - x.mean(0)
"""

GROWS = """
def grow():
    from pathlib import Path

    file = Path(__file__)
    file.write_text(file.read_text() + "#")
"""


@pytest.fixture
def code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "code.py").write_text(CODE)
    (tmp_path / "rows.json").write_text(json.dumps([{"x": [row, 1.5]} for row in range(3)]))
    return tmp_path


def run(*words: object, model: str = "code.py:Sum", data: str = "rows.json") -> int:
    return main(["verify", model, "--data", data, "--doors", "python", *map(str, words)])


def test_inspect_shows_the_certificate_of_a_class(code: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run() == 0
    assert capsys.readouterr().out.endswith("certificate: code.py:Sum.certificate.json\n")
    assert main(["inspect", "code.py:Sum", "--json"]) == 0
    shown: Any = json.loads(capsys.readouterr().out)
    assert shown["certificate"]["verdict"] == "bit-identical"
    path = code / "code.py:Sum.certificate.json"
    for machine, told in ((lambda cpu: cpu, False), (lambda cpu: "another", True)):
        made = json.loads(path.read_text())
        made["machine"]["cpu"] = machine(made["machine"]["cpu"])
        path.write_text(json.dumps(made))
        assert main(["inspect", "code.py:Sum"]) == 0
        assert ("another machine" in " ".join(capsys.readouterr().out.replace("│", " ").split())) is told
    (code / "code.py").write_text(CODE.replace("x.sum(1)", "x.sum(1) + 1"))
    assert main(["inspect", "code.py:Sum", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["certificate"] is None


@pytest.mark.parametrize("place", ["", ".", "no/such/folder.json", "rows.json", "code.py", "pipe", "link.json"])
def test_a_certificate_takes_the_place_of_nothing(code: Path, place: str, capsys: pytest.CaptureFixture[str]) -> None:
    os.mkfifo(code / "pipe")
    (code / "link.json").symlink_to("rows.json")
    before = {path.name: path.lstat().st_ino for path in code.iterdir()}
    assert run("--out", place, model="code.py:Sum") == 2
    said = capsys.readouterr().err
    assert said.startswith("foretell: ")
    assert "certificate" in said
    assert "the same bits" not in said  # nothing was asked yet
    assert {path.name: path.lstat().st_ino for path in code.iterdir() if path.name != "__pycache__"} == before


def test_a_certificate_is_replaced(code: Path) -> None:
    for name in ("own.json", "own.json", "empty"):
        (code / "empty").touch()
        assert run("--out", name) == 0
    (code / "code.py:Sum.certificate.json").write_text("half of on")
    assert run() == 0
    assert sorted(path.name for path in code.iterdir() if path.suffix == ".json") == [
        "code.py:Sum.certificate.json", "own.json", "rows.json"
    ]  # fmt: skip


def test_rows_that_depend_on_each_other_have_no_proof_through_jobs(
    code: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["verify", "code.py:Mean", "--data", "rows.json", "--doors", "batch"]) == 1
    assert "there is nothing to compare" in capsys.readouterr().err
    assert run("--doors", "stream", "--json", model="code.py:Mean") == 0
    assert list(json.loads(capsys.readouterr().out)["left_out"]) == ["stream"]


def test_a_model_that_changes_meanwhile_has_no_certificate(code: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (code / "code.py").write_text(CODE.replace("return x.sum(1)", "grow(); return x.sum(1)") + GROWS)
    assert run() == 1
    assert "the model changed while it was compared" in capsys.readouterr().err
    assert not (code / "code.py:Sum.certificate.json").exists()


def test_a_price_that_cannot_be_measured_costs_no_certificate(code: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """JSON Lines have no form for an infinity, and so the command that measures has no rows."""
    np.save(code / "rows.npy", np.full((2, 2), np.inf, np.float32))
    assert run("--batch-invariant", data="rows.npy") == 0
    assert "could not be measured" in capfd.readouterr().err


def test_a_sample_without_rows(code: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(data="[]") == 1
    assert "the sample has no rows" in capsys.readouterr().err
