"""Whoever opens a model tells nobody: nothing of a runtime's own is left in the home of its user."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import onnx_build
import pytest

_ASKS = """
import os, sys
from foretell import Predictor
before = dict(os.environ)
with Predictor(sys.argv[1]) as predictor:
    predictor.predict([1.0, 2.0, 3.0, 4.0])
assert dict(os.environ) == before
"""


def kept_by(folder: Path, *words: str, **chosen: str) -> set[str]:
    """The files in the home of somebody new, after a program of theirs, but those of foretell itself."""
    home, cache = folder / "home", folder / "cache"
    environment = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    environment |= {"HOME": str(home), "XDG_CACHE_HOME": str(cache), **chosen}
    subprocess.run([sys.executable, *words], env=environment, cwd=folder, check=True, timeout=60, capture_output=True)
    files = [path.relative_to(folder) for place in (home, cache) for path in place.glob("**/*") if path.is_file()]
    return {str(path) for path in files if path.parts[:2] != ("cache", "foretell")}


@pytest.fixture
def model(tmp_path: Path) -> str:
    return str(onnx_build.save(onnx_build.identity([None, 4]), tmp_path))


def test_a_predictor_keeps_nothing_and_changes_no_variable(tmp_path: Path, model: str) -> None:
    assert kept_by(tmp_path, "-c", _ASKS, model) == set()


def test_what_somebody_has_chosen_stays(tmp_path: Path, model: str) -> None:
    kept_by(tmp_path, "-c", _ASKS, model, ORT_DISABLE_TELEMETRY="0")


def test_the_processes_of_a_job_keep_nothing(tmp_path: Path, model: str) -> None:
    (tmp_path / "rows.csv").write_text("a,b,c,d\n1,2,3,4\n5,6,7,8\n")
    words = ["-m", "foretell", "score", model, "rows.csv", "-o", "out.csv", "--map", "x=a,b,c,d"]
    assert kept_by(tmp_path, *words) == set()
    assert (tmp_path / "out.csv").is_file()
