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


@pytest.mark.parametrize("chosen", [{}, {"ORT_DISABLE_TELEMETRY": "0"}], ids=["nothing", "to tell"])
def test_onnx_runtime_keeps_nothing_unless_its_user_has_chosen_so(tmp_path: Path, chosen: dict[str, str]) -> None:
    model = onnx_build.save(onnx_build.identity([None, 4]), tmp_path)
    home = {"HOME": str(tmp_path / "home"), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    environment = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    command = [sys.executable, "-c", _ASKS, str(model)]
    subprocess.run(command, env=environment | home | chosen, check=True, timeout=60, capture_output=True)
    if not chosen:
        assert not (tmp_path / "home").exists() and not (tmp_path / "cache").exists()
