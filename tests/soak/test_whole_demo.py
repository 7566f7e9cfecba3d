"""`make demo` as it is: six processes import each framework, for a minute."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.soak
def test_every_framework_is_proven(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import sys; from foretell.cli import main; sys.exit(main(['demo']))"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr
    for name in ("digits", "network", "trees"):
        assert f"{name}: the same rows through Python, server, batch and stream" in done.stderr
        assert len(list((tmp_path / "foretell-demo" / "models" / name / "1").glob("*.certificate.json"))) == 1
