"""A working folder with models."""

from __future__ import annotations

from pathlib import Path

import eventing
import pytest


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return eventing.fill(tmp_path)
