"""The commands of the guide to `foretell predict` run as they stand."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx_build
import pytest

GUIDE = Path(__file__).parents[2] / "docs/guides/predict-command.md"
PROGRAM = Path(sys.executable).parent / "foretell"
SHELL = re.findall(r"^```sh\n(.*?)^```", GUIDE.read_text("utf-8"), re.DOTALL | re.MULTILINE)
COMMANDS = "".join(SHELL).splitlines()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("guide")
    onnx_build.save(onnx_build.iris_onnx(zipmap=False), folder, "model.onnx")
    rows = np.array([[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3]], np.float32)
    np.save(folder / "rows.npy", rows)
    (folder / "rows.json").write_text("[[5.1, 3.5, 1.4, 0.2]]")
    (folder / "rows.csv").write_text("a,b,c,d\n5.1,3.5,1.4,0.2\n")
    names = "number,sepal_length,sepal_width,petal_length,petal_width"
    (folder / "flowers.csv").write_text(f"{names}\n1,5.1,3.5,1.4,0.2\n")
    return folder


@pytest.mark.parametrize("command", COMMANDS)
def test_it_runs_as_it_stands(command: str, folder: Path) -> None:
    line = command.replace("foretell", f"'{PROGRAM}'", 1)
    done = subprocess.run(["sh", "-c", line], cwd=folder, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert "setosa" in done.stdout
