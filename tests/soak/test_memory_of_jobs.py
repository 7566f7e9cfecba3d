"""Ten times the data in the same memory."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import scoring

FEW = 2_500_000
"""Of each of two files: enough for shards of the largest size, and for a job long enough to be looked at often."""


@pytest.mark.soak
@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="only Linux tells")
def test_ten_times_the_data_take_the_same_memory(tmp_path: Path) -> None:
    (tmp_path / "models.py").write_text(scoring.MODELS)
    peaks = []
    for rows in (FEW, 10 * FEW):
        scoring.write_files(tmp_path, files=2, rows=rows)
        scoring.score(tmp_path, "--key", "id", "--processes", "2", "--fresh")
        told = json.loads((tmp_path / "out" / "_foretell" / "report.json").read_text())
        assert told["rows"] == 2 * rows
        peaks.append(told["memory_bytes"])
        shutil.rmtree(tmp_path / "data")
    assert peaks[1] < 1.15 * peaks[0]
