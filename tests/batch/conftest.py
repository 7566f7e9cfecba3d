"""A working folder with models and data."""

from __future__ import annotations

from pathlib import Path

import pytest
import scoring


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return scoring.fill(tmp_path)
