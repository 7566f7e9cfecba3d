"""A working folder with models, and a file to follow."""

from __future__ import annotations

from pathlib import Path

import eventing
import pytest
from following import lines


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return eventing.fill(tmp_path)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "in.jsonl"
    made.write_bytes(lines(1, 2))
    return made
