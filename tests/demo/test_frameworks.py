"""The models of other frameworks that the demo makes, proves, or skips."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer

from foretell import Predictor
from foretell.cli.demo_proof import prove
from foretell.demo.folder import DemoFolder
from foretell.demo.frameworks import FRAMEWORKS, Framework, make_model, patients


@pytest.mark.parametrize("framework", FRAMEWORKS, ids=lambda framework: framework.name)
def test_it_knows_most_patients(framework: Framework, tmp_path: Path) -> None:
    folder = DemoFolder.claim(tmp_path / "demo")
    rows = np.load(patients(folder, 500))
    with Predictor(make_model(folder, framework)) as predictor:
        answer = predictor.predict_batch(rows)
    found = answer if isinstance(answer, np.ndarray) else answer["probabilities"]
    assert (found.argmax(1) == load_breast_cancer().target[:500]).mean() > 0.9


def test_what_is_not_installed_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.setitem(sys.modules, "xgboost", None)
    said: list[str] = []

    def say(line: str) -> None:
        said.append(line)
        if "the same rows" in line:
            raise InterruptedError  # it goes on as always

    with pytest.raises(InterruptedError):
        prove(DemoFolder.claim(tmp_path / "demo"), Path("models/digits/1/m.onnx"), Path("no.png"), say, quick=False)
    assert said[:-1] == [
        "network: skipped, it needs the package torch; pip install 'foretell[torch]'",
        "trees: skipped, it needs the package xgboost; pip install 'foretell[xgboost]'",
    ]
