"""What `foretell inspect` prints can be pasted, and a model served answers it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx_build
import pytest
from program import Server, run

PORT = "127.0.0.1:8000"


@pytest.fixture
def inspected(folder: Path) -> dict[str, Any]:
    onnx_build.save(onnx_build.identity(["n", 3, 224, 224]), folder, "image.onnx")
    return {
        source: json.loads(run("inspect", source, "--json", cwd=folder).stdout)
        for source in ("iris.onnx", "models.py:Strict", "models.py:shout", "mein Modell ö=iris.onnx", "image.onnx")
    }


def test_the_requests_it_prints_work(inspected: dict[str, Any], serve: Callable[..., Server]) -> None:
    server = serve(*inspected)
    for described in inspected.values():
        assert len(described["python"]) + len(described["curl"]) < 10_000
        script = described["python"].replace(PORT, f"127.0.0.1:{server.port}")
        python = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
        assert "'outputs': [{" in python.stdout
        if shutil.which("curl") is None:
            continue
        line = described["curl"].replace(PORT, f"127.0.0.1:{server.port}")
        curl = subprocess.run(["sh", "-c", line], capture_output=True, text=True, timeout=60, check=True)
        assert json.loads(curl.stdout)["outputs"]
        assert repr(json.loads(curl.stdout)) == python.stdout.strip()
    server.stop()
    assert server.end() == 0


def test_people_see_the_same_request_as_programs(folder: Path, inspected: dict[str, Any]) -> None:
    shown = run("inspect", "iris.onnx", cwd=folder).stdout
    assert inspected["iris.onnx"]["curl"] in shown
    assert inspected["iris.onnx"]["python"] in shown
    assert inspected["iris.onnx"]["digest"] in shown
